"""Warm cost: the processor time that an order takes in each function, and what of it goes into what."""

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
from bench.tables import table

_ROUNDS, _ORDERS = 5, 100
OWN, VALIDATION, LOGGING, METRICS, SDK = "own code and the rest", "validation", "logging", "metrics", "boto3"
_COLOURS = {OWN: "#0072B2", VALIDATION: "#E69F00", LOGGING: "#009E73", METRICS: "#CC79A7", SDK: "#BBBBBB"}
# Where each of them begins, in the libraries.
_DOORS: dict[str, tuple[type, tuple[str, ...]]] = {
    SDK: (BaseClient, ("_make_api_call",)),
    VALIDATION: (BaseModel, ("__init__", "model_validate", "model_validate_json", "model_dump", "model_dump_json")),
    METRICS: (Metrics, ("add_metric", "flush_metrics", "set_default_dimensions")),
    LOGGING: (Logger, ("append_keys", "remove_keys", "structure_logs")),
}


def measure(progress: Callable[[str], None], *, quick: bool) -> dict[str, Any]:
    """Send orders through all functions, in batches as the template has them, and see where their time goes."""
    orders = _ORDERS // 10 if quick else _ORDERS
    with drain_rig() as rig:
        progress("warming up")
        _round(rig, Stopwatch(), 0, orders)
        process = psutil.Process()
        held = process.memory_info().rss
        rounds = []
        for n in range(1, _ROUNDS + 1):
            progress(f"round {n} of {_ROUNDS}")
            watch = Stopwatch()
            with watch.everywhere():
                _round(rig, watch, n, orders)
            rounds.append({name: dict(spent) for name, spent in watch.spent.items()})
        grown = process.memory_info().rss - held
    return {"orders": orders, "rounds": rounds, "batches": _batches(rig), "grown": grown / 2**20}


def _round(rig: DrainRig, watch: "Stopwatch", n: int, orders: int) -> None:
    """So many orders, from their requests to the last of their events."""
    rig.place(f"warm-{n}")
    with watch.handler(rig, "orders", "OrdersFunction"):
        placed = [rig.place(f"order-{n}-{k}") for k in range(orders)]
    batches = _batches(rig)
    events = {
        "emails": [*events_of("order_placed", placed, 1), *events_of("shipment_prepared", placed, 2)],
        "analytics": events_of("order_placed", placed, 1),
        "fulfillment": [*events_of("order_placed", placed, 1), *events_of("shipment_prepared", placed, 2)],
    }
    for consumer in ("analytics", "fulfillment", "emails"):  # an order is prepared before its customer is told so
        with watch.handler(rig, consumer, FUNCTIONS[consumer]):
            rig.drain(consumer, events[consumer], batches[consumer])


def _batches(rig: DrainRig) -> dict[str, int]:
    sizes = {queue.function: queue.batch_size for queue in rig.stack.queues()}
    return {consumer: sizes[function] for consumer, function in FUNCTIONS.items()}


class Stopwatch:
    """Charges processor time to whatever is innermost; ``spent`` in seconds, by function and kind of work."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._function = ""
        self._kinds: list[str] = []
        self._since = 0.0

    @contextmanager
    def handler(self, rig: DrainRig, name: str, function: str) -> Iterator[None]:
        """Meanwhile, what this function's handler does is charged to it."""
        module = rig.functions.module(function)
        self._function = name
        with patch.object(module, "handler", self._charged(OWN, module.handler)):
            yield
        self._function = ""

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        """Meanwhile, the libraries' work is charged to its kind."""
        with ExitStack() as stack:
            for kind, (cls, names) in _DOORS.items():
                for name in names:
                    stack.enter_context(patch.object(cls, name, self._door(kind, cls.__dict__[name])))
            stack.enter_context(patch.object(logging.Logger, "_log", self._door(LOGGING, logging.Logger._log)))
            yield

    def _door(self, kind: str, found: Any) -> Any:
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
        """Charge what has passed since the last switch."""
        now = time.process_time()
        if self._kinds and self._function:
            self.spent[self._function][self._kinds[-1]] += now - self._since
        self._since = now


# --- the section ------------------------------------------------------------------------------------------------------


def section(results: dict[str, Any], folder: Path) -> str:
    """Markdown, and the plot beside it."""
    spent = {name: _per_order(results, name) for name in results["rounds"][0]}
    _plot(spent, folder / "warm-cost.png")
    beyond = sum(sum(kinds.values()) - kinds[SDK] for kinds in spent.values())
    validation, records = (sum(kinds[kind] for kinds in spent.values()) for kind in (VALIDATION, LOGGING))
    counted = sum(kinds[METRICS] for kinds in spent.values())
    return _TEXT.format(
        orders=results["orders"],
        rounds=len(results["rounds"]),
        functions=table(["function", "batch", *_COLOURS, "beyond boto3"], _rows(spent, results["batches"])),
        beyond=beyond,
        total=sum(sum(kinds.values()) for kinds in spent.values()),
        validation=100 * validation / beyond,
        logging=100 * records / beyond,
        metrics=100 * counted / beyond,
        grown=results["grown"],
        all_orders=results["orders"] * len(results["rounds"]),
    )


_TEXT = """\
## Warm cost

{orders} orders go through all functions, from the request to the last event, {rounds} times after warming up. The
handlers run in one process against MiniStack's DynamoDB on the same machine, in batches as the template has them. A
stopwatch of processor time at the libraries' doors charges each moment to what is innermost. Medians, in milliseconds
of processor time per order; waiting is not in here, and neither is TLS.

{functions}

![Processor time per order](benchmarks/warm-cost.png)

An order takes {total:.1f} ms in all functions together, and {beyond:.1f} ms of it are not boto3's: of these, validation
is {validation:.0f} %, logging {logging:.0f} %, metrics {metrics:.0f} %. Over {all_orders:,} orders the process grew by
{grown:.1f} MiB.
What a function's process takes once it has started stands above, under cold start.
"""


def _rows(spent: Mapping[str, Mapping[str, float]], batches: Mapping[str, int]) -> Iterator[list[str]]:
    for name, kinds in spent.items():
        beyond = sum(kinds.values()) - kinds[SDK]
        yield [name, str(batches.get(name, 1)), *(f"{kinds[kind]:.2f}" for kind in _COLOURS), f"**{beyond:.2f}**"]


def _per_order(results: Mapping[str, Any], name: str) -> dict[str, float]:
    """Milliseconds of each kind."""
    return {
        kind: 1000 * median(spent[name].get(kind, 0.0) for spent in results["rounds"]) / results["orders"]
        for kind in _COLOURS
    }


def _plot(spent: Mapping[str, Mapping[str, float]], file: Path) -> None:
    figure = Figure(figsize=(8, 4.5), dpi=110, layout="constrained")
    axes = figure.subplots()
    below = dict.fromkeys(spent, 0.0)
    for kind, colour in _COLOURS.items():
        heights = [kinds[kind] for kinds in spent.values()]
        axes.bar(list(spent), heights, 0.6, bottom=list(below.values()), color=colour, label=kind)
        below = {name: below[name] + kinds[kind] for name, kinds in spent.items()}
    axes.set_ylabel("processor time per order (ms)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
