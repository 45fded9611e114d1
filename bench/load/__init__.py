"""Load test of two wirings of the same code: the request-driven chain, and Handoff, the hybrid."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.load import forecast, measuring, report


def measure(progress: Callable[[str], None], *, quick: bool) -> dict[str, Any]:
    """Measure both wirings with up to 50 users on the local stack, and simulate them with more."""
    measured = measuring.measure(progress, share=0.4 if quick else 1.0)
    progress("simulation")
    return {"measured": measured, "forecast": forecast.forecast(measured)}


def summary(results: dict[str, Any]) -> list[list[str]]:
    """Return the rows for the page's first table."""
    return report.summary(results)


def section(results: dict[str, Any], folder: Path) -> str:
    """Return the section of the benchmarks page."""
    return report.section(results, folder)
