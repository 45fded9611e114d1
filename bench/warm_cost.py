"""Warm cost: processor time of an order in each function, by kind of work."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import psutil
from aws_lambda_powertools import Logger, Metrics
from botocore.client import BaseClient
from matplotlib.figure import Figure
from pydantic import BaseModel

from bench.drain import FUNCTIONS, DrainRig, drain_rig, events_of
from bench.markdown import plot, table

_ROUNDS, _ORDERS = 5, 100
OWN, VALIDATION, LOGGING, METRICS, SDK = "own code and other", "validation", "logging", "metrics", "boto3"
_COLORS = {OWN: "#0072B2", VALIDATION: "#E69F00", LOGGING: "#009E73", METRICS: "#CC79A7", SDK: "#BBBBBB"}
# Functions of the libraries where each kind of work starts.
_ENTRY_POINTS: dict[str, tuple[type, tuple[str, ...]]] = {
    SDK: (BaseClient, ("_make_api_call",)),
    VALIDATION: (BaseModel, ("__init__", "model_validate", "model_validate_json", "model_dump", "model_dump_json")),
    METRICS: (Metrics, ("add_metric", "flush_metrics", "set_default_dimensions")),
    LOGGING: (Logger, ("append_keys", "remove_keys", "structure_logs")),
}


def measure(progress: Callable[[str], None], *, quick: bool) -> dict[str, Any]:
    """Send orders through all functions, with the template's batch sizes, and measure their processor time."""
    orders = _ORDERS // 10 if quick else _ORDERS
    with drain_rig() as rig:
        progress("warming up")
        _round(rig, Stopwatch(), 0, orders)
        process = psutil.Process()
        memory_before = process.memory_info().rss
        rounds = []
        for n in range(1, _ROUNDS + 1):
            progress(f"round {n} of {_ROUNDS}")
            watch = Stopwatch()
            with watch.everywhere():
                _round(rig, watch, n, orders)
            rounds.append({name: dict(spent) for name, spent in watch.spent.items()})
        memory_growth = process.memory_info().rss - memory_before
    return {"orders": orders, "rounds": rounds, "batches": _batches(rig), "memory_growth": memory_growth / 2**20}


def _round(rig: DrainRig, watch: "Stopwatch", n: int, orders: int) -> None:
    """Process ``orders`` orders, from their requests to their last events."""
    rig.place(f"warm-{n}")
    with watch.handler(rig, "orders", "OrdersFunction"):
        placed = [rig.place(f"order-{n}-{k}") for k in range(orders)]
    batches = _batches(rig)
    events = {
        "analytics": events_of("order_placed", placed, 1),
        "fulfillment": events_of("order_placed", placed, 1),
        "settlement": events_of("shipment_prepared", placed, 2),
        "emails": [*events_of("order_placed", placed, 1), *events_of("shipment_released", placed, 3)],
    }
    for consumer, bodies in events.items():  # in this order: each event exists before it is delivered
        with watch.handler(rig, consumer, FUNCTIONS[consumer]):
            rig.drain(consumer, bodies, batches[consumer])


def _batches(rig: DrainRig) -> dict[str, int]:
    sizes = {queue.function: queue.batch_size for queue in rig.stack.queues()}
    return {consumer: sizes[function] for consumer, function in FUNCTIONS.items()}


class Stopwatch:
    """Charges processor time to the innermost kind of work; ``spent`` in seconds by function and kind."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._function = ""
        self._kinds: list[str] = []
        self._since = 0.0

    @contextmanager
    def handler(self, rig: DrainRig, name: str, function: str) -> Iterator[None]:
        """Charge the work of this function's handler to it, inside the block."""
        module = rig.functions.module(function)
        self._function = name
        with patch.object(module, "handler", self._charged(OWN, module.handler)):
            yield
        self._function = ""

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        """Charge the libraries' work to its kind, inside the block."""
        with ExitStack() as stack:
            for kind, (cls, names) in _ENTRY_POINTS.items():
                for name in names:
                    stack.enter_context(patch.object(cls, name, self._charged_method(kind, cls.__dict__[name])))
            stack.enter_context(
                patch.object(logging.Logger, "_log", self._charged_method(LOGGING, logging.Logger._log))
            )
            yield

    def _charged_method(self, kind: str, found: Any) -> Any:
        if isinstance(found, classmethod):
            return classmethod(self._charged(kind, found.__func__))
        return self._charged(kind, found)

    def _charged(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def charged(*args: Any, **values: Any) -> Any:
            self._switch()
            self._kinds.append(kind)
            try:
                return function(*args, **values)
            finally:
                self._switch()
                self._kinds.pop()

        return charged

    def _switch(self) -> None:
        """Charge the time since the last switch."""
        now = time.process_time()
        if self._kinds and self._function:
            self.spent[self._function][self._kinds[-1]] += now - self._since
        self._since = now


# --- the section ------------------------------------------------------------------------------------------------------


def section(results: dict[str, Any], folder: Path) -> str:
    """Return the section of the benchmarks page."""
    spent = {name: _per_order(results, name) for name in results["rounds"][0]}
    _plot(spent, folder / "warm-cost.png")
    beyond = sum(sum(kinds.values()) - kinds[SDK] for kinds in spent.values())
    validation, records = (sum(kinds[kind] for kinds in spent.values()) for kind in (VALIDATION, LOGGING))
    counted = sum(kinds[METRICS] for kinds in spent.values())
    return _TEXT.format(
        orders=results["orders"],
        rounds=len(results["rounds"]),
        plot=plot("warm-cost.png", "Processor time per order"),
        functions=table(["function", "batch", *_COLORS, "without boto3"], _rows(spent, results["batches"])),
        beyond=beyond,
        total=sum(sum(kinds.values()) for kinds in spent.values()),
        validation=100 * validation / beyond,
        logging=100 * records / beyond,
        metrics=100 * counted / beyond,
        memory_growth=results["memory_growth"],
        all_orders=results["orders"] * len(results["rounds"]),
    )


_TEXT = """\
## Warm cost

Median processor time per order in milliseconds, without waiting and TLS:

{functions}

{plot}

An order takes {total:.1f} ms in all functions together. Of these, {beyond:.1f} ms are not boto3: {validation:.0f} %
of that is validation, {logging:.0f} % logging and {metrics:.0f} % metrics.

The process grew by {memory_growth:.1f} MiB over {all_orders:,} orders. The memory after a start is listed under cold
start.

**How it was measured.** After warming up, {orders} orders went through all functions {rounds} times, from the request
to the last event. The handlers ran in one process against MiniStack's DynamoDB on the same machine, with the
template's batch sizes. Entry points of the libraries were wrapped with a stopwatch of processor time, which charges
the innermost kind of work. The clients were usual ones. Those of a deployed function check no parameters, which saves
a fifth of boto3's time ([decisions.md](docs/decisions.md#warm-cost))."""


def _rows(spent: Mapping[str, Mapping[str, float]], batches: Mapping[str, int]) -> Iterator[list[str]]:
    for name, kinds in spent.items():
        beyond = sum(kinds.values()) - kinds[SDK]
        yield [name, str(batches.get(name, 1)), *(f"{kinds[kind]:.2f}" for kind in _COLORS), f"**{beyond:.2f}**"]


def _per_order(results: Mapping[str, Any], name: str) -> dict[str, float]:
    """Return milliseconds per order by kind of work."""
    return {
        kind: 1000 * median(spent[name].get(kind, 0.0) for spent in results["rounds"]) / results["orders"]
        for kind in _COLORS
    }


def _plot(spent: Mapping[str, Mapping[str, float]], file: Path) -> None:
    figure = Figure(figsize=(8, 4.5), dpi=110, layout="constrained")
    axes = figure.subplots()
    below = dict.fromkeys(spent, 0.0)
    for kind, color in _COLORS.items():
        heights = [kinds[kind] for kinds in spent.values()]
        axes.bar(list(spent), heights, 0.6, bottom=list(below.values()), color=color, label=kind)
        below = {name: below[name] + kinds[kind] for name, kinds in spent.items()}
    axes.set_ylabel("processor time per order (ms)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    figure.savefig(file)
