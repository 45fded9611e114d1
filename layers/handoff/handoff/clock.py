"""Wall-clock times in epoch milliseconds, the deadline of a request, and ages that span invocations.

Lambda freezes an environment between two invocations. Whether the monotonic clock stops meanwhile is not documented,
and both was seen: it stopped in https://github.com/ConductorOne/baton-sdk/pull/1007 and continued in
https://github.com/aws/aws-lambda-web-adapter/issues/830. So it measures durations within one invocation only.
"""

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """Return the current time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def to_iso(epoch_ms: int) -> str:
    """Return epoch milliseconds as ISO 8601 in UTC, e.g. ``2026-11-23T10:00:00.123Z``; sorts as text."""
    moment = datetime.fromtimestamp(epoch_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{epoch_ms % 1000:03d}Z"


def from_iso(text: str) -> int:
    """Return the epoch milliseconds of an ISO 8601 time with an offset.

    Raises
    ------
    ValueError
        If the text is not such a time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC")
    return round(moment.timestamp() * 1000)


class Deadline:
    """The deadline of one request, on the monotonic clock, which no correction of the time moves."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left; negative once the deadline has passed."""
        return self._end - time.monotonic()


class Stopwatch:
    """The time since its last start, on the wall clock, which also counts while Lambda has frozen the environment."""

    def __init__(self) -> None:
        self._started_at: int | None = None

    def restart(self) -> None:
        """Start again from zero."""
        self._started_at = now_ms()

    def seconds(self) -> float:
        """Return the seconds since the start; infinity if it never started, or if the clock was set back since then."""
        passed = now_ms() - self._started_at if self._started_at is not None else -1
        return passed / 1000 if passed >= 0 else float("inf")
