"""Wall-clock times in epoch milliseconds, and the deadline of a request."""

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
    """The deadline of one request, on the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left; negative once the deadline has passed."""
        return self._end - time.monotonic()
