"""docs/reference/benchmarks.md, from what the parts have measured."""

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

_HEAD = """# Benchmarks

Everything that is said here of speed and cost comes from one command, `make bench`, which writes this page; `make bench
PARTS=cold_start` measures one part again. Last run: {date}, Python {python}, {cores} cores and {memory:.0f} GB that are
shared with others. **Ratios and medians count, not single times**: every AWS service was emulated on that same machine.
No test has a time in it; what tests hold are counts.

"""


def write(docs: Path, results: Mapping[str, dict[str, Any]], parts: Mapping[str, ModuleType]) -> None:
    """Write the page, a section for each part, and the plots beside it."""
    folder = docs / "benchmarks"
    folder.mkdir(exist_ok=True)
    head = _HEAD.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        python=platform.python_version(),
        cores=os.cpu_count(),
        memory=psutil.virtual_memory().total / 2**30,
    )
    sections = [parts[name].section(found, folder).strip() for name, found in results.items()]
    (docs / "benchmarks.md").write_text(head + "\n\n".join(sections) + "\n")
