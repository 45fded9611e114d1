"""Shipments that wait to be packed, in DynamoDB."""

import pytest

from dev.simulated.world import body
from handoff import aws
from handoff.clock import Deadline, to_iso
from shop import ids
from shop.shipment_store import ShipmentStore

ORDER = ids.order_id("ada", "key-1")


@pytest.fixture
def shipments(world):
    """The store."""
    client = world.client("dynamodb")
    return ShipmentStore(client, orders=world.table("OrdersTable"), shipments=world.table("ShipmentsTable"))


@pytest.fixture
def placed(world, api):
    """A placed order."""
    api.place(body())
    return world.functions.module("OrdersFunction")._app.shop.orders.get(ORDER)


def test_an_open_shipment_of_a_placed_order_is_stored_once(world, clock, shipments, placed):
    assert shipments.open(placed, clock.ms, Deadline(10))
    stored = world.item("ShipmentsTable", orderId=ORDER)
    assert (stored["state"], stored["openKey"], stored["openSince"]) == ("open", "open", to_iso(clock.ms))
    assert stored["lines"] == world.order(ORDER)["lines"]

    clock.forward(60)
    assert not shipments.open(placed, clock.ms, Deadline(10))
    assert world.item("ShipmentsTable", orderId=ORDER) == stored


@pytest.mark.parametrize("change", ["cancelled", "packed"])
def test_no_shipment_is_opened_for_an_order_that_is_not_placed(world, api, clock, shipments, placed, change):
    if change == "cancelled":
        api.cancel(ORDER)
    else:
        world.queues.deliver("FulfillmentFunction")
    before = world.items("ShipmentsTable")

    with pytest.raises(aws.ConditionFailed):
        shipments.open(placed, clock.ms, Deadline(10))
    assert world.items("ShipmentsTable") == before


def test_canceling_removes_the_open_shipment_in_the_same_write(world, api, clock, shipments, placed):
    shipments.open(placed, clock.ms, Deadline(10))

    with world.wire.watched() as calls:
        api.cancel(ORDER)

    assert world.items("ShipmentsTable") == []
    (write,) = (call for call in calls if call.operation == "TransactWriteItems")
    assert {world.table("OrdersTable"), world.table("ShipmentsTable")} <= write.tables


def test_a_packed_shipment_leaves_the_index_of_open_ones(world, clock, shipments, placed):
    shipments.open(placed, clock.ms, Deadline(10))

    world.queues.deliver("FulfillmentFunction")

    stored = world.item("ShipmentsTable", orderId=ORDER)
    assert stored["state"] in {"prepared", "released"}
    assert not stored.keys() & {"openKey", "openSince", "packBy"}
