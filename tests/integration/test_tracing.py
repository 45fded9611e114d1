"""One order is one trace: its correlation id is in all log lines, and its trace id goes with its events."""

import io
import json
import logging

import pytest

from dev.simulated import wire
from dev.simulated.messages import replayed
from dev.simulated.wire import Crash
from dev.simulated.world import body
from handoff.consumer import BACKOFF
from handoff.telemetry import logger
from ops.dlq import scan

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

    # THEN each of its log lines has the id and the trace of that request
    said = [line for line in of(lines(), "SweeperFunction") if line["message"] != "sweep finished"]
    assert outcomes(said) == {"expired", "rescheduled", "settled"}
    assert [line["reason"] for line in said if "reason" in line] == ["Unavailable"]
    assert {(line["order_id"], line["correlation_id"]) for line in said} == {(order["orderId"], ADA)}
    assert {line["trace_id"] for line in said} == {roots(world, "OrdersFunction")[-1]}


def test_an_unreadable_order_is_logged_with_its_correlation_id(world, api, lines):
    order_id = api.place(body(), **{"X-Correlation-Id": ADA}).json["orderId"]
    world.change("OrdersTable", {"orderId": order_id}, status="LOST")

    world.queues.deliver("AnalyticsFunction")

    assert [
        (line["order_id"], line["correlation_id"]) for line in lines() if line["message"] == "item not readable"
    ] == [(order_id, ADA)]


# --- trace ids --------------------------------------------------------------------------------------------------------


def roots(world, function):
    """Return the trace ids of a function's invocations, oldest first."""
    return [header.split(";")[0].removeprefix("Root=") for name, header in world.functions.traces if name == function]


def published(world):
    """Return the accepted events' types with their trace ids."""
    return [(event["DetailType"], event["TraceHeader"].split(";")[0][5:]) for event in world.events()]


@pytest.fixture
def unpublished(world):
    """Place orders whose requests crash before they publish; return their ids and trace ids."""

    def place(count=2):
        placed = {}
        world.wire.always("eventbridge.PutEvents", wire.crash_before)
        for n in range(count):
            with pytest.raises(Crash):
                world.api().place(body(), key=f"key-{n}")
            (order_id,) = {order["orderId"] for order in world.items("OrdersTable")} - placed.keys()
            placed[order_id] = roots(world, "OrdersFunction")[-1]
        world.wire.heal()
        return placed

    return place


def test_a_swept_event_carries_the_trace_of_its_request(world, unpublished):
    traces = unpublished(5)  # in four shards of the index
    world.clock.forward(61)

    world.sweep()

    calls = [call.request["Entries"] for call in world.wire.named("eventbridge.PutEvents") if call.status == 200]
    assert max(map(len, calls)) > 1  # one call with the events of several requests
    carried = {event["Detail"]["data"]["orderId"]: event["TraceHeader"] for event in world.events()}
    sent = {header.partition(";Lineage")[0] for name, header in world.functions.traces if name == "OrdersFunction"}
    assert set(carried.values()) == sent  # with the parent and the decision to sample
    assert {order_id: header[5:40] for order_id, header in carried.items()} == traces


def test_an_overdue_event_that_another_request_publishes_keeps_its_trace(world, api):
    world.wire.on("eventbridge.PutEvents", wire.crash_before)
    with pytest.raises(Crash):
        api.place(body())
    (order,) = world.items("OrdersTable")
    world.clock.forward(61)

    api.call("POST", f"/orders/{order['orderId']}/cancel")

    placed, cancelled = roots(world, "OrdersFunction")
    assert published(world) == [("order_placed", placed), ("order_cancelled", cancelled)]


def test_each_event_of_a_batch_carries_the_trace_of_its_message(world, unpublished):
    # GIVEN one batch with the events of two requests
    traces = unpublished()
    world.clock.forward(61)
    world.sweep()
    for function in ("FulfillmentFunction", "SettlementFunction"):
        while world.queues.waiting(function):
            world.clock.forward(900)
            world.queues.deliver(function)

    # THEN all events of an order have the trace of its request, although each batch has another trace
    by_order = {order_id: set() for order_id in traces}
    for event in world.events():
        by_order[event["Detail"]["data"]["orderId"]].add(event["TraceHeader"].split(";")[0].removeprefix("Root="))
    assert by_order == {order_id: {trace} for order_id, trace in traces.items()}
    assert len(world.events()) == 2 * len(["order_placed", "shipment_prepared", "shipment_released"])


def test_what_the_sweeper_finishes_belongs_to_the_trace_that_left_it(world, api, lines):
    # GIVEN an order whose payment settlement fails to capture
    order_id = api.place(body()).json["orderId"]
    world.queues.until_quiet("FulfillmentFunction")
    (trace,) = roots(world, "OrdersFunction")[-1:]
    assert trace in world.order(order_id)["trace"]

    # WHEN the sweeper captures it, after a failure
    world.wire.on("dynamodb.*", REFUSED, where=world.to_provider)
    for _ in range(4):
        world.clock.forward(120)
        world.sweep()

    # THEN the event and the sweeper's lines about the order have the request's trace, which the order keeps no longer
    assert published(world)[-1] == ("shipment_released", trace)
    swept = [line for line in of(lines(), "SweeperFunction") if "order_id" in line]
    assert outcomes(swept) == {"published", "rescheduled", "settled"}
    assert {line["trace_id"] for line in swept} == {trace}
    assert "trace" not in world.order(order_id)


def test_an_order_that_the_sweeper_places_keeps_the_trace_of_its_request(world, api):
    # GIVEN an order that waits for its customer, who confirms the payment and does not come back
    answer = api.place(body(token="tok_action", customerAction=True))
    assert answer.status == 202
    api.act(answer.json["clientSecret"])
    first = roots(world, "OrdersFunction")[-2]

    for _ in range(20):
        world.clock.forward(60)
        world.sweep()

    assert published(world)[:1] == [("order_placed", first)]


def test_a_request_that_leaves_no_work_leaves_no_trace_in_the_order(world, api, order_id):
    assert "trace" not in world.order(order_id)


def test_an_event_that_an_older_release_stored_is_published(world, unpublished):
    for order_id in unpublished():
        outbox = world.order(order_id)["outbox"]
        for entry in outbox.values():
            del entry["trace"]
        world.change("OrdersTable", {"orderId": order_id}, outbox=outbox)
    world.clock.forward(61)

    world.sweep()

    assert world.event_types() == ["order_placed"] * 2
    assert not [event for event in world.events() if "TraceHeader" in event]


def test_a_message_without_a_trace_continues_the_trace_of_its_batch(world, api, order_id):
    (event,) = world.events()
    world.queues.send("FulfillmentFunction", replayed(event))
    records = world.queues.receive("FulfillmentFunction")
    (untraced,) = [record for record in records if "AWSTraceHeader" not in record["attributes"]]

    world.queues.hand_over("FulfillmentFunction", [untraced])

    assert published(world)[-1] == ("shipment_prepared", roots(world, "FulfillmentFunction")[-1])


def test_consumers_and_the_sweeper_log_the_trace_id_of_each_event(world, lines, unpublished):
    # GIVEN events that the sweeper publishes, and consumers that fail once
    traces = unpublished()
    for function, table in CONSUMERS.items():
        world.wire.on("dynamodb.*", REFUSED, where=called_by(world, function, table))

    world.clock.forward(61)
    world.sweep()
    while world.queues.busy():
        world.queues.until_quiet()
        world.clock.forward(60)

    # THEN each line of a consumer, and of the sweeper about an event, has the trace id of the order's request
    for function in CONSUMERS:
        said = of(lines(), function)
        assert outcomes(said) >= {"done", "retried"}
        assert {(line["order_id"], line["trace_id"]) for line in said} == set(traces.items())
    swept = [line for line in of(lines(), "SweeperFunction") if line["message"] == "event published"]
    assert {(line["order_id"], line["trace_id"]) for line in swept} == set(traces.items())


def test_a_redriven_event_keeps_its_trace(world, sqs, lines, order_id):
    # GIVEN an event that becomes a dead letter after its last receive
    function = "FulfillmentFunction"
    world.wire.always("dynamodb.*", REFUSED, where=called_by(world, function, "OrdersTable"))
    for _ in range(6):
        world.queues.deliver(function)
        world.clock.forward(max(BACKOFF) + 1)
    world.wire.heal()
    environment = world.stack.environment(function)
    source, dead_letters = environment["QUEUE_URL"], environment["DEAD_LETTER_QUEUE_URL"]
    (found,) = scan.dead_letters(sqs, dead_letters, wait=0)

    # WHEN it is redriven, and the message and what follows from it are handled
    scan.redrive(sqs, [found], dead_letters_url=dead_letters, queue_url=source)
    world.queues.until_quiet(function, "SettlementFunction")

    # THEN each line and each event has the trace id of the request
    (trace,) = roots(world, "OrdersFunction")[-1:]
    said = of(lines(), function) + of(lines(), "SettlementFunction")
    assert outcomes(said) >= {"retried", "dead_lettered", "done"}
    assert {line["trace_id"] for line in said if "order_id" in line} == {trace}
    assert published(world) == [(name, trace) for name in ("order_placed", "shipment_prepared", "shipment_released")]
