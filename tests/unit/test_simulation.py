"""Compare the benchmark's simulation with queueing theory."""

from dataclasses import replace
from math import comb, factorial

import pytest

from bench.simulation import Consumer, Scenario, max_users, simulate


def erlang_b(servers: int, load: float) -> float:
    """Return the share of a Poisson stream that arrives while all servers are busy."""
    weights = [load**k / factorial(k) for k in range(servers + 1)]
    return weights[-1] / sum(weights)


def engset(servers: int, sources: int, load: float) -> float:
    """Return the share of calls of a finite number of sources that arrive while all servers are busy.

    ``load``: service time divided by idle time.
    """
    weights = [comb(sources - 1, k) * load**k for k in range(servers + 1)]
    return weights[-1] / sum(weights)


@pytest.mark.parametrize("times", [[1.0], [0.5, 1.5], [0.1, 0.1, 0.1, 3.7]])
def test_few_users_are_throttled_as_engset_predicts(times: list[float]) -> None:
    # GIVEN few users with a small budget, and different service times with the same mean
    scenario = Scenario(users=30, think=2.0, budget=10, times=times, seconds=4_000)
    # WHEN they order
    outcome = simulate(scenario)
    # THEN the share of throttled orders is as predicted
    assert outcome.errors == pytest.approx(engset(10, 30, 1.0 / 2.0), rel=0.05)


def test_many_users_are_throttled_as_erlang_predicts() -> None:
    # GIVEN so many users that their orders are a Poisson stream: 10 a second, of 1 s each
    scenario = Scenario(users=3_000, think=300.0, budget=12, times=[1.0], seconds=4_000)
    # WHEN they order
    outcome = simulate(scenario)
    # THEN the share of throttled orders is as predicted
    assert outcome.errors == pytest.approx(erlang_b(12, 10.0), rel=0.05)


def test_without_throttling_users_order_once_per_think_and_service_time() -> None:
    outcome = simulate(Scenario(users=50, think=4.0, budget=50, times=[1.0], seconds=1_000))
    assert outcome.throttled == 0
    assert set(map(round, outcome.latencies)) == {1}
    assert len(outcome.latencies) == pytest.approx(1_000 * 50 / (4.0 + 1.0), rel=0.03)


def test_a_slow_consumer_uses_the_budget_and_builds_a_backlog() -> None:
    # GIVEN a consumer that never catches up: it handles 2 events/s and receives 2 events per order
    mail = Consumer("mail", times=[1.0], events=2, batch=10, concurrency=2)
    alone = Scenario(users=110, think=10.0, budget=12, times=[1.0], warm_up=0, seconds=2_000)
    # WHEN users order, with and without it
    with_mail = simulate(replace(alone, consumers=(mail,)))
    # THEN it has two of the twelve executions
    assert simulate(alone).errors == pytest.approx(engset(12, 110, 1.0 / 10.0), rel=0.05)
    assert with_mail.errors == pytest.approx(engset(10, 110, 1.0 / 10.0), rel=0.05)
    # AND the other events are still waiting
    assert with_mail.backlog["mail"] == pytest.approx(2 * len(with_mail.latencies) - 2 * 2_000, rel=0.01)


def test_users_and_consumers_never_exceed_the_budget() -> None:
    # GIVEN a consumer that could use more than the budget
    greedy = Consumer("greedy", times=[1.0], events=5, batch=1, concurrency=100)
    # WHEN users order
    scenario = Scenario(users=40, think=10.0, budget=4, times=[1.0], consumers=(greedy,), warm_up=0, seconds=500)
    outcome = simulate(scenario)
    # THEN exactly four executions of 1 s ran at any time
    done = len(outcome.latencies) + 5 * len(outcome.latencies) - outcome.backlog["greedy"]
    assert done == pytest.approx(4 * 500, rel=0.1)
    assert done <= 4 * 500 + 4


def test_a_whole_batch_takes_the_time_of_one_event() -> None:
    sales = Consumer("sales", times=[1.0], events=1, batch=100, concurrency=1, whole_batch=True)
    outcome = simulate(Scenario(users=100, think=10.0, budget=100, times=[0.1], consumers=(sales,), seconds=500))
    assert outcome.backlog["sales"] < 30


@pytest.mark.parametrize("most", [0, 1, 2, 99, 1_234])
def test_the_largest_number_of_users_is_found(most: int) -> None:
    assert max_users(lambda users: users <= most, limit=10_000) == pytest.approx(most, rel=0.01)
