"""Figures of a measured run."""

from collections.abc import Mapping
from typing import Any

from ops.load.users import PLACED

FIGURES = ("conditions", "wiring", "users", "p50 (ms)", "p95", "p99", "errors", "orders/s")


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
