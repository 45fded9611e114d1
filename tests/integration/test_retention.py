"""Orders whose last step is old lose their personal data; rejected orders are deleted."""

import json

import pytest

from dev.simulated import wire
from dev.simulated.world import MUG, World, body
from handoff.clock import now_ms, to_iso
from shop.retention_cursor import ITEM

DAY = 86_400  # seconds


@pytest.fixture
def world(stack, clock):
    """A shop that keeps the personal data of orders for 90 days, and rejected orders for a week."""
    world = World(stack, clock, settings={"ORDER_DAYS": "90", "REJECTED_DAYS": "7"})
    world.stock(MUG, 100)
    world.customer()
    return world


@pytest.fixture
def api(world):
    return world.api()


def ship(world, api, key):
    order_id = api.place(body(), key=key).json["orderId"]
    world.queues.until_quiet()
    return order_id


def erased(world, *order_ids):
    return ["erasedAt" in world.order(order_id) for order_id in order_ids]


def sweeps(world, count=3):
    """Run the sweeper for some minutes."""
    for _ in range(count):
        world.clock.forward(60)
        world.sweep()


def test_an_order_is_erased_some_days_after_its_last_step(world, api):
    old = ship(world, api, "old")
    world.clock.forward(60 * DAY)
    young = ship(world, api, "young")
    world.clock.forward(31 * DAY)
    sweeps(world)

    assert erased(world, old, young) == [True, False]
    assert world.order(old)["total"] == 1250
    assert "Lovelace" not in json.dumps([world.order(old), world.item("ShipmentsTable", orderId=old)])
    assert world.item("CustomersTable", userId="ada")["name"] == "Ada"
    assert api.get("/orders").json["orders"][0]["orderId"] == young


def test_a_later_refund_keeps_the_data_for_as_long_again(world, api):
    order_id = ship(world, api, "refunded")
    world.clock.forward(60 * DAY)
    assert world.program("refunds:write").refund(order_id, amount=100).status == 201
    world.queues.until_quiet()
    world.clock.forward(60 * DAY)
    sweeps(world)
    assert erased(world, order_id) == [False]
    world.clock.forward(31 * DAY)
    sweeps(world)
    assert erased(world, order_id) == [True]


def test_an_order_under_way_is_not_erased(world, api):
    order_id = ship(world, api, "disputed")
    dispute = {"reference": "dp_1", "amount": 1250, "state": "open", "openedAt": to_iso(now_ms())}
    world.change("OrdersTable", {"orderId": order_id}, dispute=dispute)
    world.clock.forward(100 * DAY)
    sweeps(world)
    assert erased(world, order_id) == [False]


def test_without_a_limit_nothing_is_read_or_erased(stack, clock):
    world = World(stack, clock, settings={"ORDER_DAYS": "0"})
    world.stock()
    world.customer()
    order_id = ship(world, world.api(), "old")
    world.clock.forward(1000 * DAY)
    sweeps(world)
    assert erased(world, order_id) == [False]
    assert world.wire.named("dynamodb.Scan") == [
        call for call in world.wire.named("dynamodb.Scan") if world.table("OrdersTable") not in call.tables
    ]
    assert world.item("LimitsTable", id=ITEM) == {}


def test_a_pass_reads_the_orders_once_a_day(world, api):
    ship(world, api, "one")
    sweeps(world, 10)
    scans = [call for call in world.wire.named("dynamodb.Scan") if world.table("OrdersTable") in call.tables]
    assert len(scans) == 1
    world.clock.forward(DAY)
    sweeps(world, 10)
    scans = [call for call in world.wire.named("dynamodb.Scan") if world.table("OrdersTable") in call.tables]
    assert len(scans) == 2


def test_a_pass_continues_where_the_last_sweep_stopped(world, api, monkeypatch):
    orders = [ship(world, api, f"old-{n}") for n in range(5)]
    world.clock.forward(91 * DAY)
    retention = world.functions.module("SweeperFunction").Retention.run.__globals__
    monkeypatch.setitem(retention, "_READ", 2)

    class Short:
        """A deadline that leaves time for one order, and not for all of a page."""

        def __init__(self, _):
            self.left = 3

        def remaining(self):
            self.left -= 1
            return self.left

    monkeypatch.setitem(retention, "Deadline", Short)
    sweeps(world, 20)
    assert erased(world, *orders) == [True] * 5


def test_a_failure_is_counted_and_tried_again(world, api):
    order_id = ship(world, api, "old")
    world.clock.forward(91 * DAY)
    world.wire.always(
        "dynamodb.UpdateItem", wire.refuse("AccessDeniedException"), where=lambda call: ":erasedAt" in call.values
    )
    world.clock.forward(60)
    report = world.sweep()
    assert (report["SweepFailures"], report["OrdersErased"]) == (1, 0)
    world.wire.heal()
    world.clock.forward(DAY)
    assert world.sweep()["OrdersErased"] == 1
    assert erased(world, order_id) == [True]


def test_a_rejected_order_is_kept_for_its_days(world, api):
    rejected = api.place(body(token="tok_decline"), key="declined").json["orderId"]
    assert world.order(rejected)["expireAt"] == now_ms() // 1000 + 7 * DAY
