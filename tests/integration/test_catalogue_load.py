"""`handoff catalog load`: what a file does to the products, and what it must not do to what is sold."""

import json

import pytest

from ops import catalogue
from support.world import MUG, body

MUG_ENTRY = {"sku": MUG, "name": "Mug", "unitPrice": 1250, "available": 10}


@pytest.fixture
def load(world, tmp_path):
    """Writes a file and loads it."""

    def load(*entries):
        file = tmp_path / "catalogue.json"
        file.write_text(json.dumps(entries))
        return catalogue.load(world.client("dynamodb"), world.table("ProductsTable"), catalogue.read(file))

    return load


def test_a_new_product_can_be_sold(world, load):
    loaded = load({"sku": "HAT-1", "name": "Hat", "unitPrice": 900, "available": 3})

    assert (loaded.added, loaded.updated, loaded.restocked) == (1, 0, 0)
    assert world.api().place(body(("HAT-1", 3))).status == 201


def test_loading_again_does_not_undo_what_was_sold(world, load, api):
    load(MUG_ENTRY)
    api.place(body((MUG, 4)))

    loaded = load(MUG_ENTRY)

    assert (loaded.added, loaded.updated) == (0, 1)
    assert world.available() == 6


def test_a_product_is_repriced_and_delisted(world, load, api):
    load(MUG_ENTRY | {"unitPrice": 1500})
    assert api.place(body()).json["total"] == 1500

    load(MUG_ENTRY | {"listed": False})

    world.clock.forward(61)
    assert api.place(body(), "key-2").status == 400
    assert api.get("/catalog").json["products"] == []


def test_a_delivery_is_counted_in_once(world, load):
    delivered = MUG_ENTRY | {"delivery": {"id": "monday", "units": 5}}

    assert load(delivered).restocked == 1
    assert load(delivered).restocked == 0
    assert world.available() == 15
    assert load(MUG_ENTRY | {"delivery": {"id": "tuesday", "units": 1}}).restocked == 1
    assert world.available() == 16


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ([MUG_ENTRY | {"unitPrice": -1}], "0.unitPrice"),
        ([MUG_ENTRY | {"available": "10"}], "0.available"),
        ([MUG_ENTRY | {"colour": "blue"}], "0.colour"),
        ([MUG_ENTRY | {"sku": "no spaces"}], "0.sku"),
        ([MUG_ENTRY, MUG_ENTRY], "names a product twice: MUG-01"),
        ([MUG_ENTRY | {"delivery": {"id": "", "units": 1}}], "0.delivery.id"),
    ],
)
def test_a_file_with_a_mistake_loads_nothing_and_says_where(world, load, entries, named):
    with pytest.raises(catalogue.BadCatalogue, match=r"(?i)nothing was loaded") as refused:
        load({"sku": "HAT-1", "name": "Hat", "unitPrice": 900}, *entries)

    assert named.replace("0.", "1.", 1) in str(refused.value)
    assert world.item("ProductsTable", sku="HAT-1") == {}


@pytest.mark.parametrize("text", ["", "{}", "[1]", "no json"])
def test_a_file_that_is_no_list_of_products_is_refused(tmp_path, text):
    file = tmp_path / "catalogue.json"
    file.write_text(text)

    with pytest.raises(catalogue.BadCatalogue, match=r"catalogue\.json"):
        catalogue.read(file)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(catalogue.BadCatalogue, match=r"nowhere\.json: No such file"):
        catalogue.read(tmp_path / "nowhere.json")
