"""The builder of DynamoDB updates: the requests it makes, and what they do in moto."""

import pytest

from handoff import aws
from handoff.attribute_values import from_item, to_item
from handoff.clock import Deadline
from handoff.once import write_once
from handoff.update import Attr, Update, put_new


def test_a_builder_makes_the_members_of_a_request():
    update = Update("rooms", {"roomId": "12"}).set("state", "taken").remove("outbox.1").add("guests", 2)

    assert update.members() == {
        "TableName": "rooms",
        "Key": {"roomId": {"S": "12"}},
        "UpdateExpression": "SET #state = :state ADD #guests :guests REMOVE #outbox.#1",
        "ExpressionAttributeNames": {"#state": "state", "#guests": "guests", "#outbox": "outbox", "#1": "1"},
        "ExpressionAttributeValues": {":state": {"S": "taken"}, ":guests": {"N": "2"}},
    }


def test_all_conditions_must_hold_and_a_failed_one_returns_the_item():
    members = (
        Update("rooms", {"roomId": "12"}).remove("guest").when(Attr("state").eq("taken"), Attr("n").exists()).members()
    )

    assert members["ConditionExpression"] == "(#state = :when0 AND attribute_exists(#n))"
    assert members["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"
    assert members["ExpressionAttributeNames"] == {"#guest": "guest", "#state": "state", "#n": "n"}
    assert members["ExpressionAttributeValues"] == {":when0": {"S": "taken"}}


def item(rooms, room="12"):
    found = rooms.get_item(TableName="rooms", Key=to_item({"roomId": room}))
    return from_item(found.get("Item", {}))


def test_each_clause_does_what_it_says(rooms):
    room = {"roomId": "12", "log": ["built"], "guests": 1, "outbox": {"1": "a", "2": "b"}, "since": 5}
    rooms.put_item(TableName="rooms", Item=to_item(room))
    update = Update("rooms", {"roomId": "12"}).append("log", ["painted"]).increase("guests", -1).add("stays", 1)
    update.set_default("since", 9).set_default("until", 9).set("outbox.3", "c").remove("outbox.1")

    rooms.update_item(**update.members())

    assert item(rooms) == {
        "roomId": "12",
        "log": ["built", "painted"],
        "guests": 0,
        "stays": 1,
        "since": 5,
        "until": 9,
        "outbox": {"2": "b", "3": "c"},
    }


def test_a_write_with_a_failed_condition_brings_the_current_items(rooms):
    rooms.put_item(TableName="rooms", Item=to_item({"roomId": "12", "state": "taken"}))
    free = Update("rooms", {"roomId": "12"}).set("state", "taken").when(Attr("state").eq("free"))

    with pytest.raises(aws.ConditionFailed) as failed:
        aws.write(rooms, [put_new("rooms", {"roomId": "14"}, "roomId"), free.write()], Deadline(20))

    assert failed.value.images == {1: {"roomId": "12", "state": "taken"}}
    assert item(rooms, "14") == {}


def test_effects_are_written_once_for_each_key(rooms):
    markers = {key: {"roomId": f"event#{key}"} for key in ("a", "b", "c")}

    def count(keys):
        return [Update("rooms", {"roomId": "count"}).add("events", len(keys)).write()]

    first = write_once(rooms, "rooms", {key: markers[key] for key in "ab"}, count, Deadline(20))
    second = write_once(rooms, "rooms", markers, count, Deadline(20))
    third = write_once(rooms, "rooms", markers, count, Deadline(20))

    assert (first, second, third) == (["a", "b"], ["c"], [])
    assert item(rooms, "count")["events"] == 3


def test_an_effect_with_a_failed_condition_is_an_error_and_not_retried(rooms):
    markers = {"a": {"roomId": "event#a"}}

    def effect(_keys):
        return [Update("rooms", {"roomId": "12"}).set("state", "x").when(Attr("state").exists()).write()]

    with pytest.raises(aws.ConditionFailed):
        write_once(rooms, "rooms", markers, effect, Deadline(20))

    assert item(rooms, "event#a") == {}
