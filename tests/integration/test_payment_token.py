"""The payment token leaves the order in the write that settles its payment, whichever way that is."""

import pytest

from tests.support import wire
from tests.support.wire import Crash
from tests.support.world import body

FULFILLMENT = "FulfillmentFunction"
MINUTES = 60


@pytest.fixture
def prepared(world, order_id):
    """An order that is packed, and whose payment is not captured yet."""
    world.queues.deliver(FULFILLMENT)
    assert world.order(order_id)["paymentToken"] == "tok_approve"
    return order_id


@pytest.fixture
def silent(world, api):
    """An order whose request died while it asked the provider."""

    def ask(how, token="tok_approve"):
        world.wire.on("dynamodb.PutItem", how, where=world.to_provider)
        with pytest.raises(Crash):
            api.place(body(token=token))
        (order,) = world.items("OrdersTable")
        assert order["paymentToken"] == token
        return order["orderId"]

    return ask


def settled_as(world, order_id):
    """How an order's payment has ended; its token is gone by then."""
    order = world.order(order_id)
    assert "paymentDue" not in order
    assert "paymentToken" not in order
    return order["payment"]["state"]


def test_once_it_is_captured(world, prepared):
    world.queues.deliver(FULFILLMENT)

    assert settled_as(world, prepared) == "captured"


def test_once_the_capture_is_refused_for_good(world, prepared):
    world.change("SandboxTable", {"key": f"{prepared}:authorise"}, state="void")

    world.queues.deliver(FULFILLMENT)

    assert settled_as(world, prepared) == "failed"


def test_once_it_is_captured_by_the_sweeper(world, prepared):
    world.clock.forward(2 * MINUTES)
    world.sweep()

    assert settled_as(world, prepared) == "captured"


def test_once_it_is_voided(world, api, order_id):
    api.cancel(order_id)
    assert world.order(order_id)["paymentToken"] == "tok_approve"

    world.queues.until_quiet(FULFILLMENT)

    assert settled_as(world, order_id) == "voided"


def test_once_the_void_is_refused_for_good(world, api, order_id):
    api.cancel(order_id)
    world.change("SandboxTable", {"key": f"{order_id}:authorise"}, state="capture")

    world.queues.until_quiet(FULFILLMENT)

    assert settled_as(world, order_id) == "failed"


def test_at_once_when_it_is_declined(world, api):
    declined = api.place(body(token="tok_decline")).json["orderId"]

    assert settled_as(world, declined) == "failed"


@pytest.mark.parametrize("how", [wire.crash_before, wire.crash_after])
def test_once_an_expired_order_is_voided_and_not_before(world, silent, how):
    # GIVEN an order that nobody finished, and a provider that does not answer
    order_id = silent(how)
    world.clock.forward(10 * MINUTES)
    world.wire.on("dynamodb.*", wire.cannot_connect, where=world.to_provider)
    # WHEN it is given up
    world.sweep()
    # THEN the token is kept, to ask the provider again with
    assert world.order(order_id)["status"] == "REJECTED"
    assert world.order(order_id)["paymentToken"] == "tok_approve"
    # AND it is gone with the answer
    world.clock.forward(10 * MINUTES)
    world.sweep()
    assert settled_as(world, order_id) == "voided"


def test_once_an_expired_order_turns_out_declined(world, silent):
    order_id = silent(wire.crash_before, token="tok_decline")

    world.clock.forward(10 * MINUTES)
    world.sweep()

    assert settled_as(world, order_id) == "voided"
