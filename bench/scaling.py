"""Scaling: calls and capacity units by number of lines, order history, batch size and backlog."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from bench.markdown import plot, table
from bench.meter import CallLog
from bench.scenarios import ANALYTICS, MeteredShop, fresh_world

_LINES = (1, 2, 5, 10, 20, 30, 40, 50)
_HISTORY = (10, 100, 5_000)
_BATCHES = (1, 5, 20, 50, 100)
_BACKLOG = (1, 10, 100)
_BATCH_LINES = 3
_BLUE, _ORANGE, _GREEN = "#0072B2", "#D55E00", "#009E73"  # Okabe and Ito, for color-blind readers

Point = dict[str, float]


def measure(progress: Callable[[str], None], *, quick: bool) -> dict[str, Any]:
    """Count calls and capacity units at several sizes."""
    with fresh_world() as world:
        shop = MeteredShop(world)
        progress("lines")
        lines = [{"size": size, **_of(shop.new_order(size)[0])} for size in _LINES]
        shop.drain()
        progress("batches")
        batches = [_batch(shop, size) for size in (_BATCHES[:3] if quick else _BATCHES)]
        progress("backlog")
        backlog = [_backlog(shop, size) for size in (_BACKLOG[:2] if quick else _BACKLOG)]
        progress("history")
        history = [_history(shop, size) for size in (_HISTORY[:2] if quick else _HISTORY)]
    return {"lines": lines, "batches": batches, "backlog": backlog, "history": history}


def _of(log: CallLog, messages: int = 1) -> Point:
    return {
        "calls": (log.aws_calls + log.provider_calls) / messages,
        "writes": sum(log.write_units.values()) / messages,
        "reads": sum(log.read_units.values()) / messages,
        "log_bytes": log.log_bytes / messages,
    }


def _batch(shop: MeteredShop, size: int) -> Point:
    for _ in range(size):
        shop.new_order(_BATCH_LINES)
    return {"size": size, **_of(shop.deliver(ANALYTICS), size)}


def _backlog(shop: MeteredShop, size: int) -> Point:
    idle = shop.sweep()
    shop.leave_unpublished(size)
    swept = shop.sweep()
    return {"size": size, **_of(swept, size), "beyond_idle": (swept.aws_calls - idle.aws_calls) / size}


def _history(shop: MeteredShop, size: int) -> Point:
    """Read and place an order as a customer with ``size`` older orders, which are put into the table directly."""
    _, order_id = shop.new_order()
    order = shop.world.order(order_id)
    for n in range(size):
        placed_at = f"2026-{n // 2800 + 1:02}-{n // 100 % 28 + 1:02}T10:{n % 60:02}:00.{n % 1000:03}Z"
        shop.world.put("OrdersTable", order | {"orderId": f"ord_{n:026}", "placedAt": placed_at})
    listed, looked_up = _of(shop.list_orders()), _of(shop.look_up(order_id))
    placed = _of(shop.new_order()[0])
    return {"size": size, "list": listed["reads"], "look_up": looked_up["reads"], "place": placed["writes"]}


def section(results: Mapping[str, Any], folder: Path) -> str:
    """Return the section of the benchmarks page."""
    _draw(results, folder / "scaling.png")
    rows = [
        _row("a new order", "lines per order", "calls", results["lines"]),
        _row("a new order", "lines per order", "writes", results["lines"]),
        _row("a new order", "orders of the customer", "place", results["history"], "write units"),
        _row("a lookup", "orders of the customer", "look_up", results["history"], "read units"),
        _row("the list of orders", "orders of the customer", "list", results["history"], "read units"),
        _row("analytics, per event", "events in the batch", "calls", results["batches"]),
        _row("analytics, per event", "events in the batch", "writes", results["batches"]),
        _row("sweeper, per event", "waiting events", "beyond_idle", results["backlog"], "calls"),
        _row("sweeper, per event", "waiting events", "writes", results["backlog"]),
    ]
    head = ["operation", "size", "unit", "growth", "smallest size", "largest size"]
    return _TEXT.format(table=table(head, rows, texts=4), plot=plot("scaling.png", "Calls and write units by size"))


_UNITS = {"calls": "calls", "writes": "write units", "reads": "read units"}

_TEXT = """\
## Scaling

The number of calls of a new order is constant, and so is the time that the customer waits.

{table}

{plot}

- Only the lines make an order more expensive. An order has at most 50 lines, so that its cancellation fits into a
  transaction.
- A customer's history costs nothing, because placing an order does not read it.
- Larger batches make analytics cheaper, until the transaction is full.
- A larger backlog saves the sweeper calls, but not write units: in a transaction each write takes double units. Each
  run also queries each shard of both tables once.

**How it was measured.** The scenarios of the call counts ran at several sizes. The orders of a batch have the same
three products."""


def _row(operation: str, dimension: str, value: str, points: Sequence[Point], unit: str = "") -> list[str]:
    sizes, values = [point["size"] for point in points], [point[value] for point in points]
    head = [operation, dimension, unit or _UNITS[value]]
    return [
        *head,
        growth(sizes, values),
        f"{values[0]:.4g} (at {sizes[0]:,})",
        f"{values[-1]:.4g} (at {sizes[-1]:,})",
    ]


def growth(sizes: Sequence[float], values: Sequence[float]) -> str:
    """Return how values grow with sizes, in big O notation, with the slope from the first to the last point."""
    if max(values) == min(values):
        return "O(1)"
    if values[-1] < values[0]:
        return "falls to a constant"
    if values[-1] < 1.1 * values[len(values) // 2]:  # nearly all of it in the first half
        return "rises to a constant"
    slope = (values[-1] - values[0]) / (sizes[-1] - sizes[0])
    return f"O(n), {slope:.2g} each"


def _draw(results: Mapping[str, Any], path: Path) -> None:
    figure = Figure(figsize=(8, 4.5), dpi=110, layout="tight")
    left, right = figure.subplots(1, 2)
    lines = results["lines"]
    left.plot([p["size"] for p in lines], [p["writes"] for p in lines], "o-", color=_BLUE, label="write units")
    left.plot([p["size"] for p in lines], [p["calls"] for p in lines], "s-", color=_ORANGE, label="calls")
    left.set(xlabel="lines per order", ylabel="per new order", ylim=0)
    left.legend()
    batches, backlog = results["batches"], results["backlog"]
    sizes = [p["size"] for p in batches]
    right.plot(sizes, [p["calls"] for p in batches], "s-", color=_ORANGE, label="analytics: calls")
    right.plot(sizes, [p["writes"] for p in batches], "o-", color=_BLUE, label="analytics: write units")
    sizes = [p["size"] for p in backlog]
    right.plot(sizes, [p["beyond_idle"] for p in backlog], "^-", color=_GREEN, label="sweeper: calls")
    right.set(xlabel="events in the batch or backlog", ylabel="per event", xscale="log", ylim=0)
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
