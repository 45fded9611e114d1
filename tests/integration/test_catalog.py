"""The catalog: its pages, and the copies of products that orders are priced from."""

import json
from urllib.parse import urlencode

import pytest

from dev.simulated import wire
from dev.simulated.world import MUG, TEE, body
from shop import catalog
from shop.catalog import MAX_PRODUCTS

_LAMBDA_RESPONSE_BYTES = 6 * 1024 * 1024  # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html


@pytest.fixture
def many(world):
    """Thirty products on sale in addition to the mug, and ten delisted ones, all in the table's own order."""
    listed = [f"CUP-{n:02}" for n in range(30)]
    for sku in listed:
        world.stock(sku)
    for n in range(10):
        world.stock(f"OLD-{n:02}", listed=False)
    return {MUG, *listed}


def pages(api, **query):
    """Return the skus of each page, from the first to the last."""
    found = []
    while True:
        answer = api.get("/catalog?" + urlencode(query))
        assert answer.status == 200
        found.append([product["sku"] for product in answer.json["products"]])
        if "next" not in answer.json:
            return found
        query["cursor"] = answer.json["next"]


def reads(calls):
    """Return the calls that read the products."""
    return [call.operation for call in calls if call.operation in ("Scan", "BatchGetItem")]


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 7, 30, 31, 32, 1000])
def test_the_pages_have_every_product_on_sale_once(api, many, limit):
    found = pages(api, limit=limit)

    assert sorted(sku for page in found for sku in page) == sorted(many)
    assert all(page == sorted(page) for page in found)
    # Delisted products leave no gaps: every page is full, but for the last.
    assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)


def test_without_parameters_a_page_has_all_products_up_to_its_limit(world, api, many):
    assert pages(api) == [sorted(many)]

    for n in range(MAX_PRODUCTS):
        world.stock(f"X-{n:04}")
    assert [len(page) for page in pages(world.api("bob").served_by(world.functions), v="2")] == [31]  # at most a minute
    world.clock.forward(61)
    assert [len(page) for page in pages(api)] == [MAX_PRODUCTS, 31]


def test_the_longest_page_fits_a_response_of_lambda(world, api):
    name = "\U0001f9e5" * 200  # twelve bytes each in JSON
    for n in range(MAX_PRODUCTS + 1):
        world.stock(f"{n:064}", name=name, unit_price=10**9)

    answer = api.get("/catalog")

    assert (len(answer.json["products"]), "next" in answer.json) == (MAX_PRODUCTS, True)
    assert len(json.dumps(answer.json)) < _LAMBDA_RESPONSE_BYTES / 2


def test_a_page_is_read_once_a_minute(world, api, many):
    with world.wire.watched() as calls:
        first, again = pages(api, limit=20), pages(api, limit=20)
    assert first == again
    assert reads(calls) == ["Scan"] * 3  # the second page needs two: rows of delisted products fill no page

    world.clock.forward(61)
    with world.wire.watched() as calls:
        pages(api, limit=20)
    assert reads(calls) == ["Scan"] * 3


def test_each_page_has_its_own_version_and_age(world, api, many):
    first = api.get("/catalog?limit=20")
    world.clock.forward(30)
    second = api.get("/catalog?" + urlencode({"limit": 20, "cursor": first.json["next"]}))

    assert first.headers["etag"] != second.headers["etag"]
    assert second.headers["cache-control"] == "public, max-age=60"
    assert api.get("/catalog?limit=20").headers["cache-control"] == "public, max-age=30"
    sent = {"If-None-Match": second.headers["etag"]}
    assert api.get("/catalog?limit=20", **sent).status == 200
    assert api.get("/catalog?" + urlencode({"limit": 20, "cursor": first.json["next"]}), **sent).status == 304


def test_a_new_product_appears_on_a_page_while_a_client_reads(world, api, many):
    answer = api.get("/catalog?limit=5")
    for n in range(20):
        world.stock(f"NEW-{n:02}")

    found = answer.json["products"], *pages(api, limit=5, cursor=answer.json["next"])

    assert many <= {product["sku"] for product in found[0]} | {sku for page in found[1:] for sku in page}


def test_a_page_ends_when_its_time_is_over(world, api, monkeypatch):
    for n in range(50):
        world.stock(f"OLD-{n:02}", listed=False)
    # GIVEN reads that take five seconds each
    slow = wire.meanwhile(lambda: world.clock.forward(5))
    world.wire.always("dynamodb.Scan", slow)

    with world.wire.watched() as calls:
        answer = api.get("/catalog?limit=3")

    # THEN the page has the products that were found, and the client goes on
    assert len(reads(calls)) == 3
    assert (answer.status, "next" in answer.json) == (200, True)
    world.wire.heal()
    rest = pages(api, limit=3, cursor=answer.json["next"])
    assert [MUG] in ([product["sku"] for product in answer.json["products"]], *rest)


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "10000", "1.5", "many", ""])
def test_a_wrong_limit_is_400(api, limit):
    answer = api.get("/catalog?" + urlencode({"limit": limit}))

    assert (answer.status, answer.problem, answer.fields) == (400, "invalid-request", ["limit"])


@pytest.mark.parametrize("cursor", ["abc", "eyJza3UiOiAiIn0=", "eyJza3UiOiAiYSBiIn0=", "eyJvcmRlcklkIjogImEifQ=="])
def test_a_wrong_cursor_is_400(api, cursor):
    answer = api.get(f"/catalog?cursor={cursor}")

    assert (answer.status, answer.problem, answer.fields) == (400, "invalid-request", ["cursor"])


def test_other_parameters_are_ignored_as_before_there_were_pages(api):
    assert api.get("/catalog?v=17").status == 200


def test_no_more_pages_are_kept_than_fit_the_memory(world, api, many, monkeypatch):
    monkeypatch.setattr(catalog, "_KEPT_PAGES", 2)

    for limit in (1, 2, 3, 2):
        api.get(f"/catalog?limit={limit}")
    with world.wire.watched() as calls:
        for limit in (2, 3, 1):
            api.get(f"/catalog?limit={limit}")

    assert reads(calls) == ["Scan"]  # of the page that was read longest ago


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("Mug\nFree", "Mug Free"),
        ("Mug \u202eeulb", "Mug eulb"),
        ("\u200b\u200b", MUG),
        ("Mug \U0001f9e5", "Mug \U0001f9e5"),
    ],
)
def test_a_name_of_an_earlier_release_is_shown_in_one_line(world, api, stored, shown):
    world.stock(name=stored)

    order_id = api.place(body()).json["orderId"]

    assert api.get("/catalog").json["products"][0]["name"] == shown
    assert api.get(f"/orders/{order_id}").json["lines"][0]["name"] == shown


# --- the prices of orders ---------------------------------------------------------------------------------------------


def test_an_order_reads_the_products_that_are_not_known_and_no_others(world, api, many):
    with world.wire.watched() as calls:
        assert api.place(body((MUG, 1), ("CUP-01", 1)), key="a").status == 201
        assert api.place(body(("CUP-01", 2)), key="b").status == 201

    assert reads(calls) == ["BatchGetItem"]
    assert len(calls[0].request["RequestItems"][world.table("ProductsTable")]["Keys"]) == 2


def test_a_page_of_the_catalog_makes_its_products_known(world, api, many):
    api.get("/catalog")

    with world.wire.watched() as calls:
        assert api.place(body(("CUP-07", 1))).status == 201

    assert reads(calls) == []


def test_an_order_needs_no_read_however_old_its_copies_are(world, api, frozen_for):
    api.place(body(), key="first")
    frozen_for(7 * 86_400)

    with world.wire.watched() as calls:
        assert api.place(body(expectedTotal=1250), key="second").status == 201

    assert reads(calls) == []


@pytest.mark.parametrize("change", [{"name": "Cup"}, {"unitPrice": 1300}])
def test_an_order_is_placed_at_the_present_name_and_price(world, api, change):
    api.place(body(), key="first")
    world.change("ProductsTable", {"sku": MUG}, **change)
    world.clock.forward(3600)

    with world.wire.watched() as calls:
        answer = api.place(body(), key="second")

    assert answer.status == 201
    assert answer.json["lines"][0] == {"sku": MUG, "name": "Mug-01", "quantity": 1, "unitPrice": 1250} | change
    assert reads(calls) == []  # the refused write returns what has changed


def test_a_total_that_an_old_copy_contradicts_is_compared_with_the_present_price(world, api):
    api.place(body(), key="first")
    world.stock(unit_price=1300)
    world.clock.forward(3600)

    assert api.place(body(expectedTotal=1300), key="second").status == 201


def test_a_wrong_total_is_refused_with_one_read(world, api):
    api.place(body(), key="first")
    world.clock.forward(3600)

    with world.wire.watched() as calls:
        answer = api.place(body(expectedTotal=1), key="second")

    assert (answer.problem, answer.json["total"]) == ("total-changed", 1250)
    assert reads(calls) == ["BatchGetItem"]


def test_a_product_that_is_listed_again_can_be_ordered(world, api):
    world.stock(TEE, listed=False)
    assert api.place(body((TEE, 1)), key="a").status == 400
    world.stock(TEE)

    assert api.place(body((TEE, 1)), key="b").status == 400  # read some seconds ago
    world.clock.forward(6)
    assert api.place(body((TEE, 1)), key="b").status == 201


def test_unknown_products_are_not_read_again_at_once(world, api):
    with world.wire.watched() as calls:
        for n in range(5):
            assert api.place(body(("NONE", 1)), key=f"key-{n}").status == 400

    assert reads(calls) == ["BatchGetItem"]


def test_products_that_dynamodb_leaves_out_are_asked_for_again(world, api, many):
    world.wire.on("dynamodb.BatchGetItem", wire.leave_some)

    with world.wire.watched() as calls:
        assert api.place(body((MUG, 1), ("CUP-01", 1))).status == 201

    assert reads(calls) == ["BatchGetItem"] * 2


def test_products_that_dynamodb_keeps_leaving_out_end_in_503(world, api):
    table = world.table("ProductsTable")
    keys = {table: {"Keys": [{"sku": {"S": MUG}}]}}
    world.wire.always("dynamodb.BatchGetItem", wire.answer({"Responses": {}, "UnprocessedKeys": keys}))

    with world.wire.watched() as calls:
        answer = api.place(body())

    assert (answer.status, answer.problem) == (503, "unavailable")
    assert 1 < len(reads(calls)) < 10


def test_no_more_products_are_kept_than_fit_the_memory(world, api, monkeypatch):
    monkeypatch.setattr(catalog, "_KEPT_PRODUCTS", 2)
    world.stock(TEE)
    world.stock("CUP")
    for n, sku in enumerate((MUG, TEE, "CUP")):
        api.place(body((sku, 1)), key=f"key-{n}")

    with world.wire.watched() as calls:
        api.place(body(("CUP", 1)), key="b")
        api.place(body((MUG, 1)), key="c")

    assert reads(calls) == ["BatchGetItem"]
