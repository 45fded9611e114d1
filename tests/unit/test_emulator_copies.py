"""Copies of items in MiniStack."""

from collections import defaultdict
from decimal import Decimal

import pytest

from dev.local.emulator import copied


@pytest.mark.parametrize(
    "value",
    [
        {"lines": {"L": [{"M": {"sku": {"S": "MUG-01"}, "gift": {"BOOL": True}}}]}, "none": {"NULL": None}},
        defaultdict(dict, {"a": {"S": "b"}}),
        [1, 2.5, Decimal("0.1"), {"set"}, b"bytes"],
    ],
)
def test_a_copy_is_equal(value):
    assert copied(value) == value
    assert type(copied(value)) is type(value)


@pytest.mark.parametrize("value", [{"a": {"L": [{"S": "b"}]}}, {"a": {"L": defaultdict(list, {0: [1]})}}])
def test_a_change_of_a_copy_is_none_of_its_original(value):
    copy = copied(value)
    copy["a"]["L"][0] = "other"
    assert value["a"]["L"][0] != "other"
