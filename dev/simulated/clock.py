"""Clocks that the caller moves forward: one stands still otherwise, one keeps running."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from unittest.mock import patch

import time_machine

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


class Clock:
    """The time of the whole process: wall clock and monotonic clock move together, except in `freeze`."""

    def __init__(self, traveller: time_machine.Traveller) -> None:
        self._traveller = traveller
        self._frozen = 0.0

    def freeze(self, seconds: float) -> None:
        """Let time pass that only the wall clock counts, as seen while Lambda had frozen an environment."""
        self._frozen += seconds
        self.forward(seconds)

    def monotonic(self) -> float:
        """Return the monotonic clock's time in seconds."""
        return time.time() - self._frozen

    def forward(self, seconds: float) -> None:
        """Move the clocks forward."""
        self._traveller.shift(max(0.0, seconds))

    @property
    def ms(self) -> int:
        """The current time in epoch milliseconds."""
        return time.time_ns() // 1_000_000


@contextmanager
def standing() -> Iterator[Clock]:
    """Stop all clocks at `START`. Sleeping returns at once and moves them forward."""
    with time_machine.travel(START, tick=False) as traveller:
        clock = Clock(traveller)
        with patch("time.sleep", clock.forward), patch("time.monotonic", clock.monotonic):
            yield clock


@contextmanager
def running() -> Iterator[Clock]:
    """Start all clocks at `START`. Sleeping takes real time."""
    with time_machine.travel(START, tick=True) as traveller:
        yield Clock(traveller)
