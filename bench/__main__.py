"""Measure everything that is claimed of speed and cost, and write it down: ``python -m bench [PART ...]``.

What was measured is kept in .local/bench, so that a part can be measured by itself. The document is written from all.
"""

import importlib
import json
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from bench import document

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".local/bench"
PARTS = ("load", "call_count", "costs", "cold_start", "warm_cost", "drain", "scaling", "capacity")


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option("--quick", is_flag=True, help="A tenth of the size, to try it out; nothing is kept or written.")
@click.option("--write-only", is_flag=True, help="Measure nothing; write the document from what was kept.")
def main(parts: tuple[str, ...], *, quick: bool, write_only: bool) -> None:
    """Measure all PARTS, or those that are named, and write docs/reference/benchmarks.md."""
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in () if write_only else parts or PARTS:
        measured = _measure(name, quick=quick)
        if not quick:
            (KEPT / f"{name}.json").write_text(json.dumps(measured, indent=1) + "\n")
    if quick:
        return
    missing = [name for name in PARTS if not (KEPT / f"{name}.json").exists()]
    if missing:
        sys.exit(f"Nothing is kept of {', '.join(missing)}: measure it first, and the document will be written.")
    document.write(
        ROOT / "docs/reference", {name: _kept(name) for name in PARTS}, {name: _part(name) for name in PARTS}
    )


def _measure(name: str, *, quick: bool) -> dict[str, Any]:
    start = time.perf_counter()

    def progress(what: str) -> None:
        click.echo(f"{time.perf_counter() - start:6.0f} s  {name}: {what}")

    measured: dict[str, Any] = _part(name).measure(progress, quick=quick)
    progress("done")
    return measured


def _kept(name: str) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads((KEPT / f"{name}.json").read_text())
    return kept


def _part(name: str) -> ModuleType:
    return importlib.import_module(f"bench.{name}")


if __name__ == "__main__":
    main()
