"""Figures of a measured run."""

from collections.abc import Mapping, Sequence
from statistics import quantiles
from typing import Any

from bench.load.users import PLACED

FIGURES = ("conditions", "wiring", "users", "p50 (ms)", "p95", "p99", "errors", "orders/s")


def percentiles(times: Sequence[float]) -> tuple[float, float, float]:
    """Return the 50th, 95th and 99th percentile."""
    if len(times) < 2:
        return (times[0],) * 3 if times else (float("nan"),) * 3
    cuts = quantiles(times, n=100, method="inclusive")
    return cuts[49], cuts[94], cuts[98]


def placed(run: Mapping[str, Any]) -> list[float]:
    """Return the latencies of the placed orders in milliseconds."""
    found: list[float] = run["answers"].get(PLACED, [])
    return found


def availability(run: Mapping[str, Any]) -> float:
    """Return the share of orders that were placed."""
    sent = sum(map(len, run["answers"].values()))
    return len(placed(run)) / sent if sent else 0.0


def error_share(run: Mapping[str, Any]) -> float:
    """Return the share of orders that failed."""
    return 1 - availability(run)


def percent(share: float) -> str:
    """Format a share."""
    return f"{100 * share:.1f} %"
