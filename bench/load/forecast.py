"""From what was measured to what the simulation says of more users and a larger budget."""

from collections.abc import Mapping, Sequence
from functools import cache
from statistics import quantiles
from typing import Any

from bench.load.measuring import THINK
from bench.load.network_conditions import MAIL, NORMAL, SLOW, NetworkConditions
from bench.load.users import PLACED
from bench.simulation import Consumer, Scenario, most_users, simulate
from tests.support import template

# What Lambda always leaves to functions without a reservation of their own.
# Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
BUDGET = 100
USERS = (1, 10, 50, 200, 300, 400, 500, 700, 850, 1_000, 1_400, 2_000)
MOST_ERRORS = 0.008
LONGEST_P95 = 1.0  # seconds
SLOWED = 1.2  # times what one user waits
_LIMIT = 20_000
WIRINGS = ("chain", "hybrid")
AS_CHAIN = "hybrid without fulfillment"  # which the chain does not have either
DAYS = (NORMAL, SLOW)


def forecast(measured: Mapping[str, Any]) -> dict[str, Any]:
    """The measured runs again, simulated; more users under a budget of 100; and how many each wiring serves."""
    again, more, most = [], [], []
    for day in DAYS:
        for wiring in WIRINGS:
            parts = _parts(measured, wiring, day)
            for run in measured["runs"][day.name][wiring]:
                scenario = Scenario(run["users"], run["think"], measured["budget"], *parts)
                again.append({"day": day.name, "wiring": wiring, **_simulated(scenario)})
            for users in USERS:
                scenario = Scenario(users, THINK, BUDGET, *parts)
                more.append({"day": day.name, "wiring": wiring, **_simulated(scenario)})
            most.append({"day": day.name, "wiring": wiring, **_most(*parts)})
        times, consumers = _parts(measured, "hybrid", day)
        as_chain = tuple(consumer for consumer in consumers if consumer.name != "fulfillment")
        most.append({"day": day.name, "wiring": AS_CHAIN, **_most(times, as_chain)})
    at_once = {consumer.name: consumer.at_once for consumer in _parts(measured, "hybrid", NORMAL)[1]}
    return {"again": again, "more": more, "most": most, "at_once": at_once}


Parts = tuple[Sequence[float], tuple[Consumer, ...]]


def _parts(measured: Mapping[str, Any], wiring: str, day: NetworkConditions) -> Parts:
    """What a scenario needs of a wiring: how long one user's orders took, and what its consumers do for an order."""
    alone = measured["runs"][day.name][wiring][0]["answers"][PLACED]
    times = [milliseconds / 1000 for milliseconds in alone]
    if wiring == "chain":
        return times, ()
    seconds = measured["consumers"]
    mails = [time + (day.mail - MAIL) / 1000 for time in seconds["emails"]]
    return times, (
        _consumer("emails", mails, events=2),
        _consumer("analytics", seconds["analytics"], events=1, together=True),
        _consumer("fulfillment", seconds["fulfillment"], events=2),
    )


def _consumer(name: str, times: Sequence[float], *, events: int, together: bool = False) -> Consumer:
    """A consumer with the settings that template.yaml gives it."""
    function = template.source()["Resources"][f"{name.capitalize()}Function"]["Properties"]
    queue = function["Events"]["Queue"]["Properties"]
    at_once = queue["ScalingConfig"]["MaximumConcurrency"]
    return Consumer(name, times, events, queue["BatchSize"], at_once, together)


def _simulated(scenario: Scenario) -> dict[str, Any]:
    outcome = simulate(scenario)
    return {
        "users": scenario.users,
        "percentiles": percentiles(outcome.answered),
        "errors": outcome.errors,
        "rate": len(outcome.answered) / scenario.seconds,
        "waiting": dict(outcome.waiting),
    }


def _most(times: Sequence[float], consumers: tuple[Consumer, ...]) -> dict[str, int]:
    """The largest number of users by each criterion."""

    @cache
    def outcome(users: int) -> tuple[float, float]:
        found = simulate(Scenario(users, THINK, BUDGET, times, consumers))
        return found.errors, percentiles(found.answered)[1]

    unloaded = outcome(1)[1]

    def served(users: int, longest: float) -> bool:
        errors, p95 = outcome(users)
        return errors < MOST_ERRORS and p95 <= longest

    return {
        "within_a_second": most_users(lambda users: served(users, LONGEST_P95), _LIMIT),
        "as_fast_as_alone": most_users(lambda users: served(users, SLOWED * unloaded), _LIMIT),
        "without_errors": most_users(lambda users: served(users, float("inf")), _LIMIT),
    }


def percentiles(times: Sequence[float]) -> tuple[float, float, float]:
    """The 50th, 95th and 99th percentile."""
    if len(times) < 2:
        return (times[0],) * 3 if times else (float("nan"),) * 3
    cuts = quantiles(times, n=100, method="inclusive")
    return cuts[49], cuts[94], cuts[98]
