"""The benchmark's simulation against queueing theory."""

from dataclasses import replace
from math import comb, factorial

import pytest

from bench.simulation import Consumer, Scenario, most_users, simulate


def erlang_b(servers: int, load: float) -> float:
    """The share of a Poisson stream that finds all servers taken."""
    weights = [load**k / factorial(k) for k in range(servers + 1)]
    return weights[-1] / sum(weights)


def engset(servers: int, sources: int, load: float) -> float:
    """The share of calls that find all servers taken, from so many sources; ``load`` is service by idle time."""
    weights = [comb(sources - 1, k) * load**k for k in range(servers + 1)]
    return weights[-1] / sum(weights)


@pytest.mark.parametrize("times", [[1.0], [0.5, 1.5], [0.1, 0.1, 0.1, 3.7]])
def test_few_users_are_refused_as_often_as_engset_says_whatever_the_service_times_are_like(times: list[float]) -> None:
    # GIVEN few users for a small budget, and service times of the same mean
    scenario = Scenario(users=30, think=2.0, budget=10, times=times, seconds=4_000)
    # WHEN they shop
    outcome = simulate(scenario)
    # THEN theory has foreseen how many are refused
    assert outcome.errors == pytest.approx(engset(10, 30, 1.0 / 2.0), rel=0.05)


def test_many_users_are_refused_as_often_as_erlang_says() -> None:
    # GIVEN so many users that their orders are a Poisson stream: 10 a second, of 1 s each
    scenario = Scenario(users=3_000, think=300.0, budget=12, times=[1.0], seconds=4_000)
    # WHEN they shop
    outcome = simulate(scenario)
    # THEN theory has foreseen how many are refused
    assert outcome.errors == pytest.approx(erlang_b(12, 10.0), rel=0.05)


def test_users_whom_nothing_holds_up_order_once_per_think_and_service_time() -> None:
    outcome = simulate(Scenario(users=50, think=4.0, budget=50, times=[1.0], seconds=1_000))
    assert outcome.refused == 0
    assert set(map(round, outcome.answered)) == {1}
    assert len(outcome.answered) == pytest.approx(1_000 * 50 / (4.0 + 1.0), rel=0.03)


def test_consumers_take_from_the_same_budget_and_leave_what_they_have_no_time_for() -> None:
    # GIVEN a consumer that never catches up: it does 2 events a second, and gets 2 an order
    mail = Consumer("mail", times=[1.0], events=2, batch=10, at_once=2)
    alone = Scenario(users=110, think=10.0, budget=12, times=[1.0], warm_up=0, seconds=2_000)
    # WHEN users shop, with and without it
    with_mail = simulate(replace(alone, consumers=(mail,)))
    # THEN it has two of the twelve executions
    assert simulate(alone).errors == pytest.approx(engset(12, 110, 1.0 / 10.0), rel=0.05)
    assert with_mail.errors == pytest.approx(engset(10, 110, 1.0 / 10.0), rel=0.05)
    # AND what it could not do is still waiting
    assert with_mail.waiting["mail"] == pytest.approx(2 * len(with_mail.answered) - 2 * 2_000, rel=0.01)


def test_users_and_consumers_together_never_take_more_than_the_budget() -> None:
    # GIVEN a consumer that could use all of the budget, and more
    greedy = Consumer("greedy", times=[1.0], events=5, batch=1, at_once=100)
    # WHEN users shop
    scenario = Scenario(users=40, think=10.0, budget=4, times=[1.0], consumers=(greedy,), warm_up=0, seconds=500)
    outcome = simulate(scenario)
    # THEN four executions of 1 s were at work at any time, and no more
    done = len(outcome.answered) + 5 * len(outcome.answered) - outcome.waiting["greedy"]
    assert done == pytest.approx(4 * 500, rel=0.1)
    assert done <= 4 * 500 + 4


def test_events_that_are_handled_together_take_the_time_of_one() -> None:
    sales = Consumer("sales", times=[1.0], events=1, batch=100, at_once=1, together=True)
    outcome = simulate(Scenario(users=100, think=10.0, budget=100, times=[0.1], consumers=(sales,), seconds=500))
    assert outcome.waiting["sales"] < 30


@pytest.mark.parametrize("most", [0, 1, 2, 99, 1_234])
def test_the_largest_number_of_users_is_found(most: int) -> None:
    assert most_users(lambda users: users <= most, limit=10_000) == pytest.approx(most, rel=0.01)
