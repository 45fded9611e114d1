"""The bookings example in moto: a second workflow on the core, without anything of the shop."""

import importlib
import json
import os
import sys
from pathlib import Path
from unittest.mock import patch

import boto3
import pytest
from moto import mock_aws

from dev.simulated import wire
from dev.simulated.functions import Context
from dev.simulated.world import CREDENTIALS
from handoff import aws
from handoff.clock import now_ms

SOURCE = Path(__file__).parents[2] / "examples/bookings/src"
TABLES = {"bookings": "bookingId", "claims": "roomNight", "nights": "id"}
BOOK = {"action": "book", "guest": "ada", "key": "1", "room": "12", "night": "2026-12-24"}
VARIABLES = {
    **{f"{table.upper()}_TABLE": table for table in TABLES},
    "BUS_NAME": "hotel",
    "UNFINISHED_SHARDS": "1",
    "MAX_RECEIVES": "6",
}


class Hotel:
    """The example's functions and tables, with faults on the wire between them."""

    def __init__(self):
        self.wire = wire.Wire()
        client = boto3.client("dynamodb")
        for table, key in TABLES.items():
            client.create_table(TableName=table, BillingMode="PAY_PER_REQUEST", **_schema(key))
        boto3.client("events").create_event_bus(Name="hotel")
        sqs = boto3.client("sqs")
        self.queues = {
            name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("QUEUE_URL", "DEAD_LETTER_QUEUE_URL")
        }

    def run(self, function, event):
        """Invoke a function in a new process, as far as its modules are concerned."""
        for name in [name for name in sys.modules if name.partition(".")[0] == "bookings"]:
            del sys.modules[name]
        with patch.dict(os.environ, self.queues), patch("boto3.DEFAULT_SESSION", self.wire.session):
            module = importlib.import_module(f"bookings.{function}")
            return module.handler(event, Context(function, now_ms() + 60_000, now_ms))

    def book(self, **changes):
        return self.run("api", BOOK | changes)

    def deliver(self, *events):
        records = [
            {
                "messageId": str(n),
                "receiptHandle": "handle",
                "body": json.dumps(event),
                "attributes": {"ApproximateReceiveCount": "1"},
                "eventSource": "aws:sqs",
            }
            for n, event in enumerate(events)
        ]
        return self.run("housekeeping", {"Records": records})

    def published(self):
        """Return the events that the bus accepted, as a queue delivers them."""
        return [
            {"source": entry["Source"], "detail-type": entry["DetailType"], "detail": json.loads(entry["Detail"])}
            for call in self.wire.named("eventbridge.PutEvents")
            if call.status == 200
            for entry in call.request["Entries"]
        ]

    def items(self, table):
        return [aws.from_item(item) for item in boto3.client("dynamodb").scan(TableName=table)["Items"]]

    def overdue(self):
        """Make all pending work due."""
        for item in self.items("bookings"):
            if "dueAt" in item:
                boto3.client("dynamodb").put_item(TableName="bookings", Item=aws.to_item(item | {"dueAt": 1}))


@pytest.fixture
def hotel(monkeypatch):
    monkeypatch.syspath_prepend(str(SOURCE))
    with patch.dict(os.environ, CREDENTIALS | VARIABLES), mock_aws():
        yield Hotel()


def test_a_booking_is_confirmed_and_its_event_published(hotel):
    answer = hotel.book()

    assert (answer["status"], answer["room"], answer["night"]) == ("CONFIRMED", "12", "2026-12-24")
    (event,) = hotel.published()
    assert (event["detail-type"], event["detail"]["data"]) == ("booking_confirmed", {"bookingId": answer["bookingId"]})
    (stored,) = hotel.items("bookings")
    assert stored["outbox"] == {}
    assert "unfinished" not in stored


def test_a_room_is_booked_once_a_night(hotel):
    hotel.book()

    answer = hotel.book(guest="bob")

    assert answer == {"error": "RoomTaken", "reason": "room 12 is taken on 2026-12-24"}
    assert len(hotel.items("bookings")) == 1


def test_the_same_request_again_returns_the_same_booking(hotel):
    assert hotel.book() == hotel.book()
    assert len(hotel.published()) == 1


def test_a_lost_answer_of_the_write_is_no_second_booking(hotel):
    hotel.wire.on("dynamodb.TransactWriteItems", wire.lose_response_and_token)

    assert hotel.book()["status"] == "CONFIRMED"
    assert len(hotel.items("bookings")) == 1


def test_a_cancelled_room_can_be_booked_again(hotel):
    hotel.book()

    assert hotel.run("api", BOOK | {"action": "cancel"})["status"] == "CANCELLED"
    assert hotel.book(guest="bob")["status"] == "CONFIRMED"
    assert [event["detail-type"] for event in hotel.published()] == [
        "booking_confirmed",
        "booking_cancelled",
        "booking_confirmed",
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"night": "soon"}, {"error": "invalid", "fields": ["night"]}),
        ({"discount": 1}, {"error": "invalid", "fields": ["discount"]}),
        ({"action": "cancel"}, {"error": "NotPossible", "reason": "there is no such booking"}),
    ],
)
def test_a_request_that_is_not_possible_says_why(hotel, changes, expected):
    assert hotel.book(**changes) == expected


def test_a_crash_between_commit_and_publish_loses_no_event(hotel):
    hotel.wire.on("eventbridge.PutEvents", wire.crash_before)
    with pytest.raises(wire.Crash):
        hotel.book()
    assert hotel.published() == []
    assert hotel.run("sweeper", {}) == {"EventsSwept": 0, "SweepFailures": 0}  # for a minute it is its writer's

    hotel.overdue()
    swept = [hotel.run("sweeper", {}) for _ in range(2)]

    assert [run["EventsSwept"] for run in swept] == [1, 0]
    assert [event["detail-type"] for event in hotel.published()] == ["booking_confirmed"]


def test_housekeeping_counts_each_event_once(hotel):
    hotel.book()
    hotel.book(guest="bob", room="14")
    events = hotel.published()

    for _ in range(2):
        assert hotel.deliver(*events) == {"batchItemFailures": []}

    assert [item for item in hotel.items("nights") if "rooms" in item] == [{"id": "night#2026-12-24", "rooms": 2}]


def test_a_cancellation_takes_the_room_off_again(hotel):
    hotel.book()
    hotel.run("api", BOOK | {"action": "cancel"})

    hotel.deliver(*reversed(hotel.published()))

    assert [item["rooms"] for item in hotel.items("nights") if "rooms" in item] == [0]


def test_an_event_that_is_not_one_becomes_a_dead_letter_with_its_reason(hotel):
    hotel.book()
    (event,) = hotel.published()

    assert hotel.deliver(event | {"detail-type": "room_painted"}) == {"batchItemFailures": []}

    queue = hotel.queues["DEAD_LETTER_QUEUE_URL"]
    (letter,) = boto3.client("sqs").receive_message(QueueUrl=queue, MessageAttributeNames=["All"])["Messages"]
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "not an event: detail-type"


def test_the_example_uses_nothing_of_the_shop(hotel):
    hotel.book()

    imports = [line for file in SOURCE.rglob("*.py") for line in file.read_text().splitlines() if "import" in line]
    assert imports
    assert not [line for line in imports if line.lstrip().startswith(("from shop", "import shop"))]


def _schema(key):
    names = {key: "S"} | ({"unfinished": "N", "dueAt": "N"} if key == "bookingId" else {})
    index = {
        "IndexName": "unfinished",
        "KeySchema": [
            {"AttributeName": "unfinished", "KeyType": "HASH"},
            {"AttributeName": "dueAt", "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["unfinishedSince"]},
    }
    return {
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": kind} for name, kind in names.items()],
        "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
        **({"GlobalSecondaryIndexes": [index]} if len(names) > 1 else {}),
    }
