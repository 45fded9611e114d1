"""Write the benchmarks and the capacity page from the results of all parts."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from bench import capacity_page, costs, load
from bench.markdown import BENCHMARKS, CAPACITY, PLOTS, ROOT, table, write

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

Everything ran on one machine with emulated AWS services, and nothing was measured on AWS. **Compare ratios and medians,
not absolute times.** Tests assert the counts on this page, and no times.

## Reproduce this page

`make bench` measures everything in about 25 minutes on two idle cores and writes this page and the
[capacity page]({capacity}). `make bench PARTS="call_count costs"` measures these parts only. The other sections keep
their last results, which are stored in `.local/bench`.

{parts}

"""


def write_pages(kept: Mapping[str, dict[str, Any]], parts: Mapping[str, ModuleType]) -> None:
    """Write both pages and the plots; ``kept`` holds the results of each part and the machine that measured it."""
    folder = ROOT / PLOTS
    folder.mkdir(parents=True, exist_ok=True)
    results = {name: part["results"] for name, part in kept.items()}
    rows = [*load.summary(results["load"]), *costs.summary(results["costs"])]
    head = _HEAD.format(
        summary=table(["", "chain", "Handoff"], rows),
        capacity=CAPACITY,
        parts=table(
            ["part", "measures", "same figures on every run", "last run"],
            [[f"`{name}`", *_MEASURES[name], _run(part["machine"])] for name, part in kept.items()],
            texts=4,
        ),
    )
    sections = [parts[name].section(found, folder).strip() for name, found in results.items()]
    write(BENCHMARKS, head + "\n\n".join(sections) + "\n")
    write(CAPACITY, capacity_page.page(results["capacity"]))


def _run(machine: Mapping[str, Any]) -> str:
    return "{date}, Python {python}, {cores} cores, {memory_gb} GB".format_map(machine)
