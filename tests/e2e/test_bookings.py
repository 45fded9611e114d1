"""The bookings example, deployed beside Handoff: another workflow on its layers and its bus."""

import json
from typing import Any

import pytest

from dev.local.stack import ROOT, LocalStack
from handoff.attribute_values import to_item
from ops.stack.deployment import Deployment
from tests.e2e.support import KillingServer, environment, eventually, invoke, lambda_client

BOOK = {"action": "book", "guest": "ada", "key": "1", "room": "12", "night": "2026-12-24"}


@pytest.fixture(scope="module")
def hotel(local_stack: LocalStack, deployment: Deployment) -> Deployment:
    layers = {name: deployment.outputs[name] for name in ("HandoffLayerArn", "DependenciesLayerArn")}
    example = ROOT / "examples/bookings"
    local_stack.deploy_beside(example, "bookings", HandoffStack=deployment.stack, RequireTls="false", **layers)
    return Deployment("bookings", local_stack.session(), local_stack.endpoint)


def rooms(hotel: Deployment, night: str) -> list[int]:
    return [item["rooms"] for item in hotel.scan("NightsTable") if item["id"] == f"night#{night}"]


def test_a_booking_reaches_housekeeping(hotel: Deployment) -> None:
    assert invoke(hotel, "bookings", BOOK)["status"] == "CONFIRMED"
    eventually(lambda: rooms(hotel, "2026-12-24"), lambda seen: seen == [1])


def test_a_process_killed_between_commit_and_publish_loses_no_event(hotel: Deployment) -> None:
    # GIVEN a process that is killed with SIGKILL while it publishes
    bus = KillingServer()
    request = BOOK | {"key": "2", "night": "2026-12-31"}
    with environment(hotel, "bookings", AWS_ENDPOINT_URL_EVENTBRIDGE=bus.url):
        name = hotel.resource("BookingsFunction")
        answer = lambda_client(hotel).invoke(FunctionName=name, Payload=json.dumps(request).encode())
        assert "FunctionError" in answer
        assert bus.killed
    bus.close()
    # THEN the booking is confirmed, with its event in its outbox
    (waiting,) = [booking for booking in hotel.scan("BookingsTable") if booking["outbox"]]
    assert (waiting["status"], waiting["night"]) == ("CONFIRMED", "2026-12-31")
    assert rooms(hotel, "2026-12-31") == []
    # WHEN the sweeper finds it due
    overdue: dict[str, Any] = waiting | {"dueAt": 1}
    hotel.dynamodb.put_item(TableName=hotel.resource("BookingsTable"), Item=to_item(overdue))
    assert invoke(hotel, "sweeper", {}) == {"EventsSwept": 1, "SweepFailures": 0}
    # THEN the event arrives, once, and nothing is left to sweep
    eventually(lambda: rooms(hotel, "2026-12-31"), lambda seen: seen == [1])
    assert invoke(hotel, "sweeper", {}) == {"EventsSwept": 0, "SweepFailures": 0}
    markers = [item for item in hotel.scan("NightsTable") if item["id"] == f"event#{waiting['bookingId']}-1"]
    assert len(markers) == 1
