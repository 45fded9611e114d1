"""How much of what a load takes: the formulae of docs/reference/capacity.md. Times in seconds, rates a second.

[test_capacity.py](../tests/unit/test_capacity.py) compares them with simulations.
"""

from collections.abc import Callable
from math import ceil

CONFLICT_TRIES = 8  # of a write that others contend for, as in handoff.aws
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.4

_ROUNDS = 40  # of halving an interval


def concurrency(rate: float, duration: float) -> float:
    """How many are under way at once, on average (Little's law)."""
    return rate * duration


def workers(rate: float, duration: float, utilisation: float) -> int:
    """How many it takes so that each is busy for this share of its time; the rest is for what is not even."""
    return ceil(concurrency(rate, duration) / utilisation)


def partitions(units: float, limit: float, utilisation: float) -> int:
    """Into how many partitions so many units a second have to be spread."""
    return max(1, ceil(units / (limit * utilisation)))


def time_to_drain(backlog: float, arrivals: float, throughput: float) -> float:
    """How long a queue takes to get through a backlog while more arrives; infinite if it never does."""
    return backlog / (throughput - arrivals) if throughput > arrivals else float("inf")


def runs_to_drain(backlog: int, budget: float, each: float) -> int:
    """How many runs something takes that works for ``budget`` in each run, and ``each`` for one piece of work."""
    return ceil(backlog / (budget / each))


def refused(rate: float, hold: float) -> float:
    """The share of orders that are refused because one product is wanted too often.

    A transaction keeps others off its product for ``hold``. One that comes meanwhile is turned away at once, tries
    again after a random pause, longer each time, and gives up after `CONFLICT_TRIES`.
    """
    return _bisect(lambda share: _all_tries_fail(min(rate * (1 - share) * hold, 1.0), hold) >= share, 1.0)


def most_orders(hold: float, refused_at_most: float) -> float:
    """How many orders a second one product takes before more than this share of them is refused."""
    return _bisect(lambda rate: refused(rate, hold) <= refused_at_most, 1 / hold)


def _bisect(holds: Callable[[float], bool], highest: float) -> float:
    """The number up to which something holds, between 0 and ``highest``."""
    low, high = 0.0, highest
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _all_tries_fail(busy: float, hold: float) -> float:
    """The first try comes at any time; a later one may still meet the transaction that turned the last one away."""
    chance = busy
    for attempt in range(CONFLICT_TRIES - 1):
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
        chance *= _still_there(pause, hold) * (1 - busy) + busy
    return chance


def _still_there(longest_pause: float, hold: float) -> float:
    """The chance that a pause (even between 0 and the longest) ends before the rest of a hold does."""
    return hold / (2 * longest_pause) if hold <= longest_pause else 1 - longest_pause / (2 * hold)
