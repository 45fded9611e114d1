"""The contract of the events."""

import json

import pytest

from dev.simulated.messages import envelope
from handoff.errors import PermanentError
from handoff.events import Registry
from shop.events import EVENTS, ORDER_PLACED, DetailType, OrderData, ProfileData
from tests.support.orders import NOW, ORDER_ID


def entry(**values):
    """Return an outbox entry as the domain creates it."""
    defaults = {"order_id": ORDER_ID, "user_id": "ada", "sequence": 1, "at": NOW, "correlation_id": "trace-me"}
    asked = defaults | values
    data = OrderData(order_id=asked.pop("order_id"), user_id=asked.pop("user_id"))
    return ORDER_PLACED.entry(data, aggregate_id=data.order_id, **asked)


def test_an_event_has_ids_a_time_and_a_sequence_only():
    assert json.loads(entry().detail) == {
        "metadata": {
            "eventId": f"{ORDER_ID}-1",
            "version": 1,
            "timestamp": "2026-11-23T10:00:00.000Z",
            "sequence": 1,
            "correlationId": "trace-me",
        },
        "data": {"orderId": ORDER_ID, "userId": "ada"},
    }


@pytest.mark.parametrize("detail_type", DetailType)
def test_every_type_has_a_source(detail_type):
    assert EVENTS[detail_type].source.startswith("handoff.")


def test_the_largest_allowed_event_is_under_1_kb():
    largest = entry(order_id="o" * 150, user_id="u" * 160, sequence=10**6, correlation_id="c" * 64)

    assert len(largest.detail.encode()) <= 1024


def test_an_event_over_1_kb_is_rejected():
    with pytest.raises(ValueError, match="over 1024 bytes"):
        entry(order_id="\U0001f600" * 100, user_id="\U0001f600" * 160)


@pytest.mark.parametrize(
    "values",
    [
        {"user_id": ""},
        {"user_id": "u" * 161},
        {"order_id": ""},
        {"sequence": 0},
        {"correlation_id": ""},
        {"correlation_id": "c" * 65},
        {"correlation_id": "no spaces"},
        {"correlation_id": "ada@example.com"},
        {"correlation_id": "line\nbreak"},
    ],
)
def test_a_malformed_event_is_not_produced(values):
    with pytest.raises(ValueError, match=r".+"):
        entry(**values)


class _Wider(OrderData):
    email: str


@pytest.mark.parametrize(
    "data",
    [
        _Wider(order_id=ORDER_ID, user_id="ada", email="ada@example.com"),
        ProfileData(user_id="ada", changed_fields=("name",)),
    ],
)
def test_an_event_with_other_data_than_its_contract_is_not_produced(data):
    with pytest.raises(ValueError, match="order_placed carries OrderData, not"):
        ORDER_PLACED.entry(data, aggregate_id=ORDER_ID, sequence=1, at=NOW, correlation_id="trace-me")


def test_an_event_type_is_registered_once():
    registry = Registry()
    registry.register("order_placed", source="handoff.orders", data=OrderData)

    with pytest.raises(ValueError, match="registered twice"):
        registry.register("order_placed", source="handoff.orders", data=OrderData)


def test_an_event_type_that_is_not_registered_is_no_event():
    with pytest.raises(PermanentError, match="not an event: detail-type"):
        EVENTS.parse(json.dumps(envelope("order_placed", ORDER_ID, 1) | {"detail-type": "order_lost"}))


def test_a_consumer_that_expects_other_data_gets_a_permanent_error():
    read = EVENTS.parse(json.dumps(envelope("order_placed", ORDER_ID, 1)))

    assert read.expect(OrderData).order_id == ORDER_ID
    with pytest.raises(PermanentError, match="order_placed carries no ProfileData"):
        read.expect(ProfileData)


def test_consumers_ignore_unknown_fields():
    newer = envelope("order_placed", ORDER_ID, 1)
    newer["detail"]["metadata"]["region"] = newer["detail"]["data"]["channel"] = "added later"

    read = EVENTS.parse(json.dumps(newer))

    assert read.expect(OrderData).order_id == ORDER_ID
    assert not hasattr(read.data, "channel")


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("metadata", "version", 2),
        ("metadata", "sequence", 0),
        ("metadata", "sequence", "first"),
        ("metadata", "timestamp", "2026-11-23 10:00"),
        ("metadata", "timestamp", 1795428000),
        ("metadata", "timestamp", "2026-02-30T10:00:00.000Z"),
        ("metadata", "timestamp", "2026-11-23T10:00:00.12\u0663Z"),
        ("metadata", "eventId", ""),
        ("metadata", "eventId", "ord_1\x00"),
        ("metadata", "eventId", "ord_1\uffff"),
        ("data", "orderId", None),
        ("data", "userId", 7),
    ],
)
def test_a_contract_violation_is_detected(part, name, value):
    broken = envelope("order_placed", ORDER_ID, 1)
    broken["detail"][part][name] = value

    with pytest.raises(PermanentError, match=f"not an event: detail.{part}.{name}"):
        EVENTS.parse(json.dumps(broken))


@pytest.mark.parametrize("name", ["eventId", "version", "timestamp", "sequence", "correlationId"])
def test_a_missing_field_is_detected(name):
    broken = envelope("order_placed", ORDER_ID, 1)
    del broken["detail"]["metadata"][name]

    if name == "version":  # consumers know of one version only: it goes without saying
        assert EVENTS.parse(json.dumps(broken)).metadata.version == 1
        return
    with pytest.raises(PermanentError, match=f"not an event: detail.metadata.{name}"):
        EVENTS.parse(json.dumps(broken))
