"""Products whose stock is split into shards: orders, restocks, deliveries, and `handoff catalog shards`."""

import json
from contextlib import suppress
from types import SimpleNamespace

import boto3
import pytest
from click.testing import CliRunner

from dev.simulated import wire
from dev.simulated.wire import Crash
from dev.simulated.world import MUG, TEE, body
from handoff import aws
from ops import catalog
from ops.cli.main import main as cli
from ops.cli.options import Target
from ops.stock_shards import set_shards
from shop.model import MAX_SHARDS
from shop.stock import item_sku
from tests.support import invariants

WRITE, READ = "dynamodb.TransactWriteItems", "dynamodb.BatchGetItem"


@pytest.fixture
def api(world):
    """The API in a process that knows the product as it is before it gets shards, with 99 units after an order."""
    world.stock(available=100)
    api = world.api()
    assert api.place(body()).status == 201
    return api


@pytest.fixture
def split(world):
    """Give a product this number of shards, over the wire."""

    def split(number, sku=MUG):
        return set_shards(boto3.client("dynamodb"), world.table("ProductsTable"), sku, number)

    return split


@pytest.fixture
def fill(world):
    """Set the units of a product's items by number."""

    def fill(*units, sku=MUG):
        for number, count in enumerate(units):
            world.change("ProductsTable", {"sku": item_sku(sku, number)}, available=count)

    return fill


def units(world, sku=MUG):
    """Return the units of each item of a product, its own first."""
    items = {item["sku"]: item["available"] for item in world.items("ProductsTable")}
    return [items[key] for key in (item_sku(sku, n) for n in range(MAX_SHARDS + 1)) if key in items]


def calls_of(world, request):
    """Return the answer, and the calls on the products."""
    with world.wire.watched() as calls:
        answer = request()
    return answer, [call.name for call in calls if world.table("ProductsTable") in call.tables]


# --- the number of shards ---------------------------------------------------------------------------------------------


def test_the_units_are_spread_evenly_and_collected_again(world, split):
    world.stock(available=100)
    before = world.items("ProductsTable")

    assert split(8).total == 100
    assert units(world) == [12, *[11] * 8]
    assert split(3).total == 100
    assert units(world) == [67, *[11] * 3]
    assert split(5).total == 100
    assert units(world) == [67 - 44, *[11] * 3, 22, 22]
    assert split(1).total == 100
    assert world.items("ProductsTable") == before


def test_the_same_number_again_writes_nothing(world, split):
    split(4)

    with world.wire.watched() as calls:
        split(4)

    assert [call.name for call in calls] == [READ]


@pytest.mark.parametrize(("first", "then", "calls"), [(1, 4, 3), (4, 1, 11), (4, 2, 7), (2, 4, 3)])
def test_a_crash_after_any_call_loses_no_unit_and_no_sale(world, api, split, first, then, calls):
    sold = 1
    for nth in range(1, calls + 1):
        # GIVEN a command that crashes after one of its calls
        split(first)
        world.wire.on("*", wire.crash_after, nth=nth)
        with pytest.raises(Crash):
            split(then)
        # THEN no unit is lost, and orders find those that are not just being moved
        assert world.available() == 100 - sold
        sold += place(api, f"after-{nth}", 2)
        # AND repeated, the command finishes
        assert split(then).total == 100 - sold
        assert len(units(world)) == (then + 1 if then > 1 else 1)
        invariants.stock_adds_up(world, {MUG: 100})


@pytest.mark.parametrize(("first", "then", "calls"), [(1, 4, 3), (4, 1, 11), (4, 2, 7), (2, 4, 3)])
def test_an_order_between_any_two_calls_is_placed(world, api, split, first, then, calls):
    sold = []
    for nth in range(1, calls + 1):
        split(first)
        key = f"before-{nth}"
        world.wire.on("*", wire.meanwhile(lambda key=key: sold.append(place(api, key, 2))), nth=nth)

        split(then)

        assert len(sold) == nth
        assert world.available() == 100 - 1 - sum(sold)
        invariants.stock_adds_up(world, {MUG: 100})


def place(api, key, quantity):
    """Place an order; return its quantity."""
    assert api.place(body((MUG, quantity)), key=key).status == 201
    return quantity


def test_two_commands_at_once_lose_no_unit(world, split):
    for nth in range(1, 8):
        split(4)
        world.wire.on("*", wire.meanwhile(lambda: split(6)), nth=nth)

        split(2)

        assert split(2).total == 10
        invariants.stock_adds_up(world, {MUG: 10})


def test_units_of_an_open_shard_are_not_moved(world, split):
    # GIVEN that another command closes and removes a shard, and adds it again, while one is about to remove it
    split(2)
    closed = world.item("ProductsTable", sku=item_sku(MUG, 2))
    world.put("ProductsTable", {name: value for name, value in closed.items() if name != "onSale"})
    world.wire.on(WRITE, wire.meanwhile(lambda: world.put("ProductsTable", closed)))

    with world.wire.watched() as calls:
        split(1)

    # THEN the shard is closed again before its units are moved
    updates = [call.request["Key"]["sku"]["S"] for call in calls if call.operation == "UpdateItem"]
    assert updates == [item_sku(MUG, 1), item_sku(MUG, 2), MUG]
    invariants.stock_adds_up(world, {MUG: 10})


def test_a_price_that_changes_before_the_shards_are_added_is_theirs_too(world, split):
    change = wire.meanwhile(lambda: world.change("ProductsTable", {"sku": MUG}, unitPrice=1300))
    world.wire.on(WRITE, change)

    split(2)

    invariants.stock_adds_up(world, {MUG: 10})


def test_a_missing_product_and_a_wrong_number_are_reported(world, monkeypatch):
    deployment = SimpleNamespace(dynamodb=boto3.client("dynamodb"), resource=world.table)
    monkeypatch.setattr(Target, "deployment", lambda _: deployment)

    def command(*arguments):
        return CliRunner().invoke(cli, ["catalog", "shards", *arguments, "--local"])

    done = command(MUG, "3")
    assert (done.exit_code, done.output) == (0, f"{MUG} has 3 stock shards, and 10 units are available\n")
    assert command("NONE", "3").stderr.startswith("Error: There is no product NONE.")
    assert "is not in the range 1<=x<=20" in command(MUG, str(MAX_SHARDS + 1)).stderr


def test_a_command_that_orders_keep_from_writing_says_so(world, split, monkeypatch):
    monkeypatch.setattr("ops.stock_shards._SECONDS", 7.2)
    world.wire.always(WRITE, wire.conflict)

    with pytest.raises(aws.TransactionConflict, match="Run the command again"):
        split(2)


# --- orders -----------------------------------------------------------------------------------------------------------


def test_an_order_learns_the_shards_by_its_refused_write_and_then_makes_one(world, api, split):
    split(4)

    first, calls = calls_of(world, lambda: api.place(body(), key="first"))
    assert (first.status, calls) == (201, [WRITE, READ, WRITE])

    for n in range(4):
        again, calls = calls_of(world, lambda n=n: api.place(body(), key=f"new-{n}"))
        assert again.status == 201
        assert len(calls) <= 4
    assert world.available() == 100 - 1 - 1 - 4


def test_a_warm_order_of_a_product_with_shards_makes_no_further_call(world, api, split, fill):
    split(4)
    api.place(body(), key="first")
    fill(0, 5, 5, 5, 5)

    answer, calls = calls_of(world, lambda: api.place(body(), key="second"))

    assert (answer.status, calls) == (201, [WRITE])
    assert sorted(units(world)) == [0, 4, 5, 5, 5]


def test_orders_spread_over_the_shards(world, api, split, fill):
    split(4)
    fill(0, *[1000] * 4)

    for n in range(40):
        world.customer(f"user-{n}")
        assert world.api(f"user-{n}").served_by(world.functions).place(body()).status == 201

    assert all(960 < left < 1000 for left in units(world)[1:])


def test_an_order_refills_an_empty_shard(world, api, split, fill):
    split(2)
    fill(6000, 0, 0)

    assert api.place(body((MUG, 3)), key="first").status == 201

    # Two hundred at most, so that one order does not take all.
    assert sorted(units(world)) == [0, 200, 6000 - 200 - 3]


def test_a_few_units_are_not_worth_a_refill_while_another_shard_has_some(world, api, split, fill):
    split(2)
    api.place(body(), key="known")
    fill(30, 0, 30)

    for n in range(10):
        assert api.place(body(), key=f"order-{n}").status == 201
        assert units(world)[1] == 0


def test_the_last_few_units_refill_a_shard_when_all_are_empty(world, api, split, fill):
    split(2)
    api.place(body(), key="known")
    fill(30, 0, 0)

    assert api.place(body(), key="order").status == 201

    assert sorted(units(world)) == [0, 4, 25]


def test_an_order_that_meets_others_tries_another_shard(world, api, split, fill):
    split(MAX_SHARDS)
    api.place(body(), key="known")
    fill(*[10] * (MAX_SHARDS + 1))
    world.wire.always(WRITE, wire.conflict)

    with world.wire.watched() as calls:
        assert api.place(body(), key="new").status == 503

    tried = [
        {write["Update"]["Key"]["sku"]["S"] for write in call.request["TransactItems"] if "sku" in _key_of(write)}
        for call in calls
        if call.name == WRITE
    ]
    assert len(tried) == 8
    assert len(set.union(*tried)) > 1


def _key_of(write):
    return write.get("Update", {}).get("Key", {})


def test_of_several_orders_that_find_a_shard_empty_one_refills_it(world, api, split, fill):
    split(2)
    api.place(body(), key="known")
    fill(600, 0, 0)
    world.customer("bob")
    other = world.api("bob").served_by(world.functions)
    # GIVEN that both shards were refilled since the order has read them
    world.wire.on(READ, _then(lambda: fill(400, 100, 100)))

    assert (api.place(body(), key="late").status, other.place(body()).status) == (201, 201)

    assert sorted(units(world)) in ([98, 100, 400], [99, 99, 400])


def _then(do):
    """Deliver a call, and do something before its answer arrives."""

    def fault(_call, deliver):
        response = deliver()
        do()
        return response

    return fault


@pytest.mark.parametrize(
    "left",
    [(0, 2, 1), (1, 0, 0, 2), (1, 1, 1), (3,), (0, 3), (0, 0, 3), (0, 0, 0, 3), (0, 0, 0, 0, 3), (1, 0, 0, 1, 1)],
)
def test_the_last_units_are_found_wherever_they_are(world, api, split, fill, left):
    split(4)
    fill(0, 0, 0, 0, 0)
    fill(*left)

    assert api.place(body((MUG, 3)), key="last").status == 201
    assert units(world) == [0] * 5

    refused = api.place(body(), key="none")
    assert (refused.problem, refused.json["products"]) == ("out-of-stock", [{"sku": MUG, "available": 0}])


def test_an_order_of_more_than_all_shards_have_names_their_sum(world, api, split, fill):
    split(2)
    fill(1, 2, 1)

    refused = api.place(body((MUG, 5)), key="many")

    assert (refused.problem, refused.json["products"]) == ("out-of-stock", [{"sku": MUG, "available": 4}])
    assert units(world) == [1, 2, 1]


def test_units_that_move_between_two_reads_are_not_missed(world, api, split, fill):
    split(2)
    api.place(body(), key="known")
    fill(0, 0, 0)
    # GIVEN units that were moved after their new item was read, and before their old one was
    world.wire.on(READ, _then(lambda: fill(0, 2, 1)))

    assert api.place(body((MUG, 3)), key="last").status == 201


def test_an_order_of_fifty_products_with_shards_fits_one_write(world, api, split, fill):
    skus = [f"CUP-{n:02}" for n in range(50)]
    for sku in skus:
        world.stock(sku, 3)
        split(2, sku)
        fill(600, 0, 0, sku=sku)

    answer = api.place(body(*((sku, 2) for sku in skus)), key="many")

    assert answer.status == 201
    assert all(world.available(sku) == 598 for sku in skus)


def test_a_short_product_with_shards_and_one_without_are_named_together(world, api, split):
    world.stock(TEE, 1)
    split(2)

    refused = api.place(body((MUG, 100), (TEE, 2)), key="both")

    short = {product["sku"]: product["available"] for product in refused.json["products"]}
    assert short == {MUG: 99, TEE: 1}


def test_units_return_to_the_products_own_item_and_are_sold_again(world, api, split, fill):
    split(2)
    fill(0, 0, 2)
    declined = api.place(body((MUG, 2), token="tok_decline"), key="declined")
    assert (declined.status, units(world)) == (402, [2, 0, 0])

    order_id = api.place(body((MUG, 2)), key="again").json["orderId"]
    assert units(world) == [0, 0, 0]
    assert api.cancel(order_id).status == 200
    assert units(world) == [2, 0, 0]


def test_a_delivery_is_found_by_orders(world, api, split, fill):
    split(2)
    fill(0, 0, 0)
    entry = {"sku": MUG, "name": MUG.title(), "unitPrice": 1250, "delivery": {"id": "monday", "units": 3}}
    tables = [world.table(name) for name in ("ProductsTable", "IdempotencyTable")]
    assert catalog.count_deliveries(boto3.client("dynamodb"), *tables, [catalog.Entry.model_validate(entry)]) == 1

    assert api.place(body((MUG, 3)), key="last").status == 201


def test_an_order_whose_units_keep_moving_ends_in_503(world, api, split, fill):
    split(2)
    api.place(body(), key="known")
    # GIVEN that other orders take what an order has just seen, and more units arrive elsewhere
    fill(0, 0, 0)
    world.wire.always(READ, wire.meanwhile(lambda: fill(0, 1, 1)))
    world.wire.always(WRITE, wire.meanwhile(lambda: fill(0, 0, 0)))

    answer, calls = calls_of(world, lambda: api.place(body(), key="last"))

    assert (answer.status, answer.problem) == (503, "try-later")
    assert calls == [WRITE, READ] * 8


def test_an_order_for_which_no_time_is_left_is_not_written(world, clock, api, split, fill):
    split(2)
    api.place(body(), key="known")
    fill(5, 0, 0)
    world.wire.on(READ, _then(lambda: clock.forward(15)))

    answer, calls = calls_of(world, lambda: api.place(body(), key="late"))

    assert (answer.status, calls) == (503, [WRITE, READ])
    assert units(world) == [5, 0, 0]


# --- name, price and listing ------------------------------------------------------------------------------------------


@pytest.fixture
def load(world):
    """Load these entries over the wire."""
    return lambda **entry: catalog.load(
        boto3.client("dynamodb"),
        world.table("ProductsTable"),
        [catalog.Entry.model_validate({"sku": MUG, "name": MUG.title(), "unitPrice": 1250} | entry)],
    )


def test_a_new_name_and_price_reach_all_shards(world, api, split, load):
    split(3)
    api.place(body(), key="known")

    load(name="Cup", unitPrice=1300)

    invariants.stock_adds_up(world, {MUG: 100})
    line = api.place(body(), key="new").json["lines"][0]
    assert (line["name"], line["unitPrice"]) == ("Cup", 1300)


def test_a_delisted_product_cannot_be_ordered_from_its_shards(world, api, split, load):
    split(3)
    api.place(body(), key="known")

    load(listed=False)

    assert api.place(body(), key="late").problem == "invalid-request"
    load(listed=True)
    invariants.stock_adds_up(world, {MUG: 100})


@pytest.mark.parametrize("nth", range(1, 5))
def test_an_interrupted_change_of_the_price_is_finished_by_the_next(world, api, split, load, nth):
    split(3)
    world.wire.on("dynamodb.UpdateItem", wire.crash_before, nth=nth)
    with suppress(Crash):
        load(unitPrice=1300)
    world.wire.heal()

    # An order pays one of the two prices; the units of the other shards are not lost.
    assert api.place(body(), key="meanwhile").json["lines"][0]["unitPrice"] in (1250, 1300)
    load(unitPrice=1300)

    invariants.stock_adds_up(world, {MUG: 100})


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_change_of_the_price_adds_no_shard_that_was_just_removed(world, api, split, load, nth):
    split(3)
    world.wire.on("dynamodb.UpdateItem", wire.meanwhile(lambda: split(1)), nth=nth)

    load(unitPrice=1300)

    assert units(world) == [99]
    assert world.item("ProductsTable", sku=MUG)["unitPrice"] == 1300


def test_a_change_of_the_price_of_a_closed_shard_loses_no_unit(world, api, split, load):
    # GIVEN that the command is about to remove a shard when the price changes
    split(2)
    world.wire.on(WRITE, wire.meanwhile(lambda: load(unitPrice=1300)))

    split(1)

    assert units(world) == [99]
    assert world.item("ProductsTable", sku=MUG)["unitPrice"] == 1300


# --- the catalog ------------------------------------------------------------------------------------------------------


def test_a_page_shows_a_product_with_shards_once_and_its_stock(world, split, fill, caplog):
    world.stock(TEE, 5)
    split(4)
    fill(0, 0, 1, 0, 0)
    api = world.api()

    with world.wire.watched() as calls:
        page = api.get("/catalog").json

    assert [(product["sku"], product["inStock"]) for product in page["products"]] == [(MUG, True), (TEE, True)]
    assert [call.operation for call in calls] == ["Scan", "BatchGetItem"]
    assert "item not readable" not in caplog.text
    fill(0, 0, 0, 0, 0)
    world.clock.forward(61)
    assert [product["inStock"] for product in api.get("/catalog").json["products"]] == [False, True]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_lead_past_the_shards(world, split, limit):
    world.stock(TEE, 5)
    split(9)
    api, found, cursor = world.api(), [], ""
    while cursor is not None:
        page = api.get(f"/catalog?limit={limit}" + (f"&cursor={cursor}" if cursor else "")).json
        found += [product["sku"] for product in page["products"]]
        cursor = page.get("next")
    assert sorted(found) == [MUG, TEE]


def test_an_earlier_release_takes_no_shard_for_a_product(world, split):
    split(2)

    for item in world.items("ProductsTable"):
        assert ("listed" in item) == (item["sku"] == MUG), json.dumps(item)
