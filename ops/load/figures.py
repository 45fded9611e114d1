"""Figures of measured answers."""

from collections.abc import Sequence
from statistics import quantiles


def percentiles(times: Sequence[float]) -> tuple[float, float, float]:
    """Return the 50th, 95th and 99th percentile."""
    if len(times) < 2:
        return (times[0],) * 3 if times else (float("nan"),) * 3
    cuts = quantiles(times, n=100, method="inclusive")
    return cuts[49], cuts[94], cuts[98]


def percent(share: float) -> str:
    """Format a share."""
    return f"{100 * share:.1f} %"
