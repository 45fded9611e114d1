"""Write the benchmarks and the capacity page from the results of the parts."""

import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from bench import capacity_page, costs, load
from bench.markdown import BENCHMARKS, CAPACITY, PLOTS, ROOT, relative, table

_MEASURES = {
    "load": ("answers under load, beside the request-driven chain", "no"),
    "call_count": ("AWS calls and capacity units of each function", "yes"),
    "costs": ("the price of a million orders", "yes"),
    "cold_start": ("import time of each function in a new process", "no"),
    "warm_cost": ("processor time of an order in each function", "no"),
    "drain": ("calls per event, and events per second, of a backlog", "calls only"),
    "scaling": ("calls and capacity units at several sizes of orders, batches and backlogs", "yes"),
    "capacity": ("instances, capacity units, quotas and money at three loads", "yes"),
}

_HEAD = """\
# Benchmarks

How fast Handoff answers, how it behaves when another service is slow or down, and what it costs, beside the
request-driven service that it replaces. That service, the **chain**, does everything within the request.

{summary}

The same order as a durable function, with a relay from a stream, and in Step Functions is on the page
[Rivals](docs/reference/rivals.md).

Everything ran on one machine with emulated AWS services, and nothing was measured on AWS. **Compare ratios and medians,
not absolute times.** Tests assert the counts on this page, and no times.

## Reproduce this page

`make bench` measures everything in about 25 minutes on two idle cores and writes this page and the
[capacity page]({capacity}). `make bench PARTS="call_count costs"` measures these parts only. The other sections stay as
they are.

{parts}

"""


def write_pages(kept: Mapping[str, dict[str, Any]], parts: Mapping[str, ModuleType]) -> None:
    """Write both pages and the plots; ``kept`` holds the results of each part and the machine that measured it.

    A part without results keeps what the committed page says: its section, and the date of its last run.
    """
    page = ROOT / BENCHMARKS
    page.write_text(benchmarks(kept, parts, page.read_text()))
    if "capacity" in kept:
        (ROOT / CAPACITY).write_text(relative(CAPACITY, capacity_page.page(kept["capacity"]["results"])))


def benchmarks(kept: Mapping[str, dict[str, Any]], parts: Mapping[str, ModuleType], committed: str) -> str:
    """Return the benchmarks page, and draw the plots; ``committed`` is the page as it was."""
    folder = ROOT / PLOTS
    folder.mkdir(parents=True, exist_ok=True)
    summary, runs = _tables(committed)[:2]
    for name, summarized in {"load": load.summary, "costs": costs.summary}.items():
        if name in kept:
            summary |= {row[0]: row for row in summarized(kept[name]["results"])}
    runs |= {f"`{name}`": [f"`{name}`", *_MEASURES[name], _run(part["machine"])] for name, part in kept.items()}
    head = _HEAD.format(
        summary=table(["", "chain", "Handoff"], summary.values()),
        capacity=CAPACITY,
        parts=table(["part", "measures", "same figures on every run", "last run"], runs.values(), texts=4),
    )
    _, _, *sections = re.split(r"^(?=## )", committed, flags=re.MULTILINE)  # in the order of the parts
    written = [
        relative(BENCHMARKS, part.section(kept[name]["results"], folder)) if name in kept else section
        for (name, part), section in zip(parts.items(), sections, strict=True)
    ]
    return relative(BENCHMARKS, head) + "\n\n".join(section.strip() for section in written) + "\n"


def _tables(text: str) -> list[dict[str, list[str]]]:
    """Return the rows of each table of a page by their first cell."""
    found = []
    for lines in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines.splitlines()[2:]]
        found.append({row[0]: row for row in rows})
    return found


def _run(machine: Mapping[str, Any]) -> str:
    return "{date}, Python {python}, {cores} cores, {memory_gb} GB".format_map(machine)
