"""Wait for something to happen."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(poll: Callable[[], T], wanted: Callable[[T], bool], within: float, *, every: float = 1.0) -> T:
    """Poll until the result is as wanted, or ``within`` seconds are over; return the last result."""
    deadline = time.monotonic() + within
    seen = poll()
    while not wanted(seen) and time.monotonic() < deadline:
        time.sleep(every)
        seen = poll()
    return seen
