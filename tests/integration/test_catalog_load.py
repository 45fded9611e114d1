"""`handoff catalog load`: changes to products, which keep the sold units."""

import json

import boto3
import pytest

from dev.simulated import wire
from dev.simulated.wire import Crash
from dev.simulated.world import MUG, TEE, body
from handoff import aws
from ops import catalog

MUG_ENTRY = {"sku": MUG, "name": "Mug", "unitPrice": 1250, "available": 10}


@pytest.fixture
def file(tmp_path):
    """Write a file with these entries, and read it."""

    def file(*entries):
        path = tmp_path / "catalog.json"
        path.write_text(json.dumps(entries))
        return catalog.read(path)

    return file


@pytest.fixture
def load(world, file):
    """Load these entries."""
    return lambda *entries: catalog.load(world.client("dynamodb"), world.table("ProductsTable"), file(*entries))


@pytest.fixture
def count(world, file):
    """Add the deliveries of these entries over the wire; return how many were added."""
    tables = [world.table(name) for name in ("ProductsTable", "IdempotencyTable")]
    return lambda *entries: catalog.count_deliveries(boto3.client("dynamodb"), *tables, file(*entries))


def delivered(delivery_id, units, **entry):
    """Return an entry with a delivery of mugs."""
    return MUG_ENTRY | {"delivery": {"id": delivery_id, "units": units}} | entry


def test_a_new_product_can_be_sold(world, load):
    loaded = load({"sku": "HAT-1", "name": "Hat", "unitPrice": 900, "available": 3})

    assert (loaded.added, loaded.updated) == (1, 0)
    assert world.api().place(body(("HAT-1", 3))).status == 201


def test_loading_again_keeps_the_sold_units(world, load, api):
    load(MUG_ENTRY)
    api.place(body((MUG, 4)))

    loaded = load(MUG_ENTRY)

    assert (loaded.added, loaded.updated) == (0, 1)
    assert world.available() == 6


def test_a_load_changes_price_and_listing(world, load, api):
    load(MUG_ENTRY | {"unitPrice": 1500})
    assert api.place(body()).json["total"] == 1500

    load(MUG_ENTRY | {"listed": False})

    world.clock.forward(61)
    assert api.place(body(), "key-2").status == 400
    assert api.get("/catalog").json["products"] == []


def test_a_delivery_is_added_once(world, count):
    assert count(delivered("monday", 5)) == 1
    assert count(delivered("monday", 5)) == 0
    assert world.available() == 15
    assert count(delivered("tuesday", 1)) == 1
    assert world.available() == 16


def test_deliveries_of_several_products_can_share_an_id(world, count):
    world.stock(TEE)

    assert count(delivered("monday", 5), delivered("monday", 2, sku=TEE)) == 2

    assert (world.available(), world.available(TEE)) == (15, 12)


def test_old_deliveries_are_recognized_among_many(world, count):
    # GIVEN deliveries of many days
    before = world.item("ProductsTable", sku=MUG)
    for day in range(30):
        count(delivered(f"day-{day}", 1))

    # WHEN the first is loaded again years later
    world.clock.forward(10 * 365 * 86_400)

    # THEN it is not added, no id expires, and the product's item has not grown
    assert count(delivered("day-0", 1)) == 0
    assert not [marker for marker in world.items("IdempotencyTable") if "expiration" in marker]
    assert world.item("ProductsTable", sku=MUG) == before | {"available": 40}


def test_a_delivery_recorded_by_an_older_version_is_recognized(world, count):
    world.change("ProductsTable", {"sku": MUG}, deliveries={"monday"})

    assert count(delivered("monday", 5)) == count(delivered("monday", 5)) == 0
    assert count(delivered("tuesday", 1)) == 1
    assert world.available() == 11


@pytest.mark.parametrize("fault", [wire.crash_before, wire.crash_after, wire.lose_request, wire.lose_response])
def test_a_delivery_of_a_failed_command_is_added_once_by_the_next(world, count, fault):
    world.wire.always("dynamodb.TransactWriteItems", fault)
    with pytest.raises((Crash, *aws.ERRORS)):
        count(delivered("monday", 5))

    world.wire.heal()
    count(delivered("monday", 5))

    assert world.available() == 15


def test_a_concurrent_order_does_not_stop_a_delivery(world, count):
    world.wire.on("dynamodb.TransactWriteItems", wire.conflict, times=3)

    assert count(delivered("monday", 5)) == 1
    assert world.available() == 15


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ([MUG_ENTRY | {"unitPrice": -1}], "0.unitPrice"),
        ([MUG_ENTRY | {"available": "10"}], "0.available"),
        ([MUG_ENTRY | {"colour": "blue"}], "0.colour"),
        ([MUG_ENTRY | {"sku": "no spaces"}], "0.sku"),
        ([MUG_ENTRY, MUG_ENTRY], "has duplicate products: MUG-01"),
        ([MUG_ENTRY | {"delivery": {"id": "", "units": 1}}], "0.delivery.id"),
    ],
)
def test_an_invalid_file_loads_nothing_and_reports_the_place(world, load, entries, named):
    with pytest.raises(catalog.BadCatalog, match=r"(?i)nothing was loaded") as refused:
        load({"sku": "HAT-1", "name": "Hat", "unitPrice": 900}, *entries)

    assert named.replace("0.", "1.", 1) in str(refused.value)
    assert world.item("ProductsTable", sku="HAT-1") == {}


@pytest.mark.parametrize("text", ["", "{}", "[1]", "no json"])
def test_a_file_without_a_list_of_products_is_rejected(tmp_path, text):
    file = tmp_path / "catalog.json"
    file.write_text(text)

    with pytest.raises(catalog.BadCatalog, match=r"catalog\.json"):
        catalog.read(file)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(catalog.BadCatalog, match=r"nowhere\.json: No such file"):
        catalog.read(tmp_path / "nowhere.json")
