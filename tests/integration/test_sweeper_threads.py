"""The sweeper's threads: each sweeps shards of its own, with its own budgets, counts and log keys."""

import json
import threading

import pytest
from botocore.exceptions import ClientError

from bench.sweep_rate import Edge, sweeper_on, unpublished
from dev.simulated import wire

THREADS = 4
COUNT = 48  # orders, some in each of the four shards
SECONDS = 10  # a thread that waits longer for the others is alone


@pytest.fixture
def backlog(world, order_id):
    """Orders with one unpublished event each."""
    return unpublished(world.order(order_id), COUNT, world.clock.ms)


@pytest.fixture
def run(world, backlog):
    """Sweep the backlog; return the edge, and the report or error of the run."""

    def sweep(before=lambda _operation, _request: None, threads=THREADS):
        edge = Edge(world.table("OrdersTable"), backlog, before=before)
        with sweeper_on(edge, world.stack, world.clock, threads) as once:
            try:
                return edge, once()
            except ClientError as error:
                return edge, error

    return sweep


def test_the_shards_are_swept_at_the_same_time(run):
    # GIVEN a bus that answers a thread's first call once the first calls of all threads have arrived
    together, own = threading.Barrier(THREADS), threading.local()

    def wait_for_the_others(operation, _request):
        if operation == "PutEvents" and not hasattr(own, "arrived"):
            own.arrived = together.wait(SECONDS)

    # WHEN the backlog is swept
    edge, report = run(wait_for_the_others)

    # THEN all threads were there, and each event is published once
    assert not together.broken
    assert edge.left == set()
    assert (edge.published.total(), len(edge.published)) == (COUNT, COUNT)
    assert report["EventsSwept"] == COUNT


def test_fewer_threads_sweep_all_shards(run):
    edge, report = run(threads=2)

    assert edge.left == set()
    assert report["EventsSwept"] == COUNT


@pytest.mark.parametrize("threads", [1, THREADS])
def test_a_shard_that_fails_stops_no_other_and_fails_the_run(run, backlog, printed, threads):
    # GIVEN a shard of the index that cannot be read: the first that is tried
    failing = []

    def refuse_first(operation, request):
        shard = request.get("ExpressionAttributeValues", {}).get(":shard")
        if operation == "Query" and shard and not failing:
            failing.append(int(shard["N"]))
            return wire.refuse("AccessDeniedException")(None, None)
        return None

    printed()

    # WHEN the backlog is swept
    edge, error = run(refuse_first, threads)

    # THEN the others are swept, and the run fails and reports its counts, but no age
    assert error.response["Error"]["Code"] == "AccessDeniedException"
    assert edge.left == {order["orderId"] for order in backlog if order["unfinished"] == failing[0]}
    metrics = printed()
    assert metrics["EventsSwept"].values == [float(COUNT - len(edge.left))]
    assert "UnfinishedAge" not in metrics


def test_log_lines_of_threads_keep_their_own_keys(run, backlog, logged):
    # GIVEN orders with correlation ids of their own, whose events stay in the outbox
    for order in backlog:
        order["correlationId"] = f"trace-{order['orderId']}"
    # AND a table that answers a thread's first rescheduling once those of all threads have arrived
    together, own = threading.Barrier(THREADS), threading.local()

    def refuse_and_wait(operation, request):
        if operation == "TransactWriteItems":
            return wire.refuse("AccessDeniedException")(None, None)
        if operation == "UpdateItem" and "orderId" in request["Key"] and not hasattr(own, "arrived"):
            own.arrived = together.wait(SECONDS)
        return None

    # WHEN the backlog is swept
    run(refuse_and_wait)

    # THEN each line about an order has the correlation id of that order
    assert not together.broken
    lines = [json.loads(line) for line in logged().splitlines()]
    rescheduled = [line for line in lines if line["message"] == "retry rescheduled"]
    assert sorted(line["order_id"] for line in rescheduled) == [order["orderId"] for order in backlog]
    assert all(line["correlation_id"] == f"trace-{line['order_id']}" for line in rescheduled)
