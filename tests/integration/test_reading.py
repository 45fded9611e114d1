"""Reading orders, the catalog and the description of the API, and unknown paths."""

import base64
import json
from decimal import Decimal
from urllib.parse import urlencode

import pytest

from dev.simulated import contract, wire
from dev.simulated.api import event as api_event
from dev.simulated.wire import Crash
from dev.simulated.world import MUG, TEE, body


@pytest.fixture
def five(world, api):
    """Five orders of Ada, oldest first, and one of Bob."""
    placed = []
    for n in range(5):
        placed.append(api.place(body(), key=f"key-{n}").json["orderId"])
        world.clock.forward(1)
    world.api("bob").place(body())
    return placed


def test_an_order_is_shown_to_its_owner(api):
    placed = api.place(body((MUG, 2)))

    answer = api.get(placed.headers["location"])

    assert answer.status == 200
    assert answer.json == {
        **placed.json,
        "status": "PLACED",
        "sequence": 1,
        "payment": "authorised",
        "history": [
            {"sequence": 0, "status": "PENDING", "at": "2026-11-23T10:00:00.000Z"},
            {"sequence": 1, "status": "PLACED", "at": "2026-11-23T10:00:00.000Z", "payment": "authorised"},
        ],
    }


def test_an_order_shows_no_internal_fields(api):
    shown = json.dumps(api.get(api.place(body()).headers["location"]).json)

    assert not [
        secret
        for secret in ("tok_approve", "requestHash", "fingerprint", "attemptId", "transitionId")
        if secret in shown
    ]


def test_a_declined_order_shows_the_reason(api):
    declined = api.place(body(token="tok_decline"))

    shown = api.get(f"/orders/{declined.json['orderId']}").json
    assert (shown["status"], shown["payment"], shown["history"][-1]["reason"]) == ("REJECTED", "failed", "declined")


def test_another_users_order_is_404(world, api):
    placed = api.place(body())

    theirs = world.api("bob").get(placed.headers["location"])
    missing = world.api("bob").get("/orders/ord_" + "a" * 26)

    assert (theirs.status, theirs.problem) == (404, "no-such-order")
    assert theirs.json == missing.json


@pytest.mark.parametrize("order_id", ["ord_short", "x", "ord_" + "A" * 26, "ord_" + "a" * 27, "%00", "..%2f"])
def test_an_invalid_order_id_is_404_without_a_read(world, api, order_id):
    with world.wire.watched() as calls:
        answer = api.get(f"/orders/{order_id}")

    assert (answer.status, answer.problem) == (404, "no-such-order")
    assert calls == []


def test_a_preflight_succeeds_without_a_token(world):
    """The gateway adds its headers to this answer: a browser goes on only if it is a success."""
    request = api_event("OPTIONS", "/orders", None, {"Origin": "https://shop.example"}, None)
    request["routeKey"] = "OPTIONS /{proxy+}"

    answer = world.functions.invoke("OrdersFunction", request)

    assert (answer["statusCode"], answer["body"]) == (204, "")


def test_orders_are_listed_newest_first(api, five):
    answer = api.get("/orders")

    assert answer.status == 200
    assert [order["orderId"] for order in answer.json["orders"]] == five[::-1]
    assert "next" not in answer.json
    assert answer.json["orders"][0] == {
        "orderId": five[-1],
        "status": "PLACED",
        "total": 1250,
        "currency": "EUR",
        "placedAt": "2026-11-23T10:00:04.000Z",
    }


def test_orders_are_listed_in_pages(api, five):
    seen, url = [], "/orders?limit=2"
    while url:
        page = api.get(url).json
        assert len(page["orders"]) <= 2
        seen += [order["orderId"] for order in page["orders"]]
        url = f"/orders?limit=2&cursor={page['next']}" if "next" in page else None

    assert seen == five[::-1]


def test_the_list_of_a_user_without_orders_is_empty(api):
    assert api.get("/orders").json == {"orders": []}


def test_an_order_that_is_not_placed_is_not_listed(api):
    api.place(body(token="tok_decline"))

    assert api.get("/orders").json == {"orders": []}


@pytest.fixture
def one_of_each(world, api):
    """Orders by status: one that the customer abandoned, and one of each other status."""
    placed = {"REJECTED": api.place(body(token="tok_decline"), key="declined").json["orderId"]}
    world.clock.forward(1)
    placed["PREPARED"] = api.place(body(), key="packed").json["orderId"]
    world.queues.until_quiet()
    placed["CANCELLED"] = api.place(body(), key="cancelled").json["orderId"]
    api.cancel(placed["CANCELLED"])
    placed["PLACED"] = api.place(body(), key="placed").json["orderId"]
    placed["PENDING"] = api.place(body(token="tok_timeout"), key="abandoned").json["orderId"]
    world.api("bob").place(body(token="tok_decline"))
    return placed


def test_orders_are_listed_by_their_status(api, one_of_each):
    for status, order_id in one_of_each.items():
        listed = api.get(f"/orders?status={status}").json["orders"]
        assert [(order["orderId"], order["status"]) for order in listed] == [(order_id, status)]


def test_an_order_that_was_never_placed_shows_when_it_was_requested(world, api, one_of_each):
    (order,) = api.get("/orders?status=REJECTED").json["orders"]

    assert order["placedAt"] == world.order(one_of_each["REJECTED"])["history"][0]["at"]
    assert api.get(f"/orders/{order['orderId']}").json["placedAt"] is None


def test_a_customer_finds_the_order_whose_answer_and_key_were_lost(world, api):
    # GIVEN an order whose answer the customer did not get, and which holds the last units
    api.place(body((MUG, 10), token="tok_timeout"))
    world.clock.forward(1)
    assert api.place(body(), key="another").problem == "out-of-stock"

    # WHEN the customer finds and cancels it
    (lost,) = api.get("/orders?status=PENDING").json["orders"]
    assert api.cancel(lost["orderId"]).status == 200

    # THEN the units are for sale again
    assert api.place(body((MUG, 10)), key="third").status == 201


def test_an_order_whose_request_died_is_listed_once_the_sweeper_has_seen_it(world, api):
    world.wire.on("dynamodb.UpdateItem", wire.crash_before)
    with pytest.raises(Crash):
        api.place(body())
    world.clock.forward(60)
    world.sweep()

    (lost,) = api.get("/orders?status=PENDING").json["orders"]
    assert lost["placedAt"] == world.order(lost["orderId"])["history"][0]["at"]
    assert api.place(body()).status == 201  # resumed
    assert api.get("/orders?status=PENDING").json == {"orders": []}


def test_an_order_is_listed_while_another_request_resumes_it(world, api):
    for _ in range(2):
        world.wire.on("dynamodb.UpdateItem", wire.crash_before, where=lambda call: "outbox" in str(call.request))
        with pytest.raises(Crash):
            api.place(body())
        world.clock.forward(25)

    assert len(api.get("/orders?status=PENDING").json["orders"]) == 1


def test_orders_of_a_status_are_listed_in_pages(world, api):
    placed = []
    for n in range(5):
        placed.append(api.place(body(token="tok_decline"), key=f"key-{n}").json["orderId"])
        world.clock.forward(1)

    seen, url = [], "/orders?status=REJECTED&limit=2"
    while url:
        page = api.get(url).json
        seen += [order["orderId"] for order in page["orders"]]
        url = f"/orders?status=REJECTED&limit=2&cursor={page['next']}" if "next" in page else None

    assert seen == placed[::-1]


def test_a_page_of_a_status_may_be_empty_before_the_last_one(world, api, five):
    api.cancel(five[0])

    page = api.get("/orders?status=CANCELLED&limit=2").json
    assert page["orders"] == []
    page = api.get(f"/orders?status=CANCELLED&limit=50&cursor={page['next']}").json

    assert [order["orderId"] for order in page["orders"]] == [five[0]]
    assert "next" not in page


STATUSES = ["", "PLACED", "PREPARED", "CANCELLED", "PENDING", "REJECTED"]


def test_each_list_has_its_own_cursors(world, api):
    # GIVEN a cursor of each list
    cursors = {}
    for n in range(2):
        api.place(body(token="tok_decline"), key=f"declined-{n}")
        api.place(body(), key=f"placed-{n}")
    for status in ("", "PLACED", "REJECTED"):
        cursors[status] = api.get(_list(status, limit=1)).json["next"]

    for status in STATUSES:
        for source, cursor in cursors.items():
            # WHEN it is sent with a list
            with world.wire.watched() as calls:
                answer = api.get(_list(status, cursor=cursor))
            # THEN it is accepted only by its own
            assert answer.status == (200 if status == source else 400), (status, source)
            if status != source:
                assert (answer.problem, answer.fields, calls) == ("invalid-request", ["cursor"], [])


def _list(status, **query):
    return "/orders?" + urlencode(query | ({"status": status} if status else {}))


@pytest.mark.parametrize("status", ["", "placed", "SHIPPED", "PLACED,PREPARED", " PLACED"])
def test_an_unknown_status_is_400(api, status):
    answer = api.get("/orders?" + urlencode({"status": status}))

    assert (answer.status, answer.problem, answer.fields) == (400, "invalid-request", ["status"])
    assert "PLACED or PREPARED" in answer.json["detail"]


@pytest.mark.usefixtures("five")
def test_another_users_cursor_shows_only_the_callers_orders(world, api):
    cursor = api.get("/orders?limit=1").json["next"]

    shown = world.api("bob").get(f"/orders?cursor={cursor}")

    assert shown.status == 200
    assert {order["orderId"] for order in shown.json["orders"]} <= {
        order["orderId"] for order in world.items("OrdersTable") if order["userId"] == "bob"
    }


def _cursor(document):
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "!!!!",
        "ä",
        "AAAA",
        _cursor([]),
        _cursor({}),
        _cursor("text"),
        _cursor({"orderId": "a"}),
        _cursor({"orderId": "a", "placedAt": 1}),
        _cursor({"orderId": "", "placedAt": "b"}),
        _cursor({"orderId": "a" * 65, "placedAt": "b"}),
        _cursor({"orderId": "a", "placedAt": "b", "userId": "bob"}),
        _cursor({"orderId": "a", "unplacedSince": "b"}),
        _cursor({"orderId": "a", "placedAt": "b", "status": "PLACED"}),
    ],
)
def test_a_forged_cursor_is_400(world, api, cursor):
    answer = api.get(f"/orders?cursor={cursor}")

    assert (answer.status, answer.problem, answer.fields) == (400, "invalid-request", ["cursor"])
    assert world.wire.calls == []


@pytest.mark.parametrize("limit", ["0", "51", "-1", "1.5", "abc", "", "007", "9999999999999999999999"])
def test_a_limit_out_of_bounds_is_400(api, limit):
    answer = api.get(f"/orders?limit={limit}")

    assert (answer.status, answer.problem, answer.fields) == (400, "invalid-request", ["limit"])


@pytest.mark.parametrize("path", ["/orders", "/orders/ord_" + "a" * 26])
@pytest.mark.parametrize("claims", [{}, {"sub": ""}, {"sub": "x" * 129}, {"client_id": "machine"}])
def test_a_token_without_a_valid_subject_is_401(world, path, claims):
    api = world.api()
    api._claims = claims

    answer = api.get(path)

    assert (answer.status, answer.problem) == (401, "unauthenticated")


_CUP = {"name": "Cup", "unitPrice": 900, "available": 1, "listed": True}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        _CUP | {"unitPrice": Decimal("9.99")},
        _CUP | {"unitPrice": "900"},
        _CUP | {"available": "1"},
        _CUP | {"listed": "true"},
        {name: value for name, value in _CUP.items() if name != "listed"},
    ],
)
def test_an_invalid_product_row_is_skipped_and_logged(world, wrong, logged):
    # GIVEN an invalid row in the table
    world.put("ProductsTable", {"sku": "CUP", **wrong})
    # THEN all other products are on sale, this one is not, and it is logged
    api = world.api()
    assert [product["sku"] for product in api.get("/catalog").json["products"]] == [MUG]
    assert api.place(body()).status == 201
    answer = api.place(body(("CUP", 1)), key="another")
    assert (answer.status, "CUP" in json.dumps(answer.json)) == (400, True)
    lines = [json.loads(line) for line in logged().splitlines()]
    assert {line["sku"] for line in lines if line["message"] == "item not readable"} == {"CUP"}


def test_the_catalog_lists_the_products_on_sale(world, api):
    world.stock(TEE, available=0, unit_price=2000)
    world.stock("OLD-03", listed=False)

    answer = api.get("/catalog")

    assert answer.status == 200
    assert answer.json == {
        "currency": "EUR",
        "products": [
            {"sku": MUG, "name": "Mug-01", "unitPrice": 1250, "inStock": True},
            {"sku": TEE, "name": "Tee-02", "unitPrice": 2000, "inStock": False},
        ],
    }


def test_caches_may_keep_the_catalog_until_the_copy_is_a_minute_old(world, api):
    first = api.get("/catalog")
    world.clock.forward(45.5)
    later = api.get("/catalog")

    assert first.headers["cache-control"] == "public, max-age=60"
    assert later.headers["cache-control"] == "public, max-age=14"
    assert later.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("sent", ["{}", "W/{}", '"other", {}', '"other",W/{} , "third"', "*"])
def test_a_client_that_has_the_catalog_gets_304_without_it(api, sent):
    current = api.get("/catalog")

    answer = api.get("/catalog", **{"If-None-Match": sent.format(current.headers["etag"])})

    assert (answer.status, answer.json) == (304, {})
    assert {name: answer.headers[name] for name in ("etag", "cache-control")} == {
        name: current.headers[name] for name in ("etag", "cache-control")
    }


@pytest.mark.parametrize("sent", ["", '"other"', "unquoted", '"', 'W/"*"', '"*"'])
def test_a_client_with_another_version_gets_the_catalog(api, sent):
    assert api.get("/catalog", **{"If-None-Match": sent}).json["products"]


@pytest.mark.parametrize("change", [{"unitPrice": 1}, {"available": 0}, {"name": "Cup"}, {"listed": False}])
def test_a_change_of_the_catalog_changes_its_version(world, api, change):
    before = api.get("/catalog").headers["etag"]
    world.change("ProductsTable", {"sku": MUG}, **change)
    world.clock.forward(61)

    answer = api.get("/catalog", **{"If-None-Match": before})

    assert answer.status == 200
    assert answer.headers["etag"] != before


@pytest.mark.parametrize("url", ["/orders?limt=1", "/orders?limit=1&Limit=1", "/orders?=1"])
def test_an_unknown_parameter_is_400(api, url):
    answer = api.get(url)

    assert (answer.status, answer.problem) == (400, "invalid-request")
    assert answer.fields in (["limt"], ["Limit"], [""])


def test_the_api_describes_itself(world, api):
    with world.wire.watched() as calls:
        first, second = api.get("/openapi.json"), api.get("/openapi.json")

    assert first.status == 200
    assert first.json == second.json == json.loads(contract.DOCUMENT.read_text(encoding="utf-8"))
    assert calls == []


def test_health_calls_no_other_service(world, api):
    with world.wire.watched() as calls:
        answer = api.get("/health")

    assert (answer.status, answer.json) == (200, {"status": "ok", "paymentProvider": "sandbox"})
    assert calls == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/orderz"), ("PUT", "/orders/x/y"), ("POST", "/orders/x/cancel/"), ("GET", "/orders//")],
)
def test_an_unknown_path_is_404(api, method, path):
    answer = api.call(method, path)

    assert (answer.status, answer.problem) == (404, "no-such-route")
    assert path in answer.json["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/orders", "POST, GET"),
        ("PUT", "/catalog", "GET"),
        ("HEAD", "/health", "GET"),
        ("POST", "/orders/x", "GET"),
        ("GET", "/orders/x/cancel", "POST"),
        ("GET", "/orders/x/refunds", "POST"),
        ("POST", "/shipments", "GET"),
    ],
)
def test_another_method_is_405_and_lists_the_allowed_ones(api, method, path, allowed):
    answer = api.call(method, path)

    assert (answer.status, answer.problem, answer.headers["allow"]) == (405, "wrong-method", allowed)


def test_an_internal_error_is_500_and_shows_no_details(world, api):
    # GIVEN an order whose item is invalid
    order_id = api.place(body()).json["orderId"]
    world.change("OrdersTable", {"orderId": order_id}, status="inner workings")

    # WHEN a client reads it
    answer = api.get(f"/orders/{order_id}")

    # THEN the problem document does not show why
    assert (answer.status, answer.problem) == (500, "internal")
    assert "inner" not in json.dumps(answer.json)


def test_an_unreachable_dynamodb_returns_503(world, api):
    world.wire.always("dynamodb.*", wire.refuse("InternalServerError", 500))

    assert api.get("/catalog").status == 503
