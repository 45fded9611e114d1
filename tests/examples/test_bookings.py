"""The bookings example in moto: a second workflow on the core, without anything of the shop."""

import os
from unittest.mock import patch

import pytest

from dev.simulated import wire
from dev.simulated.world import mocked
from tests.support.example_stack import EXAMPLES, VARIABLES, ExampleStack

SOURCE = EXAMPLES / "bookings/src"
TABLES = {"bookings": ["bookingId"], "claims": ["roomNight"], "nights": ["id"]}
BOOK = {"action": "book", "guest": "ada", "key": "1", "room": "12", "night": "2026-12-24"}


class Hotel(ExampleStack):
    """The example's functions and tables."""

    def __init__(self):
        super().__init__("bookings", "hotel", TABLES, "bookings")

    def book(self, **changes):
        return self.run("api", BOOK | changes)

    def deliver(self, *events):
        return self.deliver_to("housekeeping", events)


@pytest.fixture
def hotel(monkeypatch):
    monkeypatch.syspath_prepend(str(SOURCE))
    with patch.dict(os.environ, VARIABLES), mocked():
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

    (letter,) = hotel.dead_letters()
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "not an event: detail-type"


def test_the_example_uses_nothing_of_the_shop(hotel):
    hotel.book()

    imports = [line for file in SOURCE.rglob("*.py") for line in file.read_text().splitlines() if "import" in line]
    assert imports
    assert not [line for line in imports if line.lstrip().startswith(("from shop", "import shop"))]
