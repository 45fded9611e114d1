"""`handoff order ID --waterfall`: requests, waits, consumers, retries, redrives and sweeps of one order."""

import json
import re

import pytest

from dev.simulated.messages import replayed
from dev.simulated.wire import Crash, cannot_connect, crash_before, refuse
from dev.simulated.world import body
from handoff.consumer import BACKOFF
from ops.dlq import scan

EMAILS, ANALYTICS = "EmailsFunction", "AnalyticsFunction"
FULFILLMENT, SETTLEMENT = "FulfillmentFunction", "SettlementFunction"
BUSY = refuse("TooManyRequestsException", 429)


@pytest.fixture
def order_id(api, logs):
    """A placed order of one mug; its event waits in every queue."""
    return api.place(body()).json["orderId"]


@pytest.fixture
def hops_of(run_order):
    """Return the hops of an order, as scripts get them."""
    return lambda order_id: json.loads(run_order(order_id, "--json").stdout)["hops"]


def short(hops, who=None):
    """Return the hops in short: depth, kind, who and what; those of one component if ``who`` is given."""
    return [(hop["depth"], hop["kind"], hop["who"], hop["what"]) for hop in hops if who in (None, hop["who"])]


def seconds(hop):
    """Return the seconds of the minute in which a hop began and ended, without the thousandths."""
    return tuple(hop[name] and round(float(hop[name][17:23]), 1) for name in ("start", "end"))


def test_each_hop_is_below_the_one_that_caused_it(world, clock, order_id, hops_of):
    for function in (ANALYTICS, FULFILLMENT, SETTLEMENT, EMAILS):
        clock.forward(1)
        while world.queues.deliver(function):
            pass

    hops = hops_of(order_id)

    assert short(hops) == [
        (0, "request", "api", "POST /orders"),
        (1, "queue", "analytics", "order_placed"),
        (2, "consumer", "analytics", "order_placed"),
        (1, "queue", "fulfillment", "order_placed"),
        (2, "consumer", "fulfillment", "order_placed"),
        (3, "queue", "settlement", "shipment_prepared"),
        (4, "consumer", "settlement", "shipment_prepared"),
        (5, "queue", "emails", "shipment_released"),
        (6, "consumer", "emails", "shipment_released"),
        (1, "queue", "emails", "order_placed"),
        (2, "consumer", "emails", "order_placed"),
    ]
    assert [seconds(hop) for hop in hops if hop["kind"] == "queue"] == [(0, 1), (0, 2), (2, 3), (3, 4), (0, 4)]
    assert all(hops[hop["parent"]]["depth"] == hop["depth"] - 1 for hop in hops[1:])
    # AND all of them have the request's trace, although each invocation has its own
    assert {hop["traceId"] for hop in hops} == {world.functions.traces[0][1][5:40]}
    assert not [hop for hop in hops if hop["trouble"]]


def test_the_time_that_a_function_worked_is_a_bar(world, clock, order_id, hops_of):
    def slow(_call, deliver):
        clock.forward(2)
        return deliver()

    world.wire.on("sesv2.SendEmail", slow)
    clock.forward(1)
    world.queues.deliver(EMAILS)

    (worked,) = [hop for hop in hops_of(order_id) if hop["kind"] == "consumer"]
    assert seconds(worked) == (1, 3)


def test_retries_and_redrives_are_hops(world, clock, sqs, order_id, hops_of):
    # GIVEN an event that fails on all receives, and is redriven an hour later
    world.wire.always("sesv2.SendEmail", BUSY)
    for _ in range(6):
        world.queues.deliver(EMAILS)
        clock.forward(max(BACKOFF) + 1)
    world.wire.heal()
    environment = world.stack.environment(EMAILS)
    source, dead_letters = environment["QUEUE_URL"], environment["DEAD_LETTER_QUEUE_URL"]
    (found,) = scan.dead_letters(sqs, dead_letters, wait=0)
    scan.redrive(sqs, [found], dead_letters_url=dead_letters, queue_url=source)
    world.queues.deliver(EMAILS)

    hops = [hop for hop in hops_of(order_id) if hop["who"] == "emails"]

    kinds = ["queue", "consumer", *["retry", "consumer"] * 5, "redrive", "consumer"]
    assert [hop["kind"] for hop in hops] == kinds
    assert [hop["depth"] for hop in hops] == [*range(1, len(kinds) + 1)]
    outcomes = [hop["outcome"] for hop in hops if hop["kind"] == "consumer"]
    assert outcomes == ["retried"] * 5 + ["dead_lettered", "done"]
    assert [hop["outcome"] for hop in hops if hop["trouble"]] == ["retried"] * 5 + ["dead_lettered"]
    assert len({hop["traceId"] for hop in hops}) == 1


def test_the_wait_for_the_sweeper_is_a_hop(world, api, logs, clock, hops_of):
    # GIVEN an order whose request crashes before it publishes, so that it logs nothing
    world.wire.on("eventbridge.PutEvents", crash_before)
    with pytest.raises(Crash):
        api.place(body())
    (order,) = world.items("OrdersTable")
    clock.forward(61)
    world.sweep()
    world.queues.deliver(ANALYTICS)

    hops = hops_of(order["orderId"])

    assert short(hops)[:2] == [(0, "write", "order", "order_placed"), (1, "outbox", "outbox", "order_placed")]
    assert short(hops, "analytics") == [
        (2, "queue", "analytics", "order_placed"),
        (3, "consumer", "analytics", "order_placed"),
    ]
    assert seconds(hops[1]) == (0, 1)
    assert {hop["traceId"] for hop in hops if hop["end"]} - {""} == {world.functions.traces[0][1][5:40]}


def test_waits_that_are_not_over_have_no_end(world, api, logs, hops_of):
    world.wire.on("eventbridge.PutEvents", cannot_connect)
    unpublished = api.place(body(), key="unpublished").json["orderId"]
    published = api.place(body(), key="published").json["orderId"]

    (outbox,) = hops_of(unpublished)[1:]
    assert (outbox["kind"], outbox["end"]) == ("outbox", None)
    waits = hops_of(published)[1:]
    assert {(hop["kind"], hop["end"]) for hop in waits} == {("queue", None)}
    assert {hop["who"] for hop in waits} == {"analytics", "emails", "fulfillment"}


def test_a_duplicate_is_not_below_the_first_delivery(world, order_id, hops_of):
    (event,) = world.events()
    world.queues.deliver(ANALYTICS)
    world.queues.send(ANALYTICS, replayed(event))
    world.queues.deliver(ANALYTICS)

    hops = [hop for hop in hops_of(order_id) if hop["who"] == "analytics"]
    assert [(hop["depth"], hop["kind"], hop["outcome"]) for hop in hops] == [
        (1, "queue", ""),
        (2, "consumer", "done"),
        (1, "consumer", "repeated"),
    ]


def test_a_later_request_begins_a_tree_of_its_own(world, api, clock, order_id, hops_of):
    clock.forward(5)
    api.cancel(order_id)
    world.queues.until_quiet()

    hops = hops_of(order_id)
    roots = [position for position, hop in enumerate(hops) if hop["depth"] == 0]
    assert [hops[position]["what"] for position in roots] == ["POST /orders", "POST /orders/{orderId}/cancel"]
    assert {hop["what"] for hop in hops[roots[1] + 1 :]} == {"order_cancelled"}
    assert len({hop["traceId"] for hop in hops}) == 2


def test_the_waterfall_shows_short_work_beside_long_waits(world, clock, order_id, run_order):
    world.wire.on("sesv2.SendEmail", BUSY)
    clock.forward(0.25)
    world.queues.until_quiet(ANALYTICS, EMAILS)
    clock.forward(301)
    world.queues.until_quiet(FULFILLMENT, SETTLEMENT, EMAILS)

    lines = run_order(order_id, "--waterfall").stdout.splitlines()

    shown = [re.sub(r"\s+", " ", re.sub(r"-{2,}", "--", line)).strip() for line in lines if re.search(r" (#|--)", line)]
    assert shown[:6] == [
        "POST /orders +0.000 s 0.000 s # status 201",
        "queue of analytics +0.000 s 0.250 s -- order_placed",
        "analytics +0.250 s 0.000 s # order_placed, done",
        "queue of emails +0.000 s 0.250 s -- order_placed",
        "! emails +0.250 s 0.000 s # order_placed, retried",
        "emails backs off +0.250 s 5m1s -- order_placed",
    ]
    (trace,) = {trace[5:40] for function, trace in world.functions.traces if function == "OrdersFunction"}
    assert f"All hops have the trace id {trace}." in lines
    assert "Nothing is pending." in lines


def test_several_traces_are_told_apart(world, api, order_id, run_order):
    api.cancel(order_id)
    world.queues.until_quiet()

    shown = run_order(order_id, "--waterfall").stdout
    first, second = (trace[5:40] for function, trace in world.functions.traces if function == "OrdersFunction")
    assert f"Trace A: {first}, " in shown
    assert f"Trace B: {second}, " in shown


def test_logs_of_releases_without_trace_ids_are_shown(world, clock, order_id, logged_deployment, run_order, logs):
    # GIVEN a line as an older release wrote it: without duration and trace
    line = {"level": "INFO", "message": "event handled", "order_id": order_id, "event_id": f"{order_id}-1"}
    logs.put("AnalyticsLogs", json.dumps({**line, "outcome": "done", "timestamp": "2026-11-23 10:00:03,000+0000"}))

    shown = run_order(order_id, "--waterfall").stdout

    assert "No trace id is logged for 2 hops." in shown
    assert "+3.000 s" in shown
