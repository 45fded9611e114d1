"""Metrics of requests to place an order: the outcome of each, and the duration of its steps."""

import pytest

from dev.simulated import wire
from dev.simulated.account import STACK_NAME
from dev.simulated.wire import Crash
from dev.simulated.world import MUG, body
from tests.support.metrics import Metric

OUTCOMES = {
    "OrdersPlaced",
    "OrdersRepeated",
    "OrdersDeclined",
    "OrdersOutOfStock",
    "OrdersRefused",
    "OrdersLimited",
    "OrdersActionRequired",
    "OrdersUnavailable",
    "OrdersFailed",
}
STEPS = ["ReserveTime", "AuthoriseTime", "CommitTime", "PublishTime"]
DIMENSIONS = {"service": STACK_NAME}


@pytest.fixture
def counted(printed):
    """Return the metrics and the response of a request."""

    def during(request):
        printed()
        answer = request()
        found = printed()
        assert all(metric.dimensions == DIMENSIONS for metric in found.values())
        return found, answer

    return during


def outcomes(found):
    return {name: metric.values for name, metric in found.items() if name in OUTCOMES}


# --- outcomes ---------------------------------------------------------------------------------------------------------


def again(request):
    """A repeated request."""

    def prepared(world, api):
        request(world, api)
        return lambda: request(world, api)

    return prepared


def expired(world, api):
    """A request with the key of an expired order."""
    api.get("/catalog")
    world.wire.on("*", wire.crash_before, nth=2)
    with pytest.raises(Crash):
        api.place(body())
    world.settle_down(12)
    return lambda: api.place(body())


def in_progress(world, api):
    """A request with the key of an order in progress."""
    api.get("/catalog")
    world.wire.on("*", wire.crash_before, nth=2)
    with pytest.raises(Crash):
        api.place(body())
    return lambda: api.place(body())


def key_reused(_world, api):
    """A different request with a used key."""
    api.place(body())
    return lambda: api.place(body((MUG, 2)))


def broken_order(world, api):
    """A request with the key of an unreadable order."""
    order_id = api.place(body()).json["orderId"]
    world.change("OrdersTable", {"orderId": order_id}, status="?")
    return lambda: api.place(body())


def dead_dynamodb(world, api):
    """A request while DynamoDB is unreachable."""
    world.wire.always("dynamodb.*", wire.refuse("InternalServerError", 500))
    return lambda: api.place(body())


def over_the_limit(world, api):
    """A request of a user whose payments were declined too often."""
    world.functions.settings = {"DECLINES_PER_HOUR": "1"}
    world.functions.stop("OrdersFunction")
    assert api.place(body(token="tok_decline"), key="declined").status == 402
    return lambda: api.place(body())


def acted(world, api):
    """A repeated request whose customer has acted."""
    api.act(api.place(body(token="tok_action", customerAction=True)).json["clientSecret"])
    return lambda: api.place(body(token="tok_action", customerAction=True))


def simply(*lines, **values):
    """A request with a new key."""
    return lambda _world, api: lambda: api.place(body(*lines, **values))


CASES = {
    "placed": (simply(), 201, "OrdersPlaced"),
    "again": (again(lambda _world, api: api.place(body())), 201, "OrdersRepeated"),
    "declined again": (again(lambda _world, api: api.place(body(token="tok_decline"))), 402, "OrdersRepeated"),
    "expired": (expired, 409, "OrdersRepeated"),
    "declined": (simply(token="tok_decline"), 402, "OrdersDeclined"),
    "out of stock": (simply((MUG, 11)), 409, "OrdersOutOfStock"),
    "unknown product": (simply(("NO-SUCH", 1)), 400, "OrdersRefused"),
    "another total": (simply(expectedTotal=1), 409, "OrdersRefused"),
    "not valid": (lambda _world, api: lambda: api.place({}), 400, "OrdersRefused"),
    "not JSON": (lambda _world, api: lambda: api.call("POST", "/orders", "{"), 400, "OrdersRefused"),
    "no user": (lambda world, _api: lambda: world.api(user="").place(body()), 401, "OrdersRefused"),
    "over the limit": (over_the_limit, 429, "OrdersLimited"),
    "waits for the customer": (simply(token="tok_action", customerAction=True), 202, "OrdersActionRequired"),
    "the customer has acted": (acted, 201, "OrdersRepeated"),
    "key reused": (key_reused, 422, "OrdersRefused"),
    "in progress": (in_progress, 409, "OrdersRefused"),
    "silent provider": (simply(token="tok_timeout"), 503, "OrdersUnavailable"),
    "dead DynamoDB": (dead_dynamodb, 503, "OrdersUnavailable"),
    "broken order": (broken_order, 500, "OrdersFailed"),
}


@pytest.mark.parametrize(("prepare", "status", "outcome"), CASES.values(), ids=CASES)
def test_each_request_is_counted_once_by_its_outcome(world, api, counted, prepare, status, outcome):
    found, answer = counted(prepare(world, api))

    assert answer.status == status
    assert outcomes(found) == {outcome: [1.0]}
    assert len(found["OrderTime"].values) == 1


def test_the_revenue_is_that_of_new_orders(api, counted):
    found, _ = counted(lambda: api.place(body((MUG, 2))))
    assert found["Revenue"] == Metric("Revenue", "None", DIMENSIONS, [2500.0])

    found, _ = counted(lambda: api.place(body((MUG, 2))))
    assert "Revenue" not in found


@pytest.mark.parametrize("confirms", [True, False])
def test_the_revenue_of_an_order_counts_when_its_customer_has_acted(api, counted, confirms):
    found, waiting = counted(lambda: api.place(body((MUG, 2), token="tok_action", customerAction=True)))
    assert "Revenue" not in found
    api.act(waiting.json["clientSecret"])

    again = api.confirm if confirms else lambda _: api.place(body((MUG, 2), token="tok_action", customerAction=True))
    found, _ = counted(lambda: again(waiting.json["orderId"]))
    assert found["Revenue"] == Metric("Revenue", "None", DIMENSIONS, [2500.0])
    assert found["ActionsCompleted"] == Metric("ActionsCompleted", "Count", DIMENSIONS, [1.0])

    found, _ = counted(lambda: again(waiting.json["orderId"]))
    assert not {"Revenue", "ActionsCompleted"} & found.keys()


def test_another_route_is_not_counted_as_an_order(api, order_id, counted):
    for path in ("/orders", f"/orders/{order_id}", "/catalog"):
        found, _ = counted(lambda path=path: api.get(path))
        assert not found


def test_a_cancellation_is_counted_once(api, order_id, counted):
    found, _ = counted(lambda: api.cancel(order_id))
    assert found["OrdersCancelled"] == Metric("OrdersCancelled", "Count", DIMENSIONS, [1.0])

    found, answer = counted(lambda: api.cancel(order_id))
    assert (answer.status, found) == (200, {})


def test_a_rejected_cancellation_is_not_counted(world, api, order_id, counted):
    world.queues.until_quiet()

    found, answer = counted(lambda: api.cancel(order_id))

    assert (answer.status, found) == (409, {})


def test_a_refund_is_counted_once(world, shipped, counted):
    shop = world.program("refunds:write")

    found, answer = counted(lambda: shop.refund(shipped, amount=1))
    assert (answer.status, found.keys()) == (201, {"RefundsRequested"})
    assert found["RefundsRequested"] == Metric("RefundsRequested", "Count", DIMENSIONS, [1.0])

    repeated, answer = counted(lambda: shop.refund(shipped, amount=1))
    assert (answer.status, repeated) == (201, {})


def test_a_return_is_counted_once(api, shipped, counted):
    found, answer = counted(lambda: api.return_order(shipped))
    assert answer.status == 200
    assert found == {"ReturnsRequested": Metric("ReturnsRequested", "Count", DIMENSIONS, [1.0])}

    found, answer = counted(lambda: api.return_order(shipped))
    assert (answer.status, found) == (409, {})


def test_a_refused_refund_is_not_counted(world, shipped, counted):
    found, answer = counted(lambda: world.program("refunds:write").refund(shipped, amount=5751))

    assert (answer.status, found) == (409, {})


# --- steps ------------------------------------------------------------------------------------------------------------


def slow(world, nth, seconds):
    """Delay the nth call from now on."""
    world.wire.on("*", wire.meanwhile(lambda: world.clock.forward(seconds)), nth=nth)


def test_the_steps_of_a_new_order_are_measured(world, api, counted):
    # GIVEN delayed calls to reserve, authorize, commit, publish and clear
    api.get("/catalog")
    for nth, seconds in enumerate((0.1, 0.3, 0.2, 0.05, 0.01), start=1):
        slow(world, nth, seconds)

    # WHEN an order is placed
    found, _ = counted(lambda: api.place(body()))

    # THEN each step has its duration, and the request has their sum
    assert {name: found[name].values for name in (*STEPS, "OrderTime")} == {
        "ReserveTime": [100.0],
        "AuthoriseTime": [300.0],
        "CommitTime": [200.0],
        "PublishTime": [60.0],
        "OrderTime": [660.0],
    }
    assert {found[name].unit for name in (*STEPS, "OrderTime")} == {"Milliseconds"}


def test_a_failing_step_is_measured(world, api, counted):
    api.get("/catalog")
    slow(world, 2, 0.3)

    found, answer = counted(lambda: api.place(body(token="tok_timeout")))

    assert answer.status == 503
    assert found["AuthoriseTime"].values == [300.0]
    assert not found.keys() & {"CommitTime", "PublishTime"}


def test_a_repeat_measures_the_lookup_only(api, order_id, counted):
    found, _ = counted(lambda: api.place(body()))

    assert found.keys() == {"OrdersRepeated", "ReserveTime", "OrderTime"}
