"""GET /reports/sales: per day and product, net of cancellations and refunds, for tokens with the scope."""

import base64
import json
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dev.simulated import wire
from dev.simulated.api import Api
from dev.simulated.messages import message
from dev.simulated.world import MUG, TEE, body
from handoff.clock import to_iso
from ops.rebuild import Rebuild
from shop import ids
from tests.support.orders import line, order

ANALYTICS = "AnalyticsFunction"
DAY_ONE, DAY_TWO = "2026-11-23", "2026-11-24"
SKUS = ["A-1", "B-2", "C-3", "a-1", MUG]
NAMES = ("orders", "units", "revenue")


@pytest.fixture
def reader(world):
    """The API with the token of a program with the scope, as Cognito issues it."""
    return world.program("reports:read")


def report(reader, query=f"from={DAY_ONE}&to={DAY_TWO}"):
    answer = reader.get(f"/reports/sales?{query}")
    assert answer.status == 200, answer.json
    return answer.json


def rows(reader, query=f"from={DAY_ONE}&to={DAY_TWO}"):
    """Return the rows of all pages as (day, sku, orders, units, revenue)."""
    found, cursor = [], ""
    while True:
        page = report(reader, query + cursor)
        found += [tuple(row[name] for name in ("day", "sku", *NAMES)) for row in page["sales"]]
        if "next" not in page:
            return found
        cursor = f"&cursor={page['next']}"


# --- content ----------------------------------------------------------------------------------------------------------


def test_orders_units_and_revenue_by_day_and_product(world, reader):
    world.stock(TEE, unit_price=2000)
    world.api().place(body((MUG, 2), (TEE, 1)), key="one")
    world.api().place(body((MUG, 1)), key="two")
    world.clock.forward(86_400)
    world.api().place(body((TEE, 3)), key="three")
    world.queues.until_quiet(ANALYTICS)

    page = report(reader)

    assert page == {
        "currency": "EUR",
        "sales": [
            {"day": DAY_ONE, "sku": MUG, "orders": 2, "units": 3, "revenue": 3750},
            {"day": DAY_ONE, "sku": TEE, "orders": 1, "units": 1, "revenue": 2000},
            {"day": DAY_TWO, "sku": TEE, "orders": 1, "units": 3, "revenue": 6000},
        ],
    }


def test_a_refund_is_subtracted_on_its_own_day(world, reader, order_id):
    world.queues.until_quiet()
    world.clock.forward(86_400)
    world.program("refunds:write").refund(order_id, restock=True)
    world.queues.until_quiet()

    assert rows(reader) == [(DAY_ONE, MUG, 1, 1, 1250), (DAY_TWO, MUG, -1, -1, -1250)]


def test_an_order_returned_on_its_day_is_left_out(world, reader, order_id):
    world.queues.until_quiet()
    world.program("refunds:write").refund(order_id, restock=True)
    world.queues.until_quiet()

    assert rows(reader) == []


def test_cancellations_are_subtracted_on_the_day_of_the_order(world, reader, order_id):
    world.api().place(body((MUG, 2)), key="key-2")
    world.queues.until_quiet(ANALYTICS)
    world.clock.forward(86_400)
    world.api().cancel(order_id)
    world.queues.until_quiet(ANALYTICS)

    assert rows(reader) == [(DAY_ONE, MUG, 1, 2, 2500)]


def test_rows_of_zeros_are_left_out(world, reader, order_id):
    world.api().cancel(order_id)
    world.queues.until_quiet(ANALYTICS)

    assert report(reader) == {"currency": "EUR", "sales": []}


def test_only_the_requested_days_are_reported(world, reader, order_id):
    world.queues.until_quiet(ANALYTICS)

    assert rows(reader, "from=2026-11-22&to=2026-11-22") == []
    assert rows(reader, "from=2026-11-24&to=2026-12-31") == []
    assert len(rows(reader, "from=2026-11-23&to=2026-11-23")) == 1
    assert rows(reader, "from=9999-12-31&to=9999-12-31") == []


def stored(world, number, day, lines, *, is_cancelled):
    """Store an order, with its events in analytics' queue."""
    order_id = ids.order_id("ada", str(number))
    placed_at = to_iso(world.clock.ms + day * 86_400_000)
    steps = ["PENDING", "PLACED", *(["CANCELLED"] if is_cancelled else [])]
    history = [{"sequence": n, "status": step, "at": placed_at, "transitionId": f"{n}"} for n, step in enumerate(steps)]
    made = order(
        order_id=order_id,
        status=steps[-1],
        sequence=len(steps) - 1,
        lines=tuple(line(sku, units, price) for sku, (units, price) in lines.items()),
        total=sum(units * price for units, price in lines.values()),
        placed_at=placed_at,
    )
    item = made.model_dump(mode="json", by_alias=True, exclude_none=True) | {"history": history}
    world.put("OrdersTable", item)
    events = [message("order_placed", order_id, 1)] + [message("order_cancelled", order_id, 2)] * is_cancelled
    for event in events:
        world.queues.send(ANALYTICS, event)


LINES = st.dictionaries(st.sampled_from(SKUS), st.tuples(st.integers(1, 9), st.integers(0, 5000)), min_size=1)
# Day, lines, whether it is canceled, and whether its events are delivered in a separate batch.
ORDERS = st.lists(st.tuples(st.integers(0, 2), LINES, st.booleans(), st.booleans()), max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(orders=ORDERS, limit=st.integers(1, 7), repeated=st.booleans())
def test_the_report_equals_the_sum_of_all_orders(world, reader, orders, limit, repeated):
    # GIVEN any orders, some of them canceled, counted in any batches and possibly repeatedly
    world.stack.empty()
    for _ in range(1 + repeated):
        for number, (day, lines, is_cancelled, is_alone) in enumerate(orders):
            stored(world, number, day, lines, is_cancelled=is_cancelled)
            if is_alone:  # a separate batch uses another shard
                world.queues.until_quiet(ANALYTICS)
        world.queues.until_quiet(ANALYTICS)

    # WHEN the report is read page by page
    found = rows(reader, f"from={DAY_ONE}&to=2026-11-25&limit={limit}")

    # THEN it is the sum of the orders that are not canceled, sorted
    fold = Counter()
    for item in world.items("OrdersTable"):
        if item["status"] != "CANCELLED":
            for part in item["lines"]:
                key = (item["placedAt"][:10], part["sku"])
                revenue = part["quantity"] * part["unitPrice"]
                fold.update({(*key, "orders"): 1, (*key, "units"): part["quantity"], (*key, "revenue"): revenue})
    keys = sorted({(day, sku) for day, sku, _ in fold})
    assert found == [(*key, *(fold[(*key, name)] for name in NAMES)) for key in keys]


# --- pages ------------------------------------------------------------------------------------------------------------


def test_pages_of_any_size_have_the_same_rows(world, reader):
    for n in range(7):
        world.stock(f"SKU-{n}", unit_price=100 + n)
    for n in range(7):
        world.api().place(body((f"SKU-{n}", 1)), key=f"key-{n}")
        world.queues.until_quiet(ANALYTICS)
    whole = rows(reader)
    assert len(whole) == 7

    assert [rows(reader, f"from={DAY_ONE}&to={DAY_TWO}&limit={limit}") for limit in (1, 2, 3, 500)] == [whole] * 4


def test_a_page_returns_and_reads_at_most_its_limit(world, reader):
    for n in range(7):
        world.stock(f"SKU-{n}")
    for n in range(7):
        world.api().place(body((f"SKU-{n}", 1)), key=f"key-{n}")
        world.queues.until_quiet(ANALYTICS)

    with world.wire.watched() as calls:
        page = report(reader, f"from={DAY_ONE}&to={DAY_TWO}&limit=2")

    assert len(page["sales"]) == 2
    assert "next" in page
    assert {call.request.get("Limit") for call in calls if "Limit" in call.request} <= {1, 2}


def test_a_report_continues_across_a_rebuild(world, reader):
    world.stock(TEE, unit_price=2000)
    world.api().place(body((MUG, 2), (TEE, 1)), key="one")
    world.queues.until_quiet(ANALYTICS)
    first = report(reader, f"from={DAY_ONE}&to={DAY_ONE}&limit=1")
    Rebuild(
        world.client("dynamodb"),
        orders_table=world.table("OrdersTable"),
        sales_table=world.table("SalesTable"),
        shards=4,
    ).run(lambda _: None)

    second = report(reader, f"from={DAY_ONE}&to={DAY_ONE}&limit=1&cursor={first['next']}")

    assert [row["sku"] for row in first["sales"] + second["sales"]] == [MUG, TEE]


def test_a_slow_report_returns_early_with_a_cursor(world, reader):
    # GIVEN sales on the last of ten days, and reads of two seconds each
    world.api().place(body(), key="one")
    world.queues.until_quiet(ANALYTICS)
    world.wire.always("dynamodb.Query", wire.meanwhile(lambda: world.clock.forward(2)))

    # WHEN the report is read
    first = report(reader, "from=2026-11-14&to=2026-11-23")

    # THEN its first page is empty with a cursor, and the next pages have the rows
    assert first["sales"] == []
    assert "next" in first
    assert rows(reader, "from=2026-11-14&to=2026-11-23") == [(DAY_ONE, MUG, 1, 1, 1250)]


def test_sales_that_cannot_be_read_return_unavailable(reader, world):
    world.wire.always("dynamodb.Query", wire.refuse("AccessDeniedException"))
    answer = reader.get(f"/reports/sales?from={DAY_ONE}&to={DAY_TWO}")

    assert (answer.status, answer.problem) == (503, "unavailable")


def test_without_time_for_the_first_read_the_report_is_unavailable(reader, world):
    world.wire.always("dynamodb.Query", wire.meanwhile(lambda: world.clock.forward(15)))
    answer = reader.get(f"/reports/sales?from={DAY_ONE}&to={DAY_TWO}")

    assert (answer.status, answer.problem) == (503, "unavailable")


# --- authorization ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": "reports:read"},
        {"scope": "openid reports:read email"},
        {"scope": "handoff/reports:read"},
        {"scp": "[openid reports:read]"},
        {"scp": "reports:read"},
    ],
)
def test_a_token_with_the_scope_can_read(world, claims):
    reader = Api(world.functions, {"sub": "client-1", **claims})

    assert reader.get(f"/reports/sales?from={DAY_ONE}&to={DAY_ONE}").status == 200


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"scope": ""},
        {"scope": "aws.cognito.signin.user.admin"},
        {"scope": "reports:readwrite other:reports:read handoff/reports"},
        {"scope": "other/reports:read"},
        {"cognito:groups": "[reports:read]"},
        {"sub": "reports:read"},
    ],
)
def test_a_token_without_the_scope_cannot_read(world, order_id, claims):
    world.queues.until_quiet(ANALYTICS)
    answer = Api(world.functions, {"sub": "ada", **claims}).get(f"/reports/sales?from={DAY_ONE}&to={DAY_ONE}")

    assert (answer.status, answer.problem) == (403, "forbidden")
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="reports:read"'
    assert "sales" not in answer.json


def test_without_the_scope_the_query_is_not_validated(api):
    assert api.get("/reports/sales?from=nonsense").status == 403


# --- bad input --------------------------------------------------------------------------------------------------------


def cursor(place):
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", ["from", "to"]),
        ("from=2026-11-23", ["to"]),
        ("from=2026-11-23&to=2026-11-24T00:00:00Z", ["to"]),
        ("from=2026-02-30&to=2026-03-01", ["from"]),
        ("from=20261123&to=2026-W48-1", ["from", "to"]),
        ("from=0000-01-01&to=2026-11-24", ["from"]),
        ("from=2026-11-24&to=2026-11-23", ["to"]),
        ("from=2026-01-01&to=2026-04-03", ["to"]),
        ("from=2026-11-23,2026-11-24&to=2026-11-24", ["from"]),
        ("from=2026-11-23&to=2026-11-24&limit=0", ["limit"]),
        ("from=2026-11-23&to=2026-11-24&limit=501", ["limit"]),
        ("from=2026-11-23&to=2026-11-24&limit=ten", ["limit"]),
        ("from=2026-11-23&to=2026-11-24&limit=-1", ["limit"]),
        ("from=nonsense&to=2026-11-24&limit=0", ["from", "limit"]),
        ("from=2026-11-23&to=2026-11-24&cursor=nonsense", ["cursor"]),
        (f"from=2026-11-23&to=2026-11-24&cursor={cursor([])}", ["cursor"]),
        (f"from=2026-11-23&to=2026-11-24&cursor={cursor({'day': '2026-11-23'})}", ["cursor"]),
        (f"from=2026-11-23&to=2026-11-24&cursor={cursor({'day': '2026-11-22', 'sku': 'A'})}", ["cursor"]),
        (f"from=2026-11-23&to=2026-11-24&cursor={cursor({'day': '2026-11-23', 'sku': 7})}", ["cursor"]),
        (f"from=2026-11-23&to=2026-11-24&cursor={cursor({'day': '2026-11-23', 'sku': 'A' * 65})}", ["cursor"]),
    ],
)
def test_the_error_lists_the_invalid_parameters(reader, query, fields):
    answer = reader.get(f"/reports/sales?{query}")

    assert (answer.status, answer.problem) == (400, "invalid-request")
    assert answer.fields == fields


def test_the_longest_period_is_a_quarter(reader):
    assert reader.get("/reports/sales?from=2026-01-01&to=2026-04-02").status == 200
