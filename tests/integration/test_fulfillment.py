"""Fulfillment: shipped at most once, and only once paid."""

import pytest

from dev.simulated import wire
from dev.simulated.messages import message
from dev.simulated.world import ADDRESS, MUG, body
from tests.support import invariants

FULFILLMENT = "FulfillmentFunction"
VISIBILITY = 721


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

    assert world.event_types() == ["order_placed", "shipment_prepared"]
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


# --- capturing --------------------------------------------------------------------------------------------------------


def test_a_prepared_shipment_is_paid_and_released(world, prepared):
    world.queues.deliver(FULFILLMENT)

    assert world.ledger() == {prepared: "capture"}
    assert world.order(prepared)["payment"]["state"] == "captured"
    assert world.item("ShipmentsTable", orderId=prepared)["state"] == "released"


def test_a_shipment_is_released_in_the_write_that_records_the_payment(world, prepared):
    with world.wire.watched() as calls:
        world.queues.deliver(FULFILLMENT)

    written = [call.tables for call in calls if call.operation == "TransactWriteItems" and not world.to_provider(call)]
    assert written == [{world.table("OrdersTable"), world.table("ShipmentsTable")}]


def test_a_paid_order_keeps_no_payment_token(world, prepared):
    assert "paymentToken" in world.order(prepared)

    world.queues.deliver(FULFILLMENT)

    assert "paymentToken" not in world.order(prepared)


def test_a_deleted_shipment_is_not_recreated_by_its_payment(world, prepared):
    # GIVEN a shipment that was deleted
    world.client("dynamodb").delete_item(TableName=world.table("ShipmentsTable"), Key={"orderId": {"S": prepared}})

    # WHEN its payment is captured
    world.queues.deliver(FULFILLMENT)

    # THEN no shipment is created, and the order stays unfinished
    assert world.items("ShipmentsTable") == []
    assert world.order(prepared)["paymentDue"]["action"] == "capture"


def test_a_refused_capture_releases_nothing(world, prepared, printed):
    # GIVEN a voided hold
    world.change("SandboxTable", {"key": f"{prepared}:authorise"}, state="void")

    # WHEN it is captured
    printed()
    world.queues.deliver(FULFILLMENT)

    # THEN the payment has failed and is counted, and the shipment is not released
    assert world.order(prepared)["payment"]["state"] == "failed"
    assert world.order(prepared)["payment"]["reason"] == "nothing is held under this reference"
    assert "paymentDue" not in world.order(prepared)
    assert world.item("ShipmentsTable", orderId=prepared)["state"] == "prepared"
    assert sum(printed()["PaymentsFailed"].values) == 1
    assert world.queues.waiting(FULFILLMENT) == 0


@pytest.mark.parametrize("detail_type", ["shipment_prepared", "order_cancelled"])
def test_a_payment_settled_before_is_a_repeat(world, api, order_id, deliver, printed, detail_type):
    # GIVEN an order whose payment is settled
    if detail_type == "order_cancelled":
        api.cancel(order_id)
    world.queues.until_quiet()
    settled = world.order(order_id)["payment"]
    printed()

    # WHEN the event is delivered again
    deliver(detail_type, order_id, 2)

    # THEN it is counted as a repeat, and nothing changes
    assert printed()["EventsRepeated"].values == [1.0]
    assert world.order(order_id)["payment"] == settled


BROKEN_PROVIDER = [
    wire.cannot_connect,
    wire.lose_request,
    wire.lose_response,
    wire.refuse("InternalServerError", 500),
    wire.refuse("ThrottlingException"),
]
broken = pytest.mark.parametrize(
    "fault", BROKEN_PROVIDER, ids=["unreachable", "request lost", "answer lost", "broken", "throttled"]
)


@broken
def test_a_capture_without_a_definite_answer_is_retried(world, prepared, fault):
    # GIVEN a provider that does not answer
    world.wire.on("dynamodb.TransactWriteItems", fault, where=world.to_provider)
    world.queues.deliver(FULFILLMENT)
    assert world.order(prepared)["paymentDue"]["action"] == "capture"
    assert world.item("ShipmentsTable", orderId=prepared)["state"] == "prepared"

    # WHEN it is called again
    world.clock.forward(11)
    world.queues.until_quiet()

    # THEN the payment is captured once
    assert len(world.ledger("capture")) == 1
    invariants.check(world, {MUG: 10})


@pytest.mark.parametrize("fault", [wire.crash_before, wire.crash_after])
@pytest.mark.parametrize("nth", range(1, 7))
def test_a_crash_at_any_call_ships_once_and_paid(world, order_id, fault, nth):
    # GIVEN a fulfillment that crashes at one of its calls
    world.wire.on("*", fault, nth=nth, where=lambda _: FULFILLMENT in world.functions.running)
    world.queues.until_quiet()

    # WHEN all retries are over
    world.clock.forward(VISIBILITY)
    world.settle_down(2)

    # THEN it is shipped and paid, once
    assert world.order(order_id)["status"] == "PREPARED"
    assert world.ledger() == {order_id: "capture"}
    invariants.check(world, {MUG: 10})


# --- voiding ----------------------------------------------------------------------------------------------------------


def test_a_canceled_order_is_voided(world, cancelled):
    world.queues.until_quiet()

    assert world.ledger() == {cancelled: "void"}
    assert world.order(cancelled)["payment"]["state"] == "voided"
    invariants.check(world, {MUG: 10})


@broken
def test_a_void_without_a_definite_answer_is_retried(world, cancelled, fault):
    world.wire.on("dynamodb.TransactWriteItems", fault, where=world.to_provider)
    world.queues.deliver(FULFILLMENT)
    assert world.order(cancelled)["paymentDue"]["action"] == "void"

    world.clock.forward(11)
    world.queues.until_quiet()

    assert len(world.ledger("void")) == 1
    invariants.check(world, {MUG: 10})


# --- late, duplicated and shuffled events -----------------------------------------------------------------------------


@pytest.fixture
def unchanged(world):
    """Check that a function changes none of the tables that fulfillment writes."""

    def during(do):
        tables = ("OrdersTable", "ShipmentsTable", "SandboxTable", "ProductsTable")
        before = [world.items(table) for table in tables]
        announced = world.event_types()
        do()
        assert [world.items(table) for table in tables] == before
        assert world.event_types() == announced
        assert world.queues.waiting(FULFILLMENT) == 0

    return during


def test_late_duplicates_of_a_shipped_order_change_nothing(world, order_id, deliver, unchanged):
    world.queues.until_quiet()
    world.clock.forward(86_400)

    unchanged(lambda: deliver("order_placed", order_id, 1))
    unchanged(lambda: deliver("shipment_prepared", order_id, 2))


def test_late_duplicates_of_a_canceled_order_change_nothing(world, cancelled, deliver, unchanged):
    world.queues.until_quiet()
    world.clock.forward(86_400)

    unchanged(lambda: deliver("order_cancelled", cancelled, 2))
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


def test_events_in_the_wrong_order_have_the_same_result(world, api, order_id):
    # GIVEN the cancellation first, and the canceled order's event later
    api.cancel(order_id)
    world.client("sqs").purge_queue(QueueUrl=world.stack.resource("FulfillmentQueue").ref)
    world.queues.send(FULFILLMENT, message("order_cancelled", order_id, 2))
    world.queues.deliver(FULFILLMENT)
    world.queues.send(FULFILLMENT, message("order_placed", order_id, 1))
    world.queues.deliver(FULFILLMENT)

    # THEN it is canceled, voided, and not shipped
    world.queues.until_quiet()
    assert world.ledger() == {order_id: "void"}
    invariants.check(world, {MUG: 10})
