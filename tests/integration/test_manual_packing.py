"""Packing=manual: shipments wait for a warehouse, and one that waits for too long is reported."""

import pytest

from dev.simulated import wire
from dev.simulated.messages import message
from dev.simulated.world import MUG, body, deployed
from tests.support import invariants

FULFILLMENT, SETTLEMENT = "FulfillmentFunction", "SettlementFunction"
WEEK = 7 * 24 * 3600  # seconds


@pytest.fixture(scope="module")
def stack():
    """Deploy the template to moto, for a shop whose warehouse packs."""
    with deployed({"Packing": "manual"}) as stack:
        yield stack


@pytest.fixture
def opened(world, order_id):
    """An order whose shipment is open."""
    world.queues.until_quiet()
    return order_id


def shipment(world, order_id):
    return world.item("ShipmentsTable", orderId=order_id)


def test_a_placed_order_gets_an_open_shipment_and_stays_as_it_is(world, opened):
    stored = shipment(world, opened)

    assert (stored["state"], stored["openKey"], stored["openSince"]) == ("open", "open", "2026-11-23T10:00:00.000Z")
    assert world.order(opened)["status"] == "PLACED"
    assert world.ledger() == {opened: "held"}
    assert world.event_types() == ["order_placed"]


def test_an_open_shipment_is_packed_once_the_warehouse_says_so(world, opened):
    warehouse = world.program("shipments:write")
    assert [found["orderId"] for found in warehouse.shipments().json["shipments"]] == [opened]

    assert warehouse.pack(opened).status == 200
    world.queues.until_quiet()

    assert shipment(world, opened)["state"] == "released"
    assert warehouse.shipments().json["shipments"] == []
    invariants.check(world, {MUG: 10})


def test_an_order_can_be_cancelled_until_the_warehouse_has_packed_it(world, api, opened):
    world.clock.forward(86_400)

    assert api.cancel(opened).status == 200
    world.queues.until_quiet()

    assert world.items("ShipmentsTable") == []
    assert world.ledger() == {opened: "void"}
    invariants.check(world, {MUG: 10})


def test_a_repeated_event_opens_no_second_shipment(world, opened, printed):
    before = shipment(world, opened)
    world.clock.forward(60)
    printed()

    world.queues.send(FULFILLMENT, message("order_placed", opened, 1))
    world.queues.deliver(FULFILLMENT)

    assert printed()["EventsRepeated"].values == [1.0]
    assert shipment(world, opened) == before


def test_an_event_of_a_packed_order_does_not_reopen_its_shipment(world, opened, printed):
    world.program("shipments:write").pack(opened)
    printed()

    world.queues.send(FULFILLMENT, message("order_placed", opened, 1))
    world.queues.deliver(FULFILLMENT)

    assert printed()["EventsRepeated"].values == [1.0]
    assert shipment(world, opened)["state"] == "prepared"


def test_an_order_that_is_cancelled_while_its_shipment_is_opened_has_none(world, api, order_id, printed):
    # GIVEN a cancellation between fulfillment's read and its write
    cancelling = wire.meanwhile(lambda: api.cancel(order_id))
    world.wire.on("dynamodb.TransactWriteItems", cancelling, where=world.touching("ShipmentsTable"))
    printed()

    # WHEN the event is delivered
    world.queues.deliver(FULFILLMENT)

    # THEN it is skipped, not retried
    assert sum(printed()["EventsSkipped"].values) == 1
    assert world.items("ShipmentsTable") == []
    assert world.queues.waiting(FULFILLMENT) == 0


# --- shipments that are not packed in time ----------------------------------------------------------------------------


@pytest.fixture
def held(world, order_id):
    """An order with a hold of a week, whose shipment is open."""
    payment = world.order(order_id)["payment"] | {"expiresAt": world.clock.ms + WEEK * 1000}
    world.change("OrdersTable", {"orderId": order_id}, payment=payment)
    world.queues.until_quiet()
    return order_id


def test_a_shipment_that_is_not_packed_by_half_its_hold_is_counted_and_logged(world, held, caplog):
    world.clock.forward(WEEK / 2 - 10)
    assert world.sweep()["HoldsExpiring"] == 0

    world.clock.forward(20)
    assert world.sweep()["HoldsExpiring"] == 1

    (line,) = [record for record in caplog.records if record.message.endswith("half its life and not packed")]
    assert line.order_id == held


def test_open_shipments_that_cannot_be_read_do_not_end_a_sweep(world, api, held):
    # GIVEN an event that only the sweeper publishes, and an index that cannot be read
    world.wire.on("eventbridge.PutEvents", wire.lose_request)
    api.place(body(), key="key-2")
    reading = {"where": world.touching("ShipmentsTable")}
    world.wire.always("dynamodb.Query", wire.refuse("AccessDeniedException"), **reading)

    # WHEN the sweeper runs
    world.clock.forward(WEEK)
    report = world.sweep()

    # THEN it has done its other work
    assert (report["EventsSwept"], report["HoldsExpiring"]) == (1, 0)
