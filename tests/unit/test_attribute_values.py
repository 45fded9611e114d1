"""DynamoDB's notation of values, compared with boto3's."""

from collections import OrderedDict
from decimal import Decimal
from types import MappingProxyType

import pytest
from boto3.dynamodb.types import Binary, TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from handoff.attribute_values import from_item, to_item
from shop.model import Status

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(10**37), 10**37), st.text(), st.binary())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
SETS = st.one_of(st.sets(kind, min_size=1) for kind in (st.text(), st.integers(-9, 9), st.binary()))
ITEMS = st.dictionaries(st.text(min_size=1), VALUES | SETS)


def without_order(item):
    """Return an item whose sets, which are lists in the notation, are sets."""
    return {
        name: set(value[kind]) if kind in {"SS", "NS", "BS"} else value
        for name, value in item.items()
        for kind in value
    }


@given(ITEMS)
def test_values_are_written_as_boto3_writes_them_and_read_again(values):
    item = to_item(values)

    assert without_order(item) == without_order({n: TypeSerializer().serialize(value) for n, value in values.items()})
    assert from_item(item) == values


@given(ITEMS)
def test_values_are_read_as_boto3_reads_them(values):
    item = to_item(values)

    assert from_item(item) == {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        (True, {"BOOL": True}),
        (1, {"N": "1"}),
        (Decimal("1.50"), {"N": "1.50"}),
        (Status.PLACED, {"S": "PLACED"}),
        ((1, "a"), {"L": [{"N": "1"}, {"S": "a"}]}),
        (frozenset({"a"}), {"SS": ["a"]}),
        (MappingProxyType({"a": 1}), {"M": {"a": {"N": "1"}}}),
        (OrderedDict(a=None), {"M": {"a": {"NULL": True}}}),
        (bytearray(b"a"), {"B": b"a"}),
    ],
)
def test_types_that_are_like_plain_ones(value, typed):
    assert to_item({"it": value}) == {"it": typed}


@pytest.mark.parametrize("value", [1.5, object(), [1.5], {"a": 1.5}, set(), {1, "a"}, {None}, {(1,)}])
def test_a_value_of_another_type_is_refused(value):
    with pytest.raises(TypeError, match="DynamoDB"):
        to_item({"it": value})


def test_numbers_are_integers_and_others_are_left_for_the_model_to_reject():
    read = from_item({"a": {"N": "12345678901234567890"}, "b": {"N": "1.5"}, "c": {"NS": ["1", "2"]}})

    assert read == {"a": 12345678901234567890, "b": 1.5, "c": {1, 2}}
    assert [type(value) for value in read.values()] == [int, float, set]


def test_bytes_are_plain_bytes():
    assert type(from_item({"a": {"B": b"x"}})["a"]) is bytes
    assert Binary(b"x") == from_item({"a": {"B": b"x"}})["a"]
