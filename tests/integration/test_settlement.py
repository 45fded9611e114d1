"""Settlement: each payment is captured or voided once, and a shipment is released only once it is paid."""

from types import SimpleNamespace

import pytest

from dev.simulated import wire
from dev.simulated.messages import message
from dev.simulated.world import MUG, body
from handoff.clock import Deadline
from handoff.unfinished import PendingWork
from shop.fingerprint import Fingerprint
from shop.refunding import RefundRequest, request_refund
from tests.support import invariants

FULFILLMENT, SETTLEMENT = "FulfillmentFunction", "SettlementFunction"


@pytest.fixture
def deliver(world):
    """Deliver one event of the order in a batch of one."""

    def send(detail_type, order_id, sequence):
        world.queues.send(SETTLEMENT, message(detail_type, order_id, sequence))
        world.queues.deliver(SETTLEMENT)

    return send


@pytest.fixture
def prepared(world, order_id):
    """An order with a prepared shipment and an uncaptured payment."""
    world.queues.deliver(FULFILLMENT)
    assert world.order(order_id)["status"] == "PREPARED"
    return order_id


@pytest.fixture
def cancelled(api, order_id):
    """A canceled order whose payment is not voided yet."""
    api.cancel(order_id)
    return order_id


# --- capturing --------------------------------------------------------------------------------------------------------


def test_a_prepared_shipment_is_paid_and_released(world, prepared):
    world.queues.deliver(SETTLEMENT)

    assert world.ledger() == {prepared: "capture"}
    assert world.order(prepared)["payment"]["state"] == "captured"
    assert world.item("ShipmentsTable", orderId=prepared)["state"] == "released"


def test_a_shipment_is_released_in_the_write_that_records_the_payment(world, prepared):
    with world.wire.watched() as calls:
        world.queues.deliver(SETTLEMENT)

    written = [call.tables for call in calls if call.operation == "TransactWriteItems" and not world.to_provider(call)]
    assert written == [{world.table("OrdersTable"), world.table("ShipmentsTable")}]


def test_a_paid_order_keeps_no_payment_token(world, prepared):
    assert "paymentToken" in world.order(prepared)

    world.queues.deliver(SETTLEMENT)

    assert "paymentToken" not in world.order(prepared)


def test_a_deleted_shipment_is_not_recreated_by_its_payment(world, prepared):
    # GIVEN a shipment that was deleted
    world.client("dynamodb").delete_item(TableName=world.table("ShipmentsTable"), Key={"orderId": {"S": prepared}})

    # WHEN its payment is captured
    world.queues.deliver(SETTLEMENT)

    # THEN no shipment is created, and the order stays unfinished
    assert world.items("ShipmentsTable") == []
    assert world.order(prepared)["paymentDue"]["action"] == "capture"


def test_a_refused_capture_releases_nothing(world, prepared, printed):
    # GIVEN a voided hold
    world.change("SandboxTable", {"key": f"{prepared}:authorise"}, state="void")

    # WHEN it is captured
    printed()
    world.queues.deliver(SETTLEMENT)

    # THEN the payment has failed and is counted, and the shipment is not released
    assert world.order(prepared)["payment"]["state"] == "failed"
    assert world.order(prepared)["payment"]["reason"] == "nothing is held under this reference"
    assert "paymentDue" not in world.order(prepared)
    assert world.item("ShipmentsTable", orderId=prepared)["state"] == "prepared"
    assert sum(printed()["PaymentsFailed"].values) == 1
    assert world.queues.waiting(SETTLEMENT) == 0


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
    world.queues.deliver(SETTLEMENT)
    assert world.order(prepared)["paymentDue"]["action"] == "capture"
    assert world.item("ShipmentsTable", orderId=prepared)["state"] == "prepared"

    # WHEN it is called again
    world.clock.forward(11)
    world.queues.until_quiet()

    # THEN the payment is captured once
    assert len(world.ledger("capture")) == 1
    invariants.check(world, {MUG: 10})


# --- the index of unfinished orders -----------------------------------------------------------------------------------


@pytest.fixture
def settle_with_a_dead_bus(world, prepared):
    """Let time pass, set when the sweeper looks at the order, and settle it; its event stays in the outbox."""

    def settle(seconds, due_in=None):
        world.clock.forward(seconds)
        if due_in is not None:
            world.change("OrdersTable", {"orderId": prepared}, dueAt=world.clock.ms + due_in)
        world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
        world.queues.deliver(SETTLEMENT)
        order = world.order(prepared)
        assert list(order["outbox"]) == ["3"]
        return order["dueAt"] - world.clock.ms

    return settle


def test_an_order_that_the_sweeper_looks_at_soon_keeps_its_place_in_the_index(settle_with_a_dead_bus):
    assert settle_with_a_dead_bus(10) == 50_000


@pytest.mark.parametrize("due_in", [-1, 29_999, 60_001, 3_600_000])
def test_an_order_that_is_due_too_soon_or_too_late_for_its_event_is_moved(settle_with_a_dead_bus, due_in):
    assert settle_with_a_dead_bus(0, due_in) == 60_000


def test_an_order_that_is_rescheduled_meanwhile_is_moved_for_its_event(world, prepared, settle_with_a_dead_bus):
    def reschedule():
        world.change("OrdersTable", {"orderId": prepared}, dueAt=world.clock.ms + 3_600_000)

    world.wire.on("dynamodb.TransactWriteItems", wire.meanwhile(reschedule))

    assert settle_with_a_dead_bus(0) == 60_000
    assert world.order(prepared)["payment"]["state"] == "captured"


# --- voiding ----------------------------------------------------------------------------------------------------------


def test_a_canceled_order_is_voided(world, cancelled):
    world.queues.until_quiet()

    assert world.ledger() == {cancelled: "void"}
    assert world.order(cancelled)["payment"]["state"] == "voided"
    invariants.check(world, {MUG: 10})


def test_a_payment_whose_last_event_is_removed_meanwhile_leaves_no_index_entry(world, api, order_id, deliver):
    # GIVEN a cancelled order whose event was not published
    world.wire.on("eventbridge.PutEvents", wire.cannot_connect)
    api.cancel(order_id)
    assert world.order(order_id)["outbox"].keys() == {"2"}

    # WHEN it is removed from the outbox while the void is recorded
    orders = world.functions.module(SETTLEMENT)._orders
    seen = PendingWork.of(orders.get(order_id))
    removed = wire.meanwhile(lambda: orders.unfinished.clear(order_id, seen, ["2"], Deadline(10)))
    world.wire.on("dynamodb.*", removed, where=lambda call: "payment" in call.request.get("UpdateExpression", ""))
    deliver("order_cancelled", order_id, 2)

    # THEN the record is complete, and the sweeper has nothing to look for
    order = world.order(order_id)
    assert (order["payment"]["state"], order["outbox"]) == ("voided", {})
    assert not {"paymentDue", "unfinished", "dueAt", "unfinishedSince"} & order.keys()


@broken
def test_a_void_without_a_definite_answer_is_retried(world, cancelled, fault):
    world.wire.on("dynamodb.TransactWriteItems", fault, where=world.to_provider)
    world.queues.deliver(SETTLEMENT)
    assert world.order(cancelled)["paymentDue"]["action"] == "void"

    world.clock.forward(11)
    world.queues.until_quiet()

    assert len(world.ledger("void")) == 1
    invariants.check(world, {MUG: 10})


# --- late, duplicated and shuffled events -----------------------------------------------------------------------------


def test_late_duplicates_of_a_shipped_order_change_nothing(world, order_id, deliver, unchanged):
    world.queues.until_quiet()
    world.clock.forward(86_400)

    unchanged(lambda: deliver("shipment_prepared", order_id, 2))


def test_late_duplicates_of_a_canceled_order_change_nothing(world, cancelled, deliver, unchanged):
    world.queues.until_quiet()
    world.clock.forward(86_400)

    unchanged(lambda: deliver("order_cancelled", cancelled, 2))


def test_two_concurrent_instances_capture_once(world, prepared):
    # GIVEN the same event twice
    world.queues.send(SETTLEMENT, message("shipment_prepared", prepared, 2))
    another = wire.meanwhile(lambda: world.queues.deliver(SETTLEMENT))
    world.wire.on("dynamodb.TransactWriteItems", another, where=world.touching("ShipmentsTable"))

    # WHEN the second settles the payment while the first is about to record it
    world.functions.invoke(SETTLEMENT, {"Records": world.queues.receive(SETTLEMENT, 1)})

    # THEN the payment is captured once
    assert world.ledger() == {prepared: "capture"}
    assert len(world.ledger("capture")) == 1
    world.queues.until_quiet()
    invariants.check(world, {MUG: 10})


def test_a_cancellation_that_arrives_before_the_order_is_voided(world, cancelled):
    # GIVEN the cancellation first, and the canceled order's event later
    world.queues.until_quiet(SETTLEMENT)
    world.queues.until_quiet(FULFILLMENT)

    # THEN it is canceled, voided, and not shipped
    world.queues.until_quiet()
    assert world.ledger() == {cancelled: "void"}
    invariants.check(world, {MUG: 10})


# --- refunding --------------------------------------------------------------------------------------------------------


@pytest.fixture
def refund(world, api):
    """Place an order with this token, let it be released, and request a refund of five euros; return its id."""

    def request(token="tok_approve"):
        order_id = api.place(body(token=token)).json["orderId"]
        world.queues.until_quiet()
        function = world.functions.module(SETTLEMENT)
        wanted = RefundRequest(order_id, "key-1", {}, 500, "Broken", restock=False, fingerprint=Fingerprint("3:1", "1"))
        request_refund(SimpleNamespace(orders=function._orders, bus=function._bus), wanted, Deadline(10))
        return order_id

    return request


def state_of_refund(world, order_id):
    (refund,) = world.order(order_id)["refunds"].values()
    return refund["state"]


def test_a_requested_refund_is_made_and_published(world, refund):
    order_id = refund()

    world.queues.until_quiet(SETTLEMENT)

    assert state_of_refund(world, order_id) == "refunded"
    assert world.event_types()[-2:] == ["refund_requested", "order_refunded"]
    world.queues.until_quiet()
    invariants.check(world, {MUG: 10})


def test_a_pending_refund_is_left_to_the_sweeper_and_its_repeated_event_is_not_retried(world, refund, deliver, printed):
    # GIVEN a refund that the provider makes later
    order_id = refund("tok_refund_pending")
    world.queues.until_quiet(SETTLEMENT)
    assert state_of_refund(world, order_id) == "pending"
    printed()

    # WHEN its event is delivered again
    deliver("refund_requested", order_id, world.order(order_id)["sequence"])

    # THEN it is a repeat
    assert printed()["EventsRepeated"].values == [1.0]
    assert world.queues.waiting(SETTLEMENT) == 0

    # AND the sweeper finishes the refund
    world.settle_down(5)
    assert state_of_refund(world, order_id) == "refunded"
    invariants.check(world, {MUG: 10})


def test_a_refused_refund_is_counted_for_the_alarm(world, refund, printed):
    order_id = refund("tok_refund_fails")
    printed()

    world.queues.until_quiet(SETTLEMENT)

    assert state_of_refund(world, order_id) == "failed"
    assert sum(printed()["PaymentsFailed"].values) == 1
    assert world.queues.waiting(SETTLEMENT) == 0


def test_a_void_that_finds_the_money_captured_becomes_a_refund(world, cancelled):
    # GIVEN a cancelled order whose hold a merchant has captured in the provider's dashboard
    world.change("SandboxTable", {"key": f"{cancelled}:authorise"}, state="capture")

    # WHEN it is settled
    world.queues.until_quiet(SETTLEMENT)

    # THEN all that was captured is refunded
    assert state_of_refund(world, cancelled) == "refunded"
    assert world.event_types()[-2:] == ["refund_requested", "order_refunded"]
