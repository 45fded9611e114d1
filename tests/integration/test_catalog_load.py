"""`handoff catalog load`: changes to products, which keep the sold units."""

import json
import signal
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from click.testing import CliRunner

from dev.simulated import wire
from dev.simulated.wire import Crash
from dev.simulated.world import MUG, TEE, body
from handoff import aws
from ops import catalog
from ops.cli import main as cli
from ops.cli.options import Target

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
        ([MUG_ENTRY | {"delivery": {"id": "mon\u200bday", "units": 1}}], "0.delivery.id: Contains the invisible"),
        ([MUG_ENTRY | {"delivery": {"id": " monday", "units": 1}}], "0.delivery.id: Has spaces around it"),
        ([MUG_ENTRY | {"delivery": {"id": "Januar e\u0301", "units": 1}}], "write Januar \u00e9"),
        ([MUG_ENTRY | {"name": "\u200b\u200b"}], "0.name: Contains the invisible or unreadable character U+200B"),
        (
            [MUG_ENTRY | {"name": "Mug\nFree of charge"}],
            "0.name: Contains the invisible or unreadable character U+000A",
        ),
        ([MUG_ENTRY | {"name": "Mug \u202eeulb"}], "0.name: Contains the invisible or unreadable character U+202E"),
        ([MUG_ENTRY | {"name": "Caf\ufffd"}], "0.name: Contains the invisible or unreadable character U+FFFD"),
        ([MUG_ENTRY | {"name": "   "}], "0.name: Contains nothing that is visible"),
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


@pytest.fixture
def written(tmp_path):
    """Write a file with this content."""
    file = tmp_path / "catalog.json"

    def written(content):
        file.write_bytes(content)
        return file

    return written


DOCUMENT = '[{"sku": "CAFE", "name": "Caf\u00e9", "unitPrice": 900}]'


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_file_in_utf_8_is_read_with_and_without_a_byte_order_mark(written, mark):
    assert [entry.name for entry in catalog.read(written(mark + DOCUMENT.encode()))] == ["Caf\u00e9"]


@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("utf-16", "is in UTF-16"),  # with a byte-order mark
        ("utf-16-le", "is in UTF-16-LE"),
        ("utf-16-be", "is in UTF-16-BE"),
        ("utf-32", "is in UTF-32"),
        ("latin-1", "line 1 has the byte 0xe9, as in Windows-1252 or Latin-1"),
    ],
)
def test_the_error_about_another_encoding_names_it(written, encoding, named):
    with pytest.raises(catalog.BadCatalog, match=r"catalog\.json.*UTF-8\. Nothing was loaded") as refused:
        catalog.read(written(DOCUMENT.encode(encoding)))

    assert named in str(refused.value)


def test_a_product_with_a_member_twice_is_rejected_with_its_line(written):
    entries = (
        '[\n {"sku": "A", "name": "A", "unitPrice": 1},\n {"sku": "B", "name": "B", "unitPrice": 1, "unitPrice": 9}\n]'
    )

    with pytest.raises(catalog.BadCatalog, match="a product with unitPrice twice, in line 3: keep one"):
        catalog.read(written(entries.encode()))


def test_a_name_is_stored_in_one_form(world, load):
    load({"sku": "CAFE", "name": " Cafe\u0301 ", "unitPrice": 900})

    assert world.item("ProductsTable", sku="CAFE")["name"] == "Caf\u00e9"


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(catalog.BadCatalog, match=r"nowhere\.json: No such file"):
        catalog.read(tmp_path / "nowhere.json")


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(world, tmp_path, monkeypatch):
    """Run `handoff catalog load` on a file with these entries, over the wire."""
    deployment = SimpleNamespace(dynamodb=boto3.client("dynamodb"), resource=world.table)
    monkeypatch.setattr(Target, "deployment", lambda self: deployment)

    def command(*entries):
        path = tmp_path / "catalog.json"
        path.write_text(json.dumps(entries))
        return CliRunner().invoke(cli.main, ["catalog", "load", str(path)])

    return command


def test_a_load_says_what_it_did(command):
    done = command(delivered("monday", 5), {"sku": "HAT-1", "name": "Hat", "unitPrice": 900})

    assert (done.exit_code, done.stdout) == (0, "1 products added, 1 updated, 1 deliveries counted\n")
    assert done.stderr == ""


def test_a_long_load_shows_its_progress(command, monkeypatch):
    monkeypatch.setattr("ops.cli.catalog._PROGRESS_EVERY", 2)
    entries = [delivered("monday", 1, sku=f"HAT-{n}") for n in range(5)]

    done = command(*entries)

    loaded = ["2 of 5 products loaded", "4 of 5 products loaded"]
    assert done.stderr.splitlines() == [*loaded, "2 of 5 deliveries counted", "4 of 5 deliveries counted"]


@pytest.mark.parametrize(
    ("call", "left"),
    [
        ("dynamodb.PutItem", "1 of 3 products loaded, 0 of 3 deliveries counted."),
        ("dynamodb.TransactWriteItems", "3 of 3 products loaded, 1 of 3 deliveries counted."),
    ],
)
def test_a_terminated_load_says_what_is_left_and_can_be_run_again(world, command, sends_signal, call, left):
    entries = [delivered("monday", 1, sku=f"HAT-{n}", available=0) for n in range(3)]
    world.wire.on(call, wire.meanwhile(lambda: sends_signal(signal.SIGTERM)), nth=2)

    first, second = command(*entries), command(*entries)

    assert first.exit_code == 143
    assert first.stderr.startswith(f"Error: Interrupted by SIGTERM. {left} Run the command again")
    assert second.exit_code == 0
    assert [world.available(f"HAT-{n}") for n in range(3)] == [1, 1, 1]


def test_duplicates_are_found_in_one_pass():
    # GIVEN two thousand products. Comparing each with each takes four million comparisons.
    compared = Counter()

    class Sku(str):
        __slots__ = ()

        def __eq__(self, other):
            compared["skus"] += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    entries = [catalog.Entry.model_construct(sku=Sku(f"P-{n}")) for n in range(2000)]

    catalog.check_unique(entries, Path("catalog.json"))

    assert compared["skus"] < 10 * len(entries)
