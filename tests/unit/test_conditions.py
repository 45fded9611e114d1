"""Conditions: how DynamoDB reads them, shown by moto, and how they are combined."""

import pytest

from handoff.attribute_values import to_item
from handoff.conditions import Attr
from handoff.update import Update

ROOM = {"roomId": "12", "size": 3, "tags": ["a", "b"], "outbox": {"1": {"1": "x"}}}


def holds(rooms, condition):
    rooms.put_item(TableName="rooms", Item=to_item(ROOM))
    try:
        rooms.update_item(**Update("rooms", {"roomId": "12"}).set("seen", 1).when(condition).members())
    except rooms.exceptions.ConditionalCheckFailedException:
        return False
    return True


SIZE = Attr("size")  # a reserved word
TRUE = [
    SIZE.eq(3),
    SIZE.ne(2),
    SIZE.lt(4),
    SIZE.lte(3),
    SIZE.gt(2),
    SIZE.gte(3),
    SIZE.exists(),
    Attr("guest").not_exists(),
    Attr("tags").size().eq(2),
    Attr("outbox.1.1").eq("x"),
    SIZE.eq(0) | SIZE.eq(3),
    SIZE.eq(3) & Attr("tags").exists() & Attr("roomId").eq("12"),
    (SIZE.eq(0) & SIZE.eq(3)) | SIZE.eq(3),
]
FALSE = [
    SIZE.eq(4),
    SIZE.ne(3),
    SIZE.lt(3),
    SIZE.lte(2),
    SIZE.gt(3),
    SIZE.gte(4),
    SIZE.not_exists(),
    Attr("guest").exists(),
    Attr("tags").size().lt(2),
    Attr("outbox.1.1").eq("y"),
    SIZE.eq(0) | SIZE.eq(1),
    SIZE.eq(3) & Attr("tags").not_exists(),
    SIZE.eq(0) & (SIZE.eq(0) | SIZE.eq(3)),
]


@pytest.mark.parametrize("condition", TRUE, ids=lambda condition: condition.expression)
def test_a_condition_that_holds(rooms, condition):
    assert holds(rooms, condition)


@pytest.mark.parametrize("condition", FALSE, ids=lambda condition: condition.expression)
def test_a_condition_that_does_not_hold(rooms, condition):
    assert not holds(rooms, condition)


def test_each_value_has_a_placeholder_of_its_own():
    condition = Attr("a").eq(1) & (Attr("a").eq(2) | Attr("b.a").eq(1))

    assert condition.with_placeholders() == (
        "(#a = :when0 AND (#a = :when1 OR #b.#a = :when2))",
        {":when0": 1, ":when1": 2, ":when2": 1},
    )
    assert condition.names == {"#a": "a", "#b": "b"}
