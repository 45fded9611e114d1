"""Drain rate and calls per event of a backlog, for each consumer and the sweeper.

The functions run in this process. DynamoDB is MiniStack, over HTTP. The bus and SES are stubs that accept everything.
"""

import json
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from matplotlib.figure import Figure
from moto import mock_aws

from bench import environment, sweep_rate  # noqa: F401
from bench.markdown import plot, table
from bench.meter import output_to
from bench.sweep_rate import unpublished
from dev.local.stack import running as ministack
from dev.simulated import sessions
from dev.simulated.api import Api
from dev.simulated.clock import Clock, running
from dev.simulated.functions import Functions
from dev.simulated.messages import message
from dev.simulated.stack import SimulatedStack
from dev.simulated.wire import Call, answer
from dev.simulated.world import CREDENTIALS, body
from handoff import ids
from handoff.attribute_values import from_item, to_item
from handoff.sweep import PUBLISHING_BUDGET
from shop.sales_generations import POINTER

GATE = 0.3  # calls of analytics per event, at batches of 100
_BACKLOG = 10_000
_SMALL_BACKLOG = 1_000  # orders for the consumers whose calls per event do not depend on the batch
_BATCHES = (1, 10, 100)
_PRODUCTS = 50
_NEW = 90  # of a hundred events, in batches with duplicates
FUNCTIONS = {
    "analytics": "AnalyticsFunction",
    "emails": "EmailsFunction",
    "fulfillment": "FulfillmentFunction",
    "settlement": "SettlementFunction",
}
_COLORS = {"analytics": "#0072B2", "emails": "#E69F00", "fulfillment": "#009E73", "settlement": "#CC79A7"}


def measure(progress: Callable[[str], None], *, quick: bool) -> dict[str, Any]:
    """Drain a backlog through each consumer at each batch size, and through the sweeper."""
    backlog, some = (_BACKLOG // 10, _SMALL_BACKLOG // 10) if quick else (_BACKLOG, _SMALL_BACKLOG)
    with drain_rig() as rig:
        progress(f"{backlog} orders")
        placed = rig.orders(backlog)
        drains = []
        for batch in _BATCHES:
            progress(f"analytics, batches of {batch}")
            drains.append(rig.count(placed, batch))
        progress("analytics, with duplicates")
        drains.append(rig.count(placed, 100, duplicates=True))
        for n, batch in enumerate(_BATCHES):
            own = placed[n * some : (n + 1) * some]
            progress(f"emails, fulfillment and settlement, batches of {batch}")
            drains.append(rig.drain("emails", events_of("order_placed", own, 1), batch))
            drains.append(rig.drain("fulfillment", events_of("order_placed", own, 1), batch))
            drains.append(rig.drain("settlement", events_of("shipment_prepared", own, 2), batch))
        progress(f"the sweeper, {backlog} events")
        sweeper = rig.sweep(backlog)
        progress(f"the sweeper's threads, {backlog} events each")
        return {"drains": drains, "sweeper": sweeper, "threads": rig.sweep_with_threads(backlog)}


class _Network:
    """Transport of the functions' clients; ``calls`` counts operations, ``published`` counts event ids."""

    def __init__(self) -> None:
        self.session = sessions.sending_to(self._send)
        self.calls: Counter[str] = Counter()
        self.published: Counter[str] = Counter()

    def _send(self, event_name: str, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        service, operation = event_name.split(".")[1:]
        self.calls[operation] += 1
        if service == "dynamodb":
            return None  # over HTTP, to MiniStack
        call = Call(service, operation, json.loads(request.body or "{}"))  # type: ignore[arg-type]
        if operation == "SendEmail":
            return answer({"MessageId": ids.unique()})(call, _no_upstream)
        _insist(operation == "PutEvents", f"unexpected call of {operation}")
        return self._publish(call)

    def _publish(self, call: Call) -> AWSResponse:
        entries = call.request["Entries"]
        self.published.update(json.loads(entry["Detail"])["metadata"]["eventId"] for entry in entries)
        taken = {"FailedEntryCount": 0, "Entries": [{"EventId": str(n)} for n, _ in enumerate(entries)]}
        return answer(taken)(call, _no_upstream)


class DrainRig:
    """The template's tables and functions, with orders whose events are not handled yet."""

    def __init__(self, stack: SimulatedStack, clock: Clock, network: _Network) -> None:
        self.stack = stack
        self._clock = clock
        self._network = network
        self.functions = Functions(stack, clock)
        self._client = boto3.Session().client("dynamodb")  # not counted
        self._generation = 0
        products = [
            {"sku": _sku(n), "name": _sku(n), "unitPrice": 1250, "available": 10**6, "listed": True} for n in _SKUS
        ]
        self._put("ProductsTable", products)
        self._put("CustomersTable", [{"userId": "ada", "name": "Ada", "email": "ada@example.com"}])

    def orders(self, count: int) -> list[str]:
        """Create copies of a placed order of two products, with payment holds; return their ids."""
        first = self.place("first")
        order = self._one("OrdersTable", {"orderId": first})
        (hold,) = [item for item in self._all("SandboxTable") if item["orderId"] == first]
        placed = [f"ord_{n:026}" for n in range(count)]
        made = [json.loads(json.dumps(order).replace(first, order_id)) for order_id in placed]
        for n, copy in enumerate(made):
            for k, line in enumerate(copy["lines"]):
                line["sku"] = _sku(n + k)
        self._put("OrdersTable", made)
        self._put("SandboxTable", [json.loads(json.dumps(hold).replace(first, order_id)) for order_id in placed])
        return placed

    def place(self, key: str) -> str:
        """Place an order of two products; return its id."""
        api = Api(self.functions, {"sub": "ada", "token_use": "access"})
        with silence():
            order_id: str = api.place(body((_sku(0), 1), (_sku(1), 1)), key=key).json["orderId"]
        return order_id

    def count(self, placed: Sequence[str], batch: int, *, duplicates: bool = False) -> dict[str, Any]:
        """Let analytics count all orders into a new generation, optionally with duplicates in every batch."""
        self._generation += 1
        self._put("SalesTable", [{"bucketId": POINTER, "entry": POINTER, "currentGeneration": self._generation}])
        fresh = events_of("order_placed", placed, 1)
        waiting = fresh
        if duplicates:
            waiting = []  # each batch: new events, and duplicates of the batch before
            for start in range(0, len(fresh), _NEW):
                waiting += fresh[start : start + _NEW] + fresh[max(0, start - 100 + _NEW) : start]
        drained = self.drain("analytics", waiting, batch)
        prefix = f"{self._generation}#"
        counters = [item for item in self._all("SalesTable") if item["bucketId"].startswith(prefix)]
        counted = sum(item["orders"] for item in counters if item["entry"] == "all")
        _insist(counted == len(placed), f"{counted} of {len(placed)} orders were counted")
        return drained | {"duplicates": len(waiting) - len(fresh)}

    def drain(self, consumer: str, bodies: Sequence[str], batch: int) -> dict[str, Any]:
        """Deliver these messages to a consumer, batch by batch, as SQS would."""
        self.functions.module(FUNCTIONS[consumer])
        self._network.calls.clear()
        start = time.perf_counter()
        with silence():
            for first in range(0, len(bodies), batch):
                records = [record(text) for text in bodies[first : first + batch]]
                answer = self.functions.invoke(FUNCTIONS[consumer], {"Records": records})
                _insist(not answer["batchItemFailures"], f"{answer['batchItemFailures']} failed")
        seconds = time.perf_counter() - start
        return {
            "consumer": consumer,
            "batch": batch,
            "events": len(bodies),
            "duplicates": 0,
            "seconds": seconds,
            "calls": dict(self._network.calls),
        }

    def sweep(self, count: int) -> dict[str, Any]:
        """Run the sweeper until ``count`` events are published, and once more when idle."""
        order = self._all("OrdersTable")[0]
        now = self._clock.ms
        self._put("OrdersTable", unpublished(order, count, now))
        self._network.published.clear()
        runs: list[dict[str, Any]] = []
        while not runs or runs[-1]["events"]:
            self._network.calls.clear()
            start = time.perf_counter()
            with silence():
                report = self.functions.invoke("SweeperFunction", {})
            seconds = time.perf_counter() - start
            runs.append({"events": report["EventsSwept"], "seconds": seconds, "calls": dict(self._network.calls)})
        _insist(
            len(self._network.published) == count, f"{len(self._network.published)} of {count} events were published"
        )
        *busy, idle = runs
        return {"events": count, "runs": busy, "idle": idle, "duplicates": self._network.published.total() - count}

    def sweep_with_threads(self, count: int) -> list[dict[str, float]]:
        """Sweep a backlog behind AWS's latencies, with one and more threads."""
        with silence():
            return sweep_rate.measure(self._all("OrdersTable")[0], count, self.stack, self._clock)

    # --- tables, by logical id ----------------------------------------------------------------------------------------

    def _put(self, name: str, items: Sequence[Mapping[str, Any]]) -> None:
        for start in range(0, len(items), 25):  # maximum of one call
            puts: list[Any] = [{"PutRequest": {"Item": to_item(item)}} for item in items[start : start + 25]]
            left = self._client.batch_write_item(RequestItems={self._table(name): puts})["UnprocessedItems"]
            _insist(not left, f"{len(left)} items were not written to {name}")

    def _one(self, name: str, key: Mapping[str, str]) -> dict[str, Any]:
        return from_item(self._client.get_item(TableName=self._table(name), Key=to_item(key))["Item"])

    def _all(self, name: str) -> list[dict[str, Any]]:
        pages = self._client.get_paginator("scan").paginate(TableName=self._table(name))
        return [from_item(item) for page in pages for item in page["Items"]]

    def _table(self, name: str) -> str:
        return self.stack.resource(name).ref


@contextmanager
def drain_rig() -> Iterator[DrainRig]:
    """Start MiniStack and set up the rig on it; stop it at the end of the block."""
    network = _Network()
    with (
        ministack(_free_port(), enforce_iam=False) as engine,
        patch.dict(os.environ, CREDENTIALS | {"AWS_ENDPOINT_URL_DYNAMODB": engine.endpoint}),
        sessions.used(network.session),
        mock_aws(config={"core": {"reset_boto3_session": False, "mock_credentials": False}}),
        running() as clock,
    ):
        # The sending rate of SES must not limit the drain rate.
        stack = SimulatedStack(cache(boto3.Session().client), {"MailsPerSecond": "1000000"})
        yield DrainRig(stack, clock, network)


@contextmanager
def silence() -> Iterator[None]:
    """Discard logs and metrics. They are still produced, because producing them takes time."""
    with Path(os.devnull).open("w") as nowhere, output_to(nowhere):
        yield


_SKUS = range(_PRODUCTS)


def _sku(n: int) -> str:
    return f"SKU-{n % _PRODUCTS:04}"


def events_of(detail_type: str, order_ids: Sequence[str], sequence: int) -> list[str]:
    """Return messages with this event of each order."""
    return [message(detail_type, order_id, sequence) for order_id in order_ids]


def record(text: str) -> dict[str, Any]:
    """Return a Lambda record of a message that is received for the first time."""
    return {
        "messageId": ids.unique(),
        "receiptHandle": "receipt",
        "body": text,
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
    }


def _insist(holds: bool, text: str) -> None:
    """Raise if the drain did something wrong: then its rate means nothing."""
    if not holds:
        raise AssertionError(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _no_upstream() -> AWSResponse:
    raise AssertionError("stubbed services have no upstream")


# --- the section ------------------------------------------------------------------------------------------------------


def section(results: dict[str, Any], folder: Path) -> str:
    """Return the section of the benchmarks page."""
    drains = results["drains"]
    _plot(drains, folder / "drain.png")
    worst = max(_calls(drain) for drain in drains if drain["consumer"] == "analytics" and drain["batch"] == 100)
    sweeper = results["sweeper"]
    swept = sum(sum(run["calls"].values()) for run in sweeper["runs"])
    seconds = sum(run["seconds"] for run in sweeper["runs"])
    return _TEXT.format(
        drains=table(["consumer", "batch", "events", "duplicates", "events/s", "calls per event"], _rows(drains)),
        plot=plot("drain.png", "Events per second and calls per event"),
        worst=worst,
        gate=f"{GATE}, is {'met' if worst <= GATE else '**missed**'}",
        events=sweeper["events"],
        runs="one run" if len(sweeper["runs"]) == 1 else f"{len(sweeper['runs'])} runs",
        budget=PUBLISHING_BUDGET,
        seconds=seconds,
        rate=sweeper["events"] / seconds,
        calls=swept / sweeper["events"],
        twice=sweeper["duplicates"],
        idle=", ".join(f"{count} {operation}" for operation, count in sweeper["idle"]["calls"].items()),
        threads=sweep_rate.text(results["threads"]),
    )


_TEXT = """\
## Drain rate

How fast a backlog drains, and with how many calls. The calls per event are exact. The events per second are for one
process on this machine, so compare batch sizes only; on AWS, several instances work concurrently.

{drains}

{plot}

Analytics takes at most {worst:.3f} calls per event at batches of 100. The gate, {gate}. After each run, the counters
were compared with the orders. Every order was counted exactly once, also with a tenth of duplicates in each batch.
E-mail, fulfillment and settlement handle one event at a time, so larger batches save no calls. They scale with the
number of instances.

The sweeper published {events:,} waiting events in {runs} ({seconds:.0f} s, {rate:.0f} events/s) with {calls:.2f}
calls per event; {twice} events were published twice. It publishes ten events per call, and reads and clears a hundred
orders per call. A run publishes for at most {budget:.0f} s, and the next run, a minute later, continues. An idle run
makes one query per shard and table ({idle}).

{threads}

**How it was measured.** The backlog was delivered to the real handlers in one process, batch by batch, as SQS would.
Each order has two of fifty products. DynamoDB was MiniStack's on the same machine; the bus and SES were stubs."""


def _rows(drains: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    for drain in sorted(drains, key=lambda drain: (drain["consumer"], drain["batch"], drain["duplicates"])):
        yield [
            drain["consumer"],
            str(drain["batch"]),
            f"{drain['events']:,}",
            f"{drain['duplicates']:,}",
            f"{drain['events'] / drain['seconds']:,.0f}",
            f"{_calls(drain):.3f}",
        ]


def _calls(drain: Mapping[str, Any]) -> float:
    return float(sum(drain["calls"].values()) / drain["events"])


def _plot(drains: Sequence[Mapping[str, Any]], file: Path) -> None:
    figure = Figure(figsize=(8, 4.5), dpi=110, layout="constrained")
    speed, calls = figure.subplots(1, 2)
    for consumer, color in _COLORS.items():
        mine = [drain for drain in drains if drain["consumer"] == consumer and not drain["duplicates"]]
        sizes = [drain["batch"] for drain in mine]
        speed.plot(sizes, [drain["events"] / drain["seconds"] for drain in mine], "o-", color=color, label=consumer)
        calls.plot(sizes, [_calls(drain) for drain in mine], "o-", color=color, label=consumer)
    calls.axhline(GATE, color="#D55E00", linestyle="--", linewidth=1, label=f"gate for analytics: {GATE}")
    speed.set(xlabel="batch size", ylabel="events per second, one instance", xscale="log", ylim=0)
    calls.set(xlabel="batch size", ylabel="calls per event", xscale="log", yscale="log")
    calls.yaxis.set_major_formatter("{x:g}")
    for axes in (speed, calls):
        axes.set_xticks(_BATCHES, [str(size) for size in _BATCHES])
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    calls.legend(fontsize=8, frameon=False)
    figure.savefig(file)
