"""Payments that merchants and banks change at the provider while Handoff has work to do with them."""

from contextlib import suppress

import pytest

from dev.simulated import wire
from dev.simulated.wire import Crash
from dev.simulated.world import MUG, body
from tests.support import provider_events
from tests.support.merchant import Merchant

SETTLEMENT, FULFILLMENT = "SettlementFunction", "FulfillmentFunction"
TOTAL = 2500


@pytest.fixture
def merchant(world):
    return Merchant(world)


@pytest.fixture
def placed(world, api):
    """The id of a placed order of two mugs."""
    return api.place(body((MUG, 2))).json["orderId"]


@pytest.fixture
def captured(world, placed, merchant):
    """The id of a placed order whose payment the merchant has captured, as the order knows."""
    assert merchant.capture(placed)
    report(world, placed)
    assert world.order(placed)["payment"]["state"] == "captured"
    return placed


def report(world, order_id):
    """Deliver the provider's event about an order's payment."""
    provider_events.publish(world, order_id, f"evt_{len(world.wire.calls)}")
    world.queues.deliver(SETTLEMENT)


def without_bus(world, do):
    """Do something whose event is not published yet."""
    world.wire.always("eventbridge.PutEvents", wire.refuse("InternalException", 500))
    do()
    world.wire.heal()


def refunds(world, order_id):
    return sorted((refund["amount"], refund["state"]) for refund in world.order(order_id)["refunds"].values())


def test_an_event_that_is_earlier_than_the_order_stays_in_the_queue(world, api):
    def event_arrives():
        (order,) = world.items("OrdersTable")
        Merchant(world).act(order["orderId"])
        report(world, order["orderId"])

    api.get("/catalog")
    world.wire.on("dynamodb.UpdateItem", wire.meanwhile(event_arrives), where=world.touching("OrdersTable"))
    answer = api.place(body(token="tok_action", customerAction=True))

    # THEN the event is delivered again, which places the order before the sweeper would look at it
    assert (answer.status, world.queues.waiting(SETTLEMENT)) == (202, 1)
    world.clock.forward(100)
    world.queues.deliver(SETTLEMENT)
    assert world.order(answer.json["orderId"])["status"] == "PLACED"


def test_a_dispute_before_our_capture_is_recorded_is_not_lost(world, placed, merchant):
    without_bus(world, lambda: world.queues.deliver(FULFILLMENT))
    assert merchant.capture(placed)
    assert merchant.dispute(placed)

    report(world, placed)

    assert world.queues.waiting(SETTLEMENT) == 1
    world.clock.forward(60)
    world.until_quiet()
    assert world.order(placed)["dispute"]["state"] == "open"


def test_an_event_about_an_expired_order_waits_for_its_void(world, api, merchant):
    # GIVEN an order that has expired without having learned of its hold, which could not be voided yet
    world.wire.on("dynamodb.UpdateItem", wire.crash_before)
    with suppress(Crash):
        api.place(body((MUG, 2)))
    world.clock.forward(700)
    world.wire.always("*", wire.refuse("ProvisionedThroughputExceededException"), world.to_provider)
    world.sweep()
    world.wire.heal()
    (order,) = world.items("OrdersTable")
    assert (order["status"], order["paymentDue"]["action"]) == ("REJECTED", "void")

    # WHEN the merchant captures it and refunds a part
    assert merchant.capture(order["orderId"])
    assert merchant.refund(order["orderId"], 700)
    report(world, order["orderId"])

    # THEN the event waits, and the refund is recorded once the void has found the capture
    assert world.queues.waiting(SETTLEMENT) == 1
    world.clock.forward(60)
    world.until_quiet()
    assert (700, "refunded") in refunds(world, order["orderId"])


def test_an_order_whose_hold_is_lost_keeps_no_token(world, placed, merchant):
    assert merchant.cancel(placed)

    report(world, placed)

    assert world.order(placed)["status"] == "CANCELLED"
    assert "paymentToken" not in world.order(placed)


def test_a_refund_that_is_due_when_the_order_is_packed_is_made(world, captured):
    program = world.program("refunds:write")
    without_bus(world, lambda: program.refund(captured, amount=500))

    world.until_quiet()

    assert world.order(captured)["status"] == "PREPARED"
    assert refunds(world, captured) == [(500, "refunded")]


def test_a_cancelled_order_is_refunded_what_is_left(world, api, captured, merchant):
    assert merchant.refund(captured, 700)
    report(world, captured)

    assert api.cancel(captured).status == 200
    world.until_quiet()

    assert refunds(world, captured) == [(700, "refunded"), (TOTAL - 700, "refunded")]


def test_a_cancelled_order_that_was_refunded_before_is_not_refunded_again(world, api, captured, merchant):
    assert merchant.refund(captured, TOTAL)
    report(world, captured)

    assert api.cancel(captured).status == 200
    world.until_quiet()

    assert refunds(world, captured) == [(TOTAL, "refunded")]


def test_a_failed_action_keeps_its_reason_after_the_void(world, api):
    order_id = api.place(body(token="tok_action_fail", customerAction=True)).json["orderId"]
    assert Merchant(world).act(order_id)
    assert api.confirm(order_id).problem == "payment-declined"

    world.until_quiet()

    payment = world.order(order_id)["payment"]
    assert (payment["state"], payment["reason"]) == ("voided", "authentication_failed")
