"""The payment token is removed from the order by the write that settles its payment."""

import pytest

from dev.simulated import wire
from dev.simulated.wire import Crash
from dev.simulated.world import body

FULFILLMENT, SETTLEMENT = "FulfillmentFunction", "SettlementFunction"
MINUTES = 60


@pytest.fixture
def prepared(world, order_id):
    """A packed order whose payment is not captured yet."""
    world.queues.deliver(FULFILLMENT)
    assert world.order(order_id)["paymentToken"] == "tok_approve"
    return order_id


@pytest.fixture
def silent(world, api):
    """An order whose request crashed while it called the provider."""

    def ask(how, token="tok_approve"):
        world.wire.on("dynamodb.PutItem", how, where=world.to_provider)
        with pytest.raises(Crash):
            api.place(body(token=token))
        (order,) = world.items("OrdersTable")
        assert order["paymentToken"] == token
        return order["orderId"]

    return ask


def settled_as(world, order_id):
    """Check that the order has no token; return the final state of its payment."""
    order = world.order(order_id)
    assert "paymentDue" not in order
    assert "paymentToken" not in order
    return order["payment"]["state"]


def test_the_token_is_removed_by_the_capture(world, prepared):
    world.queues.deliver(SETTLEMENT)

    assert settled_as(world, prepared) == "captured"


def test_the_token_is_removed_by_a_refused_capture(world, prepared):
    world.change("SandboxTable", {"key": f"{prepared}:authorise"}, state="void")

    world.queues.deliver(SETTLEMENT)

    assert settled_as(world, prepared) == "failed"


def test_the_token_is_removed_by_a_capture_of_the_sweeper(world, prepared):
    world.clock.forward(2 * MINUTES)
    world.sweep()

    assert settled_as(world, prepared) == "captured"


def test_the_token_is_removed_by_the_void(world, api, order_id):
    api.cancel(order_id)
    assert world.order(order_id)["paymentToken"] == "tok_approve"

    world.queues.until_quiet(SETTLEMENT)

    assert settled_as(world, order_id) == "voided"


@pytest.mark.parametrize(("hold", "payment"), [("declined", "failed"), ("capture", "captured")])
def test_the_token_is_removed_by_a_void_that_is_not_possible(world, api, order_id, hold, payment):
    api.cancel(order_id)
    world.change("SandboxTable", {"key": f"{order_id}:authorise"}, state=hold)

    world.queues.until_quiet(SETTLEMENT)

    assert settled_as(world, order_id) == payment


def test_the_token_is_removed_by_the_decline(world, api):
    declined = api.place(body(token="tok_decline")).json["orderId"]

    assert settled_as(world, declined) == "failed"


@pytest.mark.parametrize("how", [wire.crash_before, wire.crash_after])
def test_an_expired_orders_token_is_kept_until_the_void(world, silent, how):
    # GIVEN an abandoned order, and a provider that does not answer
    order_id = silent(how)
    world.clock.forward(10 * MINUTES)
    world.wire.on("dynamodb.*", wire.cannot_connect, where=world.to_provider)
    # WHEN it expires
    world.sweep()
    # THEN the token is kept for the next call of the provider
    assert world.order(order_id)["status"] == "REJECTED"
    assert world.order(order_id)["paymentToken"] == "tok_approve"
    # AND it is removed with the answer
    world.clock.forward(10 * MINUTES)
    world.sweep()
    assert settled_as(world, order_id) == "voided"


def test_an_expired_orders_token_is_removed_by_a_late_decline(world, silent):
    order_id = silent(wire.crash_before, token="tok_decline")

    world.clock.forward(10 * MINUTES)
    world.sweep()

    assert settled_as(world, order_id) == "voided"
