"""Clocks that a test moves on: one that stands still otherwise, and one that runs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from unittest.mock import patch

import time_machine

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


class Clock:
    """The time, for everybody: wall clock and monotonic clock move together."""

    def __init__(self, traveller: time_machine.Traveller) -> None:
        self._traveller = traveller

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self._traveller.shift(max(0.0, seconds))

    @property
    def ms(self) -> int:
        """Epoch milliseconds."""
        return time.time_ns() // 1_000_000


@contextmanager
def standing() -> Iterator[Clock]:
    """Stop all clocks at `START`; sleeping moves them on at once."""
    with time_machine.travel(START, tick=False) as traveller:
        clock = Clock(traveller)
        with patch("time.sleep", clock.forward), patch("time.monotonic", time.time):
            yield clock


@contextmanager
def running() -> Iterator[Clock]:
    """Clocks that run on from `START`; sleeping takes its time."""
    with time_machine.travel(START, tick=True) as traveller:
        yield Clock(traveller)
