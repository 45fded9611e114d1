"""One correlation id finds all log lines of an order, in all functions."""

import io
import json
import logging

import pytest

from dev.simulated import wire
from dev.simulated.messages import replayed
from dev.simulated.wire import Crash
from dev.simulated.world import body
from handoff.telemetry import logger

CONSUMERS = {
    "EmailsFunction": "IdempotencyTable",
    "AnalyticsFunction": "SalesTable",
    "FulfillmentFunction": "ShipmentsTable",
    "SettlementFunction": "SandboxTable",
}
REFUSED = wire.refuse("AccessDeniedException")
ADA, BOB = "adas-request", "bobs-request"


@pytest.fixture
def lines(world):
    """Collect the lines that the warm functions log from now on."""
    for function in ("OrdersFunction", "SweeperFunction", *CONSUMERS):
        world.functions.module(function)
    world.api().get("/catalog")
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logger.registered_formatter)
    logger.addHandler(handler)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    logging.getLogger(logger.name).removeHandler(handler)


def of(lines, function):
    return [line for line in lines if line["function_name"] == function]


def called_by(world, function, table):
    """Return a predicate for a function's calls to a table."""
    return lambda call: world.functions.running[-1:] == [function] and world.touching(table)(call)


def outcomes(lines):
    return {line["outcome"] for line in lines if "outcome" in line}


def test_every_log_line_of_an_order_has_its_correlation_id(world, lines):
    # GIVEN an order whose request crashes after the commit, and one of another customer
    world.customer("bob")
    world.wire.on("eventbridge.PutEvents", wire.crash_before)
    with pytest.raises(Crash):
        world.api("ada").place(body(), **{"X-Correlation-Id": ADA})
    (adas,) = [order["orderId"] for order in world.items("OrdersTable")]
    world.functions.module("OrdersFunction")
    world.wire.on("eventbridge.PutEvents", wire.cannot_connect, times=2)
    bobs = world.api("bob").place(body(), **{"X-Correlation-Id": BOB}).json["orderId"]

    # WHEN the first sweep fails, each consumer fails once, and all events are delivered once more
    for _ in range(2):
        world.clock.forward(61)
        world.sweep()
    for function, table in CONSUMERS.items():
        world.wire.on("dynamodb.*", REFUSED, where=called_by(world, function, table))
    world.settle_down(10)
    for event in world.events():
        for function in CONSUMERS:
            world.queues.send(function, replayed(event))
    world.queues.until_quiet()

    # THEN each line about an order has the id of the order's request
    owner = {adas: ADA, bobs: BOB}
    about = [line for line in lines() if "order_id" in line]
    assert {(line["order_id"], line.get("correlation_id")) for line in about} == set(owner.items())
    swept = of(about, "SweeperFunction")
    assert outcomes(swept) >= {"published", "rescheduled"}
    # lines about a sweep or a batch of events have no order
    assert not {line["message"] for line in swept} & {"sweep finished", "events not published"}

    # AND each line of a consumer has the ids
    for function in CONSUMERS:
        said = of(lines(), function)
        assert outcomes(said) >= {"done", "retried"}
        for line in said:
            assert owner[line["order_id"]] == line["correlation_id"]
            assert line["event_id"].startswith(line["order_id"])


def test_a_later_request_is_found_by_the_order_id(world, lines, order_id):
    world.api().get(f"/orders/{order_id}")
    world.api().call("POST", f"/orders/{order_id}/cancel", **{"X-Correlation-Id": "another-request"})

    placed, shown, cancelled = [line for line in lines() if line["message"] == "request answered"]
    assert {line["order_id"] for line in (placed, shown, cancelled)} == {order_id}
    assert cancelled["correlation_id"] == "another-request"


def test_a_later_event_keeps_the_orders_correlation_id(world, api):
    order_id = api.place(body(), **{"X-Correlation-Id": ADA}).json["orderId"]
    api.call("POST", f"/orders/{order_id}/cancel", **{"X-Correlation-Id": "another-request"})

    assert {event["Detail"]["metadata"]["correlationId"] for event in world.events()} == {ADA}


def test_a_shipments_event_keeps_the_orders_correlation_id(world, api):
    api.place(body(), **{"X-Correlation-Id": ADA})
    world.queues.until_quiet("FulfillmentFunction")

    assert world.event_types() == ["order_placed", "shipment_prepared"]
    assert {event["Detail"]["metadata"]["correlationId"] for event in world.events()} == {ADA}


def test_the_sweeper_logs_the_correlation_id_of_the_order(world, lines):
    # GIVEN a request that crashes while it waits for the provider, and a provider that does not void at first
    world.wire.on("dynamodb.*", wire.crash_after, where=world.to_provider)
    with pytest.raises(Crash):
        world.api().place(body(), **{"X-Correlation-Id": ADA})
    (order,) = world.items("OrdersTable")
    world.functions.module("OrdersFunction")

    # WHEN the sweeper expires the order and retries the void
    world.clock.forward(600)
    world.wire.on("dynamodb.*", REFUSED, where=world.to_provider)
    world.settle_down(5)

    # THEN each of its log lines has the id of that request
    said = [line for line in of(lines(), "SweeperFunction") if line["message"] != "sweep finished"]
    assert outcomes(said) == {"expired", "rescheduled", "settled"}
    assert [line["reason"] for line in said if "reason" in line] == ["Unavailable"]
    assert {(line["order_id"], line["correlation_id"]) for line in said} == {(order["orderId"], ADA)}


def test_an_unreadable_order_is_logged_with_its_correlation_id(world, api, lines):
    order_id = api.place(body(), **{"X-Correlation-Id": ADA}).json["orderId"]
    world.change("OrdersTable", {"orderId": order_id}, status="LOST")

    world.queues.deliver("AnalyticsFunction")

    assert [
        (line["order_id"], line["correlation_id"]) for line in lines() if line["message"] == "item not readable"
    ] == [(order_id, ADA)]
