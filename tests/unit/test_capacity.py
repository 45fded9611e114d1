"""Compare the capacity page's formulas with simulations with a fixed seed, and with the code that they model."""

import random
import time
from itertools import pairwise

import pytest
import simpy

from bench import capacity_model, formulas
from bench.profile import ORDERS, memory_gb
from bench.scenarios import ANALYTICS, EMAILS, FULFILLMENT, SETTLEMENT
from dev.template import template_with
from handoff import aws
from handoff.clock import Deadline
from shop.sales import SalesStore, order_sale
from tests.support.orders import line, order

SEED = 20261123


def poisson(env, rate, until, each):
    """Start ``each`` at random times, ``rate`` times per second on average."""
    while env.now < until:
        yield env.timeout(random.expovariate(rate))
        env.process(each())


@pytest.fixture
def env():
    random.seed(SEED)
    return simpy.Environment()


@pytest.mark.parametrize(("rate", "duration"), [(10, 0.36), (200, 0.36), (50, 2.0)])
def test_littles_law(env, rate, duration):
    busy_seconds, seconds = 0.0, 500

    def request():
        nonlocal busy_seconds
        taken = random.expovariate(1 / duration)
        busy_seconds += taken
        yield env.timeout(taken)

    env.process(poisson(env, rate, seconds, request))
    env.run()

    assert busy_seconds / seconds == pytest.approx(formulas.concurrency(rate, duration), rel=0.05)


def test_the_computed_workers_keep_up_and_a_quarter_fewer_do_not(env):
    rate, duration, seconds = 40, 0.5, 300
    needed = formulas.workers(rate, duration, utilization=0.8)

    def waiting(workers):
        local, pool = simpy.Environment(), None
        pool = simpy.Resource(local, capacity=workers)

        def message():
            with pool.request() as turn:
                yield turn
                yield local.timeout(duration)

        local.process(poisson(local, rate, seconds, message))
        local.run(until=seconds)
        return len(pool.queue)

    assert waiting(needed) < rate  # less than the arrivals of a second
    assert waiting(needed * 3 // 4) > rate * 10


@pytest.mark.parametrize(("backlog", "arrivals", "workers"), [(5_000, 20, 10), (20_000, 0, 4), (2_000, 35, 10)])
def test_time_to_drain_a_queue(env, backlog, arrivals, workers):
    duration = 0.25
    queue = simpy.Store(env)
    queue.items += [None] * backlog
    drained = []

    def message():
        yield queue.put(None)

    def worker():
        while True:
            yield queue.get()
            yield env.timeout(duration)
            if not queue.items:
                drained.append(env.now)

    if arrivals:
        env.process(poisson(env, arrivals, 10_000, message))
    for _ in range(workers):
        env.process(worker())
    while not drained:
        env.step()

    expected = formulas.time_to_drain(backlog, arrivals, workers / duration)
    assert drained[0] == pytest.approx(expected, rel=0.1)


def test_a_queue_with_more_arrivals_than_throughput_never_drains():
    assert formulas.time_to_drain(1, 10, 10) == float("inf")


def test_number_of_sweeper_runs_for_a_backlog(env):
    backlog, budget, each = 5_000, 20.0, 0.009
    left, runs = backlog, 0

    def sweeper():
        nonlocal left, runs
        while left:
            runs += 1
            began = env.now
            while left and env.now - began < budget:
                yield env.timeout(each)
                left -= 1
            yield env.timeout(60 - (env.now - began))

    env.run(env.process(sweeper()))

    assert runs == formulas.runs_to_drain(backlog, budget, each)


def hot_product(env, rate, hold, seconds):
    """Simulate orders of one product with retries; return the share that fails."""
    taken_until, orders, refusals = 0.0, 0, 0

    def order():
        nonlocal taken_until, orders, refusals
        orders += 1
        for attempt in range(formulas.CONFLICT_TRIES):
            if env.now >= taken_until:
                taken_until = env.now + hold
                return
            longest = min(formulas.LONGEST_PAUSE, formulas.FIRST_PAUSE * 2**attempt)
            yield env.timeout(random.uniform(0, longest))
        refusals += 1

    env.process(poisson(env, rate, seconds, order))
    env.run()
    return refusals / orders


@pytest.mark.parametrize(
    ("rate", "hold"), [(50, 0.010), (70, 0.010), (100, 0.010), (150, 0.010), (25, 0.020), (50, 0.020)]
)
def test_share_of_failed_orders_of_a_hot_product(env, rate, hold):
    simulated = hot_product(env, rate, hold, seconds=600)

    assert formulas.refused(rate, hold) == pytest.approx(simulated, rel=0.2, abs=0.002)


@pytest.mark.parametrize("hold", [0.005, 0.010, 0.020])
def test_max_rate_of_a_product_is_where_failures_start(env, hold):
    most = formulas.max_rate(hold, max_refused=0.001)

    assert hot_product(env, most, hold, seconds=600) < 0.003
    assert hot_product(simpy.Environment(), 2 * most, hold, seconds=300) > 0.003


def test_the_model_retries_and_backs_off_like_the_code(monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)

    tries = sum(1 for _ in aws.conflict_pauses(Deadline(60)))

    assert tries == formulas.CONFLICT_TRIES
    longest = [min(formulas.LONGEST_PAUSE, formulas.FIRST_PAUSE * 2**n) for n in range(tries)]
    assert pauses == pytest.approx(longest)


def test_failures_increase_with_the_rate_and_the_lock_time():
    by_rate = [formulas.refused(rate, 0.01) for rate in range(1, 300, 10)]
    by_hold = [formulas.refused(30, hold / 1000) for hold in range(1, 60, 5)]

    assert all(fewer <= more for fewer, more in pairwise(by_rate))
    assert all(fewer <= more for fewer, more in pairwise(by_hold))


FOUND = {  # counts of one order, in round numbers
    "lines": 3,
    "invocations": {
        name: {
            "function": function,
            "batch": batch,
            "counts": {"operations": calls, "write_units": writes, "read_units": {}},
        }
        for name, function, batch, calls, writes in [
            ("request", ORDERS, 1, {"provider": 1}, {"OrdersTable": 6, "OrdersTable/unfinished": 2}),
            ("emails: order_placed", EMAILS, 1, {"sesv2.SendEmail": 1}, {}),
            ("emails: shipment_released", EMAILS, 1, {"sesv2.SendEmail": 1}, {}),
            ("analytics: order_placed", ANALYTICS, 10, {"dynamodb.TransactWriteItems": 1}, {"SalesTable": 30}),
            ("fulfillment: order_placed", FULFILLMENT, 1, {"dynamodb.GetItem": 1}, {"OrdersTable/unfinished": 1}),
            ("settlement: shipment_prepared", SETTLEMENT, 1, {"provider": 1}, {}),
        ]
    },
}


def test_concurrency_follows_from_messages_batches_and_latencies():
    load = capacity_model.Load(100, FOUND)

    assert load.messages == {ORDERS: 100, EMAILS: 200, ANALYTICS: 100, FULFILLMENT: 100, SETTLEMENT: 100}
    assert load.concurrency(ORDERS) == pytest.approx(100 * (0.300 + 0.010 + 0.002))
    slower = 1 / memory_gb(EMAILS)
    assert load.concurrency(EMAILS) == pytest.approx(200 / 10 * (slower * 0.010 + 10 * (0.400 + slower * 0.002)))
    slower = 1 / memory_gb(ANALYTICS)
    # 24 sales a transaction
    assert load.concurrency(ANALYTICS) == pytest.approx(1 * (slower * (0.010 + 100 * 0.002) + 5 * 0.015))


@pytest.mark.parametrize("rate", [1, 10, 999, 100_000])
def test_shards_are_the_fewest_that_keep_partitions_below_the_limit(rate):
    load, limit = capacity_model.Load(rate, FOUND), 1_000 * 0.7

    for units, shards in ((rate * 3, load.unfinished_shards), (load.counter_units, load.sales_shards)):
        assert units / shards <= limit
        assert shards == 1 or units / (shards - 1) > limit


def test_targets_are_events_times_matching_rules():
    load = capacity_model.Load(10, FOUND)

    assert load.put_events == 30
    consumers = [found.detail_types for found in template_with().event_consumers()]
    matching = [
        sum(event in types for types in consumers)
        for event in ("order_placed", "shipment_prepared", "shipment_released")
    ]
    assert min(matching) >= 1
    assert matching[0] >= 3
    assert load.targets == 10 * (sum(matching) + 3)  # and the audit log, for each


def test_sales_transactions_match_the_groups_of_the_store():
    sales = [order_sale(order(lines=distinct_lines(n)), f"event-{n}", "2026-11-23", 1) for n in range(100)]

    groups = SalesStore(client=None, table="sales", shards=1).groups(sales)

    assert len(groups) == capacity_model.Load(1, FOUND).sales_transactions


def distinct_lines(n):
    return tuple(line(f"SKU-{n}-{number}", 1, 100) for number in range(FOUND["lines"]))
