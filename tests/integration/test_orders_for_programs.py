"""Looking up the orders of all customers, for programs with the scope orders:read."""

import base64
import json
from urllib.parse import urlencode

import pytest

from dev.simulated import wire
from dev.simulated.world import World, body, deployed
from shop import order_list
from shop.order_list import MOST_DAYS

START = "2026-11-23T10:00:00.000Z"  # when the world's clock begins


@pytest.fixture(scope="module")
def stack():
    """Deploy the template to moto, with the list of orders."""
    with deployed({"OrdersReadAccess": "true"}) as stack:
        yield stack


@pytest.fixture
def program(world):
    return world.program("orders:read")


@pytest.fixture
def placed(world):
    """Six orders of two customers, oldest first, a second apart, and a minute after the last of them."""
    world.customer("bob")
    order_ids = []
    for n in range(6):
        user = "ada" if n % 2 else "bob"
        order_ids.append(world.api(user).place(body(), key=f"key-{n}").json["orderId"])
        world.clock.forward(1)
    world.clock.forward(60)
    return order_ids


def listed(program, since=START, **query):
    """Return the order ids of all pages, and the last page."""
    found, page = [], {"next": None}
    while "next" in page:
        given = {"since": since, **query} | ({"cursor": page["next"]} if page["next"] else {})
        answer = program.get(f"/orders?{urlencode(given)}")
        assert answer.status == 200, answer.json
        page = answer.json
        assert ("next" in page) is ("until" not in page)
        found += [order["orderId"] for order in page["orders"]]
    return found, page


def test_a_program_gets_any_order_with_its_customer(world, program):
    order_id = world.api().place(body()).json["orderId"]

    answer = program.get(f"/orders/{order_id}")

    own = world.api().get(f"/orders/{order_id}").json
    assert (answer.status, answer.json) == (200, own | {"userId": "ada"})
    assert "userId" not in own


def test_a_program_gets_404_for_an_order_that_does_not_exist(program):
    answer = program.get("/orders/ord_" + "a" * 26)
    assert (answer.status, answer.problem) == (404, "no-such-order")


def test_a_program_without_the_scope_reads_no_order(world):
    order_id = world.api().place(body()).json["orderId"]

    for url in (f"/orders/{order_id}", f"/orders?since={START}"):
        answer = world.program("orders:write", "reports:read").get(url)
        assert (answer.status, answer.problem) == (403, "forbidden")
        assert answer.json["detail"] == "Requires a token with scope orders:read."


def test_a_customer_cannot_list_the_orders_of_all_customers(world, api, placed):
    with world.wire.watched() as calls:
        answer = api.get(f"/orders?since={START}")

    assert (answer.status, answer.problem, calls) == (403, "forbidden", [])


def test_the_orders_of_all_customers_are_listed_oldest_first(program, placed):
    found, page = listed(program)

    assert found == placed
    assert page["orders"][0] == {
        "orderId": placed[0],
        "userId": "bob",
        "status": "PLACED",
        "total": 1250,
        "currency": "EUR",
        "placedAt": START,
    }


@pytest.mark.parametrize("limit", [1, 2, 4, 6, 7])
def test_pages_have_each_order_once(program, placed, limit):
    assert listed(program, limit=limit)[0] == placed


def test_orders_of_the_same_millisecond_are_all_listed(world, program):
    placed = {world.api().place(body(), key=f"key-{n}").json["orderId"] for n in range(5)}
    world.clock.forward(61)

    found = listed(program, limit=2)[0]

    assert (len(found), set(found)) == (5, placed)


@pytest.mark.parametrize(
    ("since", "first"),
    [
        ("2026-11-23T10:00:02.000Z", 2),
        ("2026-11-23T10:00:02Z", 2),
        ("2026-11-23T10:00:01.001Z", 2),
        ("2026-11-23T10:00:01.999999Z", 2),
        ("2026-11-22T00:00:00Z", 0),
        ("2026-11-23T10:00:59Z", 6),
        ("2030-01-01T00:00:00Z", 6),
    ],
)
def test_orders_before_the_time_are_left_out(program, placed, since, first):
    assert listed(program, since)[0] == placed[first:]


def test_an_order_is_listed_a_minute_after_it_is_placed(world, program):
    """A younger order must not be listed before an older one whose write took longer."""
    order_id = world.api().place(body()).json["orderId"]

    world.clock.forward(60)
    assert listed(program)[0] == []
    world.clock.forward(0.001)
    assert listed(program)[0] == [order_id]


def test_polling_with_until_lists_each_order_once(world, program):
    found, since, placed = [], START, []
    for n in range(8):
        placed.append(world.api().place(body(), key=f"key-{n}").json["orderId"])
        world.clock.forward(20)
        part, page = listed(program, since)
        found, since = found + part, page["until"]
    world.clock.forward(60)

    assert found + listed(program, since)[0] == placed


def test_a_time_in_the_future_is_its_own_end(program):
    found, page = listed(program, "2030-01-01T00:00:00Z")
    assert (found, page["until"]) == ([], "2030-01-01T00:00:00.000Z")


def test_days_without_orders_are_passed_in_parts(world, program, placed):
    """A program that begins in the distant past gets empty pages, not one request that never ends."""
    with world.wire.watched() as calls:
        page = program.get("/orders?since=2026-01-01T00:00:00Z").json

    assert (page["orders"], "next" in page) == ([], True)
    assert len(calls) == MOST_DAYS * int(world.stack.parameters["OrderListShards"])
    assert listed(program, "2026-01-01T00:00:00Z")[0] == placed


def test_the_list_has_the_orders_of_several_days(world, program):
    placed = []
    for n in range(3):
        placed.append(world.api().place(body(), key=f"key-{n}").json["orderId"])
        world.clock.forward(86_400)

    assert listed(program, limit=1)[0] == listed(program)[0] == placed


def test_an_order_that_was_never_placed_is_not_listed(world, program):
    world.api().place(body(token="tok_decline"))
    world.clock.forward(61)

    assert listed(program)[0] == []


def test_an_order_that_was_placed_later_is_listed_by_that_time(world, program):
    """The sweeper can place an order minutes after its request: it is listed where no program has been yet."""
    order_id = world.api().place(body(token="tok_action", customerAction=True)).json["orderId"]
    world.clock.forward(120)
    since = listed(program)[1]["until"]
    secret = world.api().place(body(token="tok_action", customerAction=True)).json["clientSecret"]
    world.api().act(secret)
    world.api().confirm(order_id)
    world.clock.forward(61)

    assert listed(program, since)[0] == [order_id]


def test_the_list_shows_the_status_as_it_is_now(world, program):
    order_id = world.api().place(body()).json["orderId"]
    world.api().cancel(order_id)
    world.clock.forward(61)

    page = listed(program)[1]
    assert [order["status"] for order in page["orders"]] == ["CANCELLED"]


@pytest.mark.parametrize("since", ["", "yesterday", "2026-11-23", "2026-11-23T10:00:00", "2026-11-23T10:00:00+01:00"])
def test_a_time_without_utc_is_refused(program, since):
    answer = program.get(f"/orders?{urlencode({'since': since})}")

    assert (answer.status, answer.fields) == (400, ["since"])
    assert "such as 2026-11-23T10:00:00Z" in answer.json["detail"]


@pytest.mark.parametrize("since", ["2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "0000-01-01T00:00:00Z"])
def test_a_time_that_does_not_exist_is_refused(program, since):
    answer = program.get(f"/orders?since={since}")
    assert (answer.status, answer.fields) == (400, ["since"])


def test_a_status_together_with_since_is_refused(program):
    answer = program.get(f"/orders?since={START}&status=PLACED")
    assert (answer.status, answer.fields) == (400, ["status"])


def cursor(**position):
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


@pytest.mark.parametrize(
    "wrong",
    [
        "x",
        cursor(after="x"),
        cursor(after="2026-11-23T10:00:00.000Z#x"),
        cursor(after="2026-99-23T10:00:00.000Z"),
        cursor(after="2026-11-22T10:00:00.000Z"),  # before since
        cursor(orderId="ord_" + "a" * 26, placedAt=START),  # of a customer's list
    ],
)
def test_a_cursor_of_another_list_is_refused(program, wrong):
    answer = program.get(f"/orders?{urlencode({'since': START, 'cursor': wrong})}")
    assert (answer.status, answer.fields) == (400, ["cursor"])


def test_a_cursor_of_a_program_shows_a_customer_nothing(world, program, placed):
    page = program.get(f"/orders?since={START}&limit=1").json

    answer = world.api().get(f"/orders?{urlencode({'cursor': page['next']})}")

    assert (answer.status, answer.fields) == (400, ["cursor"])


def test_an_order_of_an_earlier_release_is_not_listed_but_found(world, program, placed):
    old = {name: value for name, value in world.order(placed[0]).items() if name not in {"timeBucket", "timeEntry"}}
    world.put("OrdersTable", old)

    assert listed(program)[0] == placed[1:]
    assert program.get(f"/orders/{placed[0]}").status == 200


def test_a_deployment_without_the_list_says_how_to_get_it(stack, clock):
    world = World(stack, clock, settings={"LISTS_ORDERS": "false"})
    world.stock()
    world.customer()
    order_id = world.api().place(body()).json["orderId"]

    answer = world.program("orders:read").get(f"/orders?since={START}")

    assert (answer.status, answer.problem) == (404, "no-order-list")
    assert "OrdersReadAccess=true" in answer.json["detail"]
    # AND the order has its keys, so that it is on the list once there is one
    assert world.order(order_id).keys() >= {"timeBucket", "timeEntry"}


def test_without_time_to_read_the_client_is_told_to_retry(world, program, placed, monkeypatch):
    monkeypatch.setattr(order_list.aws, "LONGEST_CALL", 10**6)

    answer = program.get(f"/orders?since={START}")

    assert (answer.status, answer.headers["retry-after"]) == (503, "5")


def test_an_outage_of_the_table_is_answered_with_503(world, program):
    world.wire.always("dynamodb.Query", wire.refuse("InternalServerError", 500))
    assert program.get("/orders?since=2026-11-22T10:00:00Z").status == 503
