"""The formulas of the capacity page. Times in seconds, rates per second.

tests/unit/test_capacity.py compares them with simulations.
"""

from collections.abc import Callable
from math import ceil

CONFLICT_TRIES = 8  # of a transaction that conflicts with others, as in handoff.aws
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.4

_ROUNDS = 40  # of the bisection


def concurrency(rate: float, duration: float) -> float:
    """Return the average number in progress (Little's law)."""
    return rate * duration


def workers(rate: float, duration: float, utilization: float) -> int:
    """Return the number of workers that are busy for this share of their time."""
    return ceil(concurrency(rate, duration) / utilization)


def partitions(units: float, limit: float, utilization: float) -> int:
    """Return the number of partitions for so many units per second."""
    return max(1, ceil(units / (limit * utilization)))


def time_to_drain(backlog: float, arrivals: float, throughput: float) -> float:
    """Return the time until a queue is empty while more messages arrive; infinite if it never is."""
    return backlog / (throughput - arrivals) if throughput > arrivals else float("inf")


def runs_to_drain(backlog: int, budget: float, each: float) -> int:
    """Return the number of runs of ``budget`` seconds for a backlog of items that take ``each`` seconds."""
    return ceil(backlog / (budget / each))


def refused(rate: float, hold: float) -> float:
    """Return the share of orders of one hot product that fail after all retries.

    A transaction locks its product for ``hold``. Another one is rejected meanwhile, retries after a random pause with
    exponential backoff, and fails after `CONFLICT_TRIES`.
    """
    return _bisect(lambda share: _all_tries_fail(min(rate * (1 - share) * hold, 1.0), hold) >= share, 1.0)


def max_rate(hold: float, max_refused: float) -> float:
    """Return the orders per second of one product at which this share of them fails."""
    return _bisect(lambda rate: refused(rate, hold) <= max_refused, 1 / hold)


def _bisect(holds: Callable[[float], bool], highest: float) -> float:
    """Return the largest number between 0 and ``highest`` for which the condition holds."""
    low, high = 0.0, highest
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _all_tries_fail(busy: float, hold: float) -> float:
    """Return the probability that all tries fail; a retry may meet the transaction that rejected the last try."""
    chance = busy
    for attempt in range(CONFLICT_TRIES - 1):
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
        chance *= _still_locked(pause, hold) * (1 - busy) + busy
    return chance


def _still_locked(longest_pause: float, hold: float) -> float:
    """Return the probability that a pause, uniform up to ``longest_pause``, ends before the rest of a lock does."""
    return hold / (2 * longest_pause) if hold <= longest_pause else 1 - longest_pause / (2 * hold)
