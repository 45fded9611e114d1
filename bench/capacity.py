"""Capacity: instances, capacity units and money at 10, 1,000 and 100,000 orders per second."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench import formulas, profile
from bench.capacity_page import FUNCTIONS, HOLDS, hot_product_rate, loads_of, number, rates
from bench.markdown import CAPACITY, table


def measure(progress: Callable[[str], None], *, quick: bool) -> dict[str, Any]:
    """Count what one order takes; everything else is computed from it."""
    return profile.measure(progress)


def section(results: Mapping[str, Any], folder: Path) -> str:
    """Return the section of the benchmarks page; the plot is for the capacity page."""
    _draw(folder / "one-product.png")
    loads = loads_of(results)
    rows = [
        ["Lambda instances", *(f"{sum(load.instances(name) for name in FUNCTIONS):,}" for load in loads)],
        ["write units per second", *(number(sum(load.write_units.values())) for load in loads)],
        ["US dollars per month", *(number(sum(load.bill().values())) for load in loads)],
    ]
    return _SECTION.format(
        page=CAPACITY, table=table(rates("orders per second"), rows), most=number(hot_product_rate())
    )


_SECTION = """\
## Capacity

{table}

The [capacity page]({page}) computes these figures, the quotas to raise and the parameters to set from the counts
above and from assumed latencies. Its formulas are compared with simulations
([test_capacity.py](tests/unit/test_capacity.py)). Nothing was measured at these loads.

One product takes about {most} orders per second before one order in a thousand fails with 503.
"""


def _draw(path: Path) -> None:
    """Draw the share of failed orders of one product over their rate."""
    figure = Figure(figsize=(8, 4.5), dpi=110, layout="tight")
    axes = figure.subplots()
    for hold, color in zip(HOLDS, ("#009E73", "#0072B2", "#D55E00"), strict=True):
        rates = range(1, 151)
        shares = [100 * formulas.refused(rate, hold / 1000) for rate in rates]
        axes.plot(rates, shares, color=color, label=f"a transaction locks its items for {hold} ms")
    axes.set(xlabel="orders per second of one product", ylabel="failed orders (503), %", ylim=0, xlim=0)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)
