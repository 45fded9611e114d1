"""One correlation id finds all that was logged about an order, whichever function has logged it."""

import io
import json
import logging

import pytest

from handoff.telemetry import logger
from tests.support import wire
from tests.support.messages import replayed
from tests.support.wire import Crash
from tests.support.world import body

CONSUMERS = {
    "EmailsFunction": "IdempotencyTable",
    "AnalyticsFunction": "SalesTable",
    "FulfillmentFunction": "ShipmentsTable",
}
REFUSED = wire.refuse("AccessDeniedException")
ADA, BOB = "adas-request", "bobs-request"


@pytest.fixture
def lines(world):
    """The lines that the functions log from here on, warm as they are, as they write them."""
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


def outcomes(lines):
    return {line["outcome"] for line in lines if "outcome" in line}


def test_every_line_about_an_order_carries_the_id_of_its_request(world, lines):
    # GIVEN an order whose request dies after the commit, and one of somebody else's
    world.customer("bob")
    world.wire.on("eventbridge.PutEvents", wire.crash_before)
    with pytest.raises(Crash):
        world.api("ada").place(body(), **{"X-Correlation-Id": ADA})
    (adas,) = [order["orderId"] for order in world.items("OrdersTable")]
    world.functions.module("OrdersFunction")
    world.wire.on("eventbridge.PutEvents", wire.cannot_connect, times=2)
    bobs = world.api("bob").place(body(), **{"X-Correlation-Id": BOB}).json["orderId"]

    # WHEN they are swept, at first in vain, and each consumer fails once, and hears of all once more in the end
    for _ in range(2):
        world.clock.forward(61)
        world.sweep()
    for table in CONSUMERS.values():
        world.wire.on("dynamodb.*", REFUSED, where=world.touching(table))
    world.settle_down(10)
    for event in world.events():
        for function in CONSUMERS:
            world.queues.send(function, replayed(event))
    world.queues.until_quiet()

    # THEN whatever was logged about either carries the id of its own request
    owner = {adas: ADA, bobs: BOB}
    about = [line for line in lines() if "order_id" in line]
    assert {(line["order_id"], line.get("correlation_id")) for line in about} == set(owner.items())
    swept = of(about, "SweeperFunction")
    assert outcomes(swept) >= {"published", "rescheduled"}
    # lines about a whole sweep, or a batch of events, name no order
    assert not {line["message"] for line in swept} & {"sweep finished", "events not published"}

    # AND no line of a consumer lacks the ids that find it
    for function in CONSUMERS:
        said = of(lines(), function)
        assert outcomes(said) >= {"done", "retried"}
        for line in said:
            assert owner[line["order_id"]] == line["correlation_id"]
            assert line["event_id"].startswith(line["order_id"])


def test_a_request_about_an_order_is_found_by_the_order(world, lines, order_id):
    world.api().get(f"/orders/{order_id}")
    world.api().call("POST", f"/orders/{order_id}/cancel", **{"X-Correlation-Id": "another-request"})

    placed, shown, cancelled = [line for line in lines() if line["message"] == "request answered"]
    assert {line["order_id"] for line in (placed, shown, cancelled)} == {order_id}
    assert cancelled["correlation_id"] == "another-request"


def test_an_event_of_a_later_request_keeps_the_id_that_the_order_began_with(world, api):
    order_id = api.place(body(), **{"X-Correlation-Id": ADA}).json["orderId"]
    api.call("POST", f"/orders/{order_id}/cancel", **{"X-Correlation-Id": "another-request"})

    assert {event["Detail"]["metadata"]["correlationId"] for event in world.events()} == {ADA}


def test_the_event_of_a_prepared_shipment_keeps_the_id_that_the_order_began_with(world, api):
    api.place(body(), **{"X-Correlation-Id": ADA})
    world.queues.until_quiet("FulfillmentFunction")

    assert world.event_types() == ["order_placed", "shipment_prepared"]
    assert {event["Detail"]["metadata"]["correlationId"] for event in world.events()} == {ADA}


def test_what_the_sweeper_expires_and_settles_carries_the_id_of_its_request(world, lines):
    # GIVEN a request that dies while it waits for the provider, and a provider that refuses to void at first
    world.wire.on("dynamodb.*", wire.crash_after, where=world.to_provider)
    with pytest.raises(Crash):
        world.api().place(body(), **{"X-Correlation-Id": ADA})
    (order,) = world.items("OrdersTable")
    world.functions.module("OrdersFunction")

    # WHEN the sweeper gives the order up, in spite of a provider that does not answer at first
    world.clock.forward(600)
    world.wire.on("dynamodb.*", REFUSED, where=world.to_provider)
    world.settle_down(5)

    # THEN it says so, each time under the id of that request
    said = [line for line in of(lines(), "SweeperFunction") if line["message"] != "sweep finished"]
    assert outcomes(said) == {"expired", "rescheduled", "settled"}
    assert "order not finished" in {line["message"] for line in said}
    assert {(line["order_id"], line["correlation_id"]) for line in said} == {(order["orderId"], ADA)}


def test_an_order_that_cannot_be_read_is_named_with_the_id_of_its_request(world, api, lines):
    order_id = api.place(body(), **{"X-Correlation-Id": ADA}).json["orderId"]
    world.change("OrdersTable", {"orderId": order_id}, status="LOST")

    world.queues.deliver("AnalyticsFunction")

    assert [
        (line["order_id"], line["correlation_id"]) for line in lines() if line["message"] == "An item is not readable"
    ] == [(order_id, ADA)]
