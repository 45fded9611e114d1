"""Members that a JSON object has twice."""

import json

import pytest

from shop.json_members import duplicate_in_list, duplicate_member


@pytest.mark.parametrize(
    "document",
    ["{}", "[]", "1", '"text"', '{"a": 1, "b": {"a": 1}}', '[{"a": 1}, {"a": 1}]', '{"a": {"b": 1}, "c": {"b": 1}}'],
)
def test_the_same_name_in_several_objects_is_no_duplicate(document):
    assert duplicate_member(document) is None


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ('{"a": 1, "a": 1}', "a"),
        (b'{"a": 1, "b": 2, "a": 3}', "a"),
        ('[{"x": {"price": 1, "price": 2}}]', "price"),
        ('{"price": 1, "pr\\u0069ce": 2}', "price"),
        ('{"a": {}, "a": null}', "a"),
        ('{"a": ' + "9" * 5000 + ', "a": 1}', "a"),
    ],
)
def test_a_duplicate_is_named(document, name):
    assert duplicate_member(document) == name


def test_python_itself_keeps_the_last():
    assert json.loads('{"price": 1, "price": 2}') == {"price": 2}


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ("[]", None),
        (' [ {"a": 1}, {"a": 1} ] ', None),
        ('["[,]", [1, [2]], {"b": "]"}]\n', None),
        ('[{"a": 1, "a": 2}]', ("a", 1)),
        ('[\n  {"a": 1},\n\n  {\n    "b": {"c": 1,\n    "c": 2}\n  }\n]', ("c", 4)),
        ('[\r\n{"a": 1, "a": ' + "9" * 5000 + "}]", ("a", 2)),
    ],
)
def test_a_duplicate_in_a_list_is_found_with_its_line(document, found):
    assert duplicate_in_list(document) == found
