"""Events that wait in outboxes, as the console counts them."""

import json
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError

from dev.simulated import wire
from dev.simulated.world import body
from ops.console.figures import LOCAL, Reader
from ops.stack.outboxes import Outboxes, Waiting


@pytest.fixture
def outboxes(world) -> Outboxes:
    return Outboxes(
        SimpleNamespace(
            parameters=world.stack.parameters,
            dynamodb=boto3.client("dynamodb"),
            of_type=lambda kind: list(world.stack.template.of_type(kind)),
            resource=lambda logical_id: world.stack.resource(logical_id).ref,
        )
    )


def test_events_wait_while_the_bus_is_down(world, api, outboxes) -> None:
    # GIVEN an order whose event is published
    api.place(body(), key="before")
    assert outboxes.read() == Waiting()
    # WHEN the bus is down while an order is placed, and another one is placed and canceled
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
    api.place(body(), key="first")
    world.clock.forward(5)
    order_id = api.place(body(), key="second").json["orderId"]
    api.cancel(order_id)
    # THEN their events are counted, with the age of the oldest
    assert outboxes.read() == Waiting(events=3, oldest=5.0)
    # WHEN the bus is up again and the sweeper has run, THEN none waits
    world.wire.heal()
    world.clock.forward(120)
    world.sweep()
    assert outboxes.read() == Waiting()


def test_an_outbox_of_a_customer_is_counted_too(world, outboxes) -> None:
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
    profile = {"name": "Bob", "email": "new.address@example.com"}
    assert world.api("bob").call("PUT", "/me", json.dumps(profile)).status == 200
    assert outboxes.read().events == 1


def test_work_that_is_due_and_no_event_is_not_counted(world, api, outboxes) -> None:
    # GIVEN an order whose payment is due, and whose events are published
    api.cancel(api.place(body()).json["orderId"])
    assert world.items("OrdersTable")[0]["paymentDue"]
    assert outboxes.read() == Waiting()


def test_a_role_without_permission_for_the_tables_still_sees_the_queues(world, outboxes) -> None:
    reader = Reader(outboxes.deployment, LOCAL)
    world.wire.always("dynamodb.DescribeTable", wire.refuse("AccessDeniedException", 400))
    assert reader._read_outboxes() is None
    # AND another error is none of permissions
    world.wire.heal()
    world.wire.always("dynamodb.DescribeTable", wire.refuse("ResourceNotFoundException", 400))
    with pytest.raises(ClientError):
        reader._read_outboxes()


def test_more_events_than_are_read_are_said_to_be_more(world, api, outboxes, monkeypatch) -> None:
    monkeypatch.setattr("ops.stack.outboxes._MOST", 2)
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
    for n in range(3):
        api.place(body(), key=f"key-{n}")
    waiting = outboxes.read()
    assert (waiting.events, waiting.is_partial) == (2, True)
