"""Request-driven against hybrid: the chain that does everything in the request, and Handoff, under the same load."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.load import forecast, measuring, report


def measure(progress: Callable[[str], None], *, quick: bool) -> dict[str, Any]:
    """Both wirings with up to 50 users on the local stack, and simulated with more."""
    measured = measuring.measure(progress, share=0.4 if quick else 1.0)
    progress("simulation")
    return {"measured": measured, "forecast": forecast.forecast(measured)}


def section(results: dict[str, Any], folder: Path) -> str:
    """The section of docs/reference/benchmarks.md; its plots go into ``folder``."""
    return report.section(results, folder)
