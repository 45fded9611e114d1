"""Fulfillment: each placed order is packed once, and a cancelled one never, whatever the payment provider does."""

import pytest

from dev.simulated import wire
from dev.simulated.messages import message
from dev.simulated.world import ADDRESS, MUG, body
from tests.support import invariants

FULFILLMENT, SETTLEMENT = "FulfillmentFunction", "SettlementFunction"
VISIBILITY = 726


@pytest.fixture
def deliver(world):
    """Deliver one event of the order in a batch of one."""

    def send(detail_type, order_id, sequence):
        world.queues.send(FULFILLMENT, message(detail_type, order_id, sequence))
        world.queues.deliver(FULFILLMENT)

    return send


@pytest.fixture
def prepared(world, order_id):
    """An order with a prepared shipment and an uncaptured payment."""
    world.queues.deliver(FULFILLMENT)
    assert world.order(order_id)["status"] == "PREPARED"
    return order_id


@pytest.fixture
def cancelled(world, api, order_id):
    """A canceled order whose payment is not voided yet."""
    api.cancel(order_id)
    return order_id


# --- preparing --------------------------------------------------------------------------------------------------------


def test_a_placed_order_is_prepared_with_its_shipment_in_one_write(world, order_id):
    with world.wire.watched() as calls:
        world.queues.deliver(FULFILLMENT)

    (write,) = [call for call in calls if call.operation == "TransactWriteItems"]
    assert write.tables == {world.table("OrdersTable"), world.table("ShipmentsTable")}
    assert world.items("ShipmentsTable") == [
        {
            "orderId": order_id,
            "lines": [{"sku": MUG, "name": "Mug-01", "quantity": 1, "unitPrice": 1250}],
            "address": ADDRESS,
            "state": "prepared",
            "preparedAt": "2026-11-23T10:00:00.000Z",
        }
    ]


def test_a_prepared_shipment_is_published(world, prepared):
    event = world.events()[-1]

    assert (event["DetailType"], event["Source"]) == ("shipment_prepared", "handoff.fulfillment")
    assert event["Detail"]["metadata"]["sequence"] == 2
    assert event["Detail"]["data"] == {"orderId": prepared, "userId": "ada"}


def test_a_prepared_shipment_is_not_released_before_it_is_paid(world, prepared):
    assert world.ledger() == {prepared: "held"}
    assert world.item("ShipmentsTable", orderId=prepared)["state"] == "prepared"
    assert world.order(prepared)["paymentDue"]["action"] == "capture"


def test_a_placed_event_of_a_canceled_order_is_skipped(world, cancelled, printed):
    printed()
    world.queues.deliver(FULFILLMENT)

    assert world.items("ShipmentsTable") == []
    metrics = printed()
    assert sum(metrics["EventsSkipped"].values) == 1
    assert "EventsRepeated" not in metrics


def test_a_lost_answer_of_preparing_still_prepares(world, order_id):
    world.wire.on("dynamodb.TransactWriteItems", wire.lose_response)

    world.queues.until_quiet()

    assert world.event_types() == ["order_placed", "shipment_prepared", "shipment_released"]
    invariants.check(world, {MUG: 10})


def test_an_earlier_successful_preparing_is_published_at_once(world, order_id):
    # GIVEN a write whose answer is lost, and whose request token DynamoDB has forgotten at the retry
    world.wire.on("dynamodb.TransactWriteItems", wire.lose_response_and_token)

    # WHEN the order is prepared
    world.queues.deliver(FULFILLMENT)

    # THEN its event does not wait for the sweeper
    assert world.event_types() == ["order_placed", "shipment_prepared"]


def test_the_sweeper_publishes_an_unpublished_shipment(world, order_id):
    world.wire.on("eventbridge.PutEvents", wire.lose_request)
    world.queues.deliver(FULFILLMENT)
    assert world.order(order_id)["outbox"].keys() == {"2"}

    world.settle_down(2)

    invariants.check(world, {MUG: 10})


@pytest.mark.parametrize("fault", [wire.crash_before, wire.crash_after])
@pytest.mark.parametrize("nth", range(1, 7))
@pytest.mark.parametrize("function", [FULFILLMENT, SETTLEMENT])
def test_a_crash_at_any_call_ships_once_and_paid(world, order_id, function, fault, nth):
    # GIVEN a consumer that crashes at one of its calls
    world.wire.on("*", fault, nth=nth, where=lambda _: function in world.functions.running)
    world.queues.until_quiet()

    # WHEN all retries are over
    world.clock.forward(VISIBILITY)
    world.settle_down(2)

    # THEN it is shipped and paid, once
    assert world.order(order_id)["status"] == "PREPARED"
    assert world.ledger() == {order_id: "capture"}
    invariants.check(world, {MUG: 10})


# --- late, duplicated and shuffled events -----------------------------------------------------------------------------


def test_late_duplicates_of_a_shipped_order_change_nothing(world, order_id, deliver, unchanged):
    world.queues.until_quiet()
    world.clock.forward(86_400)

    unchanged(lambda: deliver("order_placed", order_id, 1))


def test_late_duplicates_of_a_canceled_order_change_nothing(world, cancelled, deliver, unchanged):
    world.queues.until_quiet()
    world.clock.forward(86_400)

    unchanged(lambda: deliver("order_placed", cancelled, 1))


def test_the_same_event_twice_in_a_batch_prepares_once(world, order_id):
    world.queues.send(FULFILLMENT, message("order_placed", order_id, 1))

    world.queues.until_quiet()

    assert world.event_types().count("shipment_prepared") == 1
    invariants.check(world, {MUG: 10})


def test_two_concurrent_instances_prepare_once(world, order_id):
    world.queues.send(FULFILLMENT, message("order_placed", order_id, 1))
    another = wire.meanwhile(lambda: world.queues.deliver(FULFILLMENT))
    world.wire.on("dynamodb.TransactWriteItems", another, where=world.touching("ShipmentsTable"))

    # WHEN the second prepares the order while the first is about to
    world.functions.invoke(FULFILLMENT, {"Records": world.queues.receive(FULFILLMENT, 1) + _unrelated(world)})
    world.clock.forward(VISIBILITY)
    world.settle_down(2)

    assert world.event_types().count("shipment_prepared") == 1
    invariants.check(world, {MUG: 10})


def _unrelated(world):
    """A record that succeeds: a batch in which all records fail would raise."""
    declined = world.api("bob").place(body(token="tok_decline")).json["orderId"]
    world.queues.send(FULFILLMENT, message("order_placed", declined, 1, user="bob"))
    return world.queues.receive(FULFILLMENT, 10)[-1:]


@pytest.mark.parametrize("detail_type", ["shipment_prepared", "order_cancelled"])
def test_an_event_of_an_earlier_release_is_skipped(world, api, order_id, deliver, printed, detail_type):
    # GIVEN an order whose payment is due, and its event in fulfillment's queue, where an earlier release received it
    if detail_type == "order_cancelled":
        api.cancel(order_id)
    world.queues.until_quiet(FULFILLMENT)
    world.client("sqs").purge_queue(QueueUrl=world.stack.resource("SettlementQueue").ref)
    due = world.order(order_id)["paymentDue"]
    printed()

    # WHEN this release receives it
    deliver(detail_type, order_id, 2)

    # THEN it is skipped, and the sweeper settles the payment
    assert sum(printed()["EventsSkipped"].values) == 1
    assert world.order(order_id)["paymentDue"] == due
    world.settle_down(2)
    invariants.check(world, {MUG: 10})


# --- independent of the provider --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [wire.cannot_connect, wire.lose_request, wire.refuse("InternalServerError", 500)])
def test_a_dead_provider_does_not_hold_up_packing(world, api, order_id, fault):
    # GIVEN a provider that dies after the order was placed
    asking = []

    def asks(call):
        if world.to_provider(call):
            asking.append(world.functions.running[-1])
        return world.to_provider(call)

    world.wire.always("dynamodb.*", fault, where=asks)

    # WHEN the consumers run
    world.queues.until_quiet()

    # THEN the order is packed and published, but not released before the provider has captured the payment
    assert world.order(order_id)["status"] == "PREPARED"
    assert world.event_types() == ["order_placed", "shipment_prepared"]
    assert world.item("ShipmentsTable", orderId=order_id)["state"] == "prepared"
    assert set(asking) == {SETTLEMENT}

    # WHEN the provider works again
    world.wire.heal()
    world.settle_down(5)

    # THEN the shipment is released
    assert world.item("ShipmentsTable", orderId=order_id)["state"] == "released"
    invariants.check(world, {MUG: 10})
