"""Simulate more users and a larger budget from the measured times."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from bench.load.figures import placed
from bench.load.measuring import THINK
from bench.load.network_conditions import MAIL, NORMAL, SLOW, NetworkConditions
from bench.simulation import Consumer, Scenario, max_users, simulate
from dev.template import source
from ops.load.figures import percentiles

# Concurrency that Lambda always keeps for functions without reserved concurrency.
# Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
BUDGET = 100
USERS = (1, 10, 50, 200, 300, 400, 500, 700, 850, 1_000, 1_400, 2_000)
MAX_ERRORS = 0.008
MAX_P95 = 1.0  # seconds
MAX_SLOWDOWN = 1.2  # relative to the p95 of one user
_LIMIT = 20_000
WIRINGS = ("chain", "Handoff")
WITHOUT_SHIPPING = "Handoff without fulfillment and settlement"  # the chain does not have them either
CONDITIONS = (NORMAL, SLOW)


def forecast(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Simulate the measured runs, more users with a budget of 100, and the most users that each wiring serves."""
    validation, more_users, most = [], [], []
    for conditions in CONDITIONS:
        for wiring in WIRINGS:
            parts = _parts(measured, wiring, conditions)
            names = {"conditions": conditions.name, "wiring": wiring}
            for run in measured["runs"][conditions.name][wiring]:
                scenario = Scenario(run["users"], run["think"], measured["budget"], *parts)
                validation.append(names | _simulated(scenario))
            more_users += [names | _simulated(Scenario(users, THINK, BUDGET, *parts)) for users in USERS]
            most.append(names | _max_users(*parts))
        times, consumers = _parts(measured, "Handoff", conditions)
        fewer = tuple(consumer for consumer in consumers if consumer.name not in ("fulfillment", "settlement"))
        most.append({"conditions": conditions.name, "wiring": WITHOUT_SHIPPING, **_max_users(times, fewer)})
    concurrency = {consumer.name: consumer.concurrency for consumer in _parts(measured, "Handoff", NORMAL)[1]}
    return {"validation": validation, "more_users": more_users, "max_users": most, "concurrency": concurrency}


Parts = tuple[Sequence[float], tuple[Consumer, ...]]


def _parts(measured: Mapping[str, Any], wiring: str, conditions: NetworkConditions) -> Parts:
    """Return the measured times of one user's orders, and the consumers of the wiring."""
    times = [milliseconds / 1000 for milliseconds in placed(measured["runs"][conditions.name][wiring][0])]
    if wiring == "chain":
        return times, ()
    seconds = measured["consumers"]
    mails = [time + (conditions.mail - MAIL) / 1000 for time in seconds["emails"]]
    return times, (
        _consumer("emails", mails, events=2),
        _consumer("analytics", seconds["analytics"], events=1, whole_batch=True),
        _consumer("fulfillment", seconds["fulfillment"], events=1),
        _consumer("settlement", seconds["settlement"], events=1),
    )


def _consumer(name: str, times: Sequence[float], *, events: int, whole_batch: bool = False) -> Consumer:
    """Return a consumer with its settings in template.yaml."""
    function = source()["Resources"][f"{name.capitalize()}Function"]["Properties"]
    queue = function["Events"]["Queue"]["Properties"]
    concurrency = queue["ScalingConfig"]["MaximumConcurrency"]
    return Consumer(name, times, events, queue["BatchSize"], concurrency, whole_batch)


def _simulated(scenario: Scenario) -> dict[str, Any]:
    outcome = simulate(scenario)
    return {
        "users": scenario.users,
        "percentiles": percentiles(outcome.latencies),
        "errors": outcome.errors,
        "rate": len(outcome.latencies) / scenario.seconds,
        "backlog": dict(outcome.backlog),
    }


def _max_users(times: Sequence[float], consumers: tuple[Consumer, ...]) -> dict[str, int]:
    """Return the largest number of users by each criterion."""

    @cache
    def outcome(users: int) -> tuple[float, float]:
        found = simulate(Scenario(users, THINK, BUDGET, times, consumers))
        return found.errors, percentiles(found.latencies)[1]

    unloaded = outcome(1)[1]

    def served(users: int, max_p95: float) -> bool:
        errors, p95 = outcome(users)
        return errors < MAX_ERRORS and p95 <= max_p95

    return {
        "within_a_second": max_users(lambda users: served(users, MAX_P95), _LIMIT),
        "as_fast_as_one_user": max_users(lambda users: served(users, MAX_SLOWDOWN * unloaded), _LIMIT),
        "without_errors": max_users(lambda users: served(users, float("inf")), _LIMIT),
    }
