"""Measure speed, calls and costs, and write the benchmarks and capacity pages: ``python -m bench [PART ...]``.

The results of each part are stored in .local/bench, so that parts can be measured one at a time. A part without stored
results keeps its section of the committed page.
"""

import importlib
import json
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import psutil

from bench import document
from bench.markdown import ROOT

KEPT = ROOT / ".local/bench"
PARTS = ("load", "call_count", "costs", "cold_start", "warm_cost", "drain", "scaling", "capacity")


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option("--quick", is_flag=True, help="Measure at a tenth of the size, to try it out. Stores and writes nothing.")
@click.option("--write-only", is_flag=True, help="Measure nothing. Write the pages from the stored results.")
def main(parts: tuple[str, ...], *, quick: bool, write_only: bool) -> None:
    """Measure PARTS, or everything, and write the benchmarks and capacity pages."""
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in () if write_only else parts or PARTS:
        results = _measure(name, quick=quick)
        if not quick:
            _file(name).write_text(json.dumps({"machine": _machine(), "results": results}, indent=1) + "\n")
    if quick:
        return
    kept = {name: json.loads(_file(name).read_text()) for name in PARTS if _file(name).exists()}
    document.write_pages(kept, {name: _part(name) for name in PARTS})


def _measure(name: str, *, quick: bool) -> dict[str, Any]:
    start = time.perf_counter()

    def progress(text: str) -> None:
        click.echo(f"{time.perf_counter() - start:6.0f} s  {name}: {text}")

    results: dict[str, Any] = _part(name).measure(progress, quick=quick)
    progress("done")
    return results


def _machine() -> dict[str, Any]:
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
    }


def _file(name: str) -> Path:
    return KEPT / f"{name}.json"


def _part(name: str) -> ModuleType:
    return importlib.import_module(f"bench.{name}")


if __name__ == "__main__":
    main()
