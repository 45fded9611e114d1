"""A backlog before each consumer and before the sweeper: how fast it drains, and how many calls an event takes.

The functions run in this process. DynamoDB is MiniStack's, over HTTP; the bus and SES take everything.
"""

import json
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from matplotlib.figure import Figure
from moto import mock_aws
from moto.core.models import botocore_stubber

from bench import environment  # noqa: F401
from bench.tables import table
from dev.local.stack import running as ministack
from handoff import aws, ids
from handoff.telemetry import logger
from shop import events
from shop.sales_generations import POINTER
from shop.sweeping import PUBLISHING_BUDGET
from tests.support.api import Api
from tests.support.clock import Clock, running
from tests.support.functions import Functions
from tests.support.messages import message
from tests.support.stack import Stack
from tests.support.wire import Call, answer
from tests.support.world import CREDENTIALS, body

GATE = 0.3  # calls of analytics for each event, at batches of 100
_BACKLOG = 10_000
_SOME = 1_000  # orders for the consumers that do one thing at a time: their calls for each event stay the same
_BATCHES = (1, 10, 100)
_PRODUCTS = 50
_NEW = 90  # of a hundred events, where some are repeats
FUNCTIONS = {"analytics": "AnalyticsFunction", "emails": "EmailsFunction", "fulfillment": "FulfillmentFunction"}
_COLOURS = {"analytics": "#0072B2", "emails": "#E69F00", "fulfillment": "#009E73"}


def measure(progress: Callable[[str], None], *, quick: bool) -> dict[str, Any]:
    """Drain a backlog through each consumer at each size of batch, and through the sweeper."""
    backlog, some = (_BACKLOG // 10, _SOME // 10) if quick else (_BACKLOG, _SOME)
    with drain_rig() as rig:
        progress(f"{backlog} orders")
        placed = rig.orders(backlog)
        drains = []
        for batch in _BATCHES:
            progress(f"analytics, batches of {batch}")
            drains.append(rig.count(placed, batch))
        progress("analytics, with repeats")
        drains.append(rig.count(placed, 100, repeats=True))
        for n, batch in enumerate(_BATCHES):
            own = placed[n * some : (n + 1) * some]
            progress(f"emails and fulfillment, batches of {batch}")
            drains.append(rig.drain("emails", events_of("order_placed", own, 1), batch))
            both = [*events_of("order_placed", own, 1), *events_of("shipment_prepared", own, 2)]
            drains.append(rig.drain("fulfillment", both, batch))
        progress(f"the sweeper, {backlog} events")
        return {"drains": drains, "sweeper": rig.sweep(backlog)}


class _Network:
    """What the functions' clients are connected to; ``calls`` by operation, ``published`` by the event's id."""

    def __init__(self) -> None:
        self.session = boto3.Session()
        self.session.events.unregister("before-send", botocore_stubber)  # type: ignore[arg-type]
        self.session.events.register("before-send", self._send)  # type: ignore[arg-type]
        self.calls: Counter[str] = Counter()
        self.published: Counter[str] = Counter()

    def _send(self, event_name: str, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        service, operation = event_name.split(".")[1:]
        self.calls[operation] += 1
        if service == "dynamodb":
            return None  # over HTTP, to MiniStack
        call = Call(service, operation, json.loads(request.body or "{}"))  # type: ignore[arg-type]
        if operation == "SendEmail":
            return answer({"MessageId": ids.unique()})(call, _nowhere)
        _insist(operation == "PutEvents", f"{operation} is more than a backlog needs")
        return self._publish(call)

    def _publish(self, call: Call) -> AWSResponse:
        entries = call.request["Entries"]
        self.published.update(json.loads(entry["Detail"])["metadata"]["eventId"] for entry in entries)
        taken = {"FailedEntryCount": 0, "Entries": [{"EventId": str(n)} for n, _ in enumerate(entries)]}
        return answer(taken)(call, _nowhere)


class DrainRig:
    """The template's tables and functions, with orders that nobody has heard of yet."""

    def __init__(self, stack: Stack, clock: Clock, network: _Network) -> None:
        self.stack = stack
        self._clock = clock
        self._network = network
        self.functions = Functions(stack, clock)
        self._client = boto3.Session().client("dynamodb")  # goes around the network
        self._generation = 0
        products = [
            {"sku": _sku(n), "name": _sku(n), "unitPrice": 1250, "available": 10**6, "listed": True} for n in _SKUS
        ]
        self._put("ProductsTable", products)
        self._put("CustomersTable", [{"userId": "ada", "name": "Ada", "email": "ada@example.com"}])

    def orders(self, count: int) -> list[str]:
        """Placed orders of two products each, with their holds; made of one that was really placed."""
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
        """Place an order of two products; returns its id."""
        api = Api(self.functions, {"sub": "ada", "token_use": "access"})
        with silence():
            order_id: str = api.place(body((_sku(0), 1), (_sku(1), 1)), key=key).json["orderId"]
        return order_id

    def count(self, placed: Sequence[str], batch: int, *, repeats: bool = False) -> dict[str, Any]:
        """Have analytics count all orders, in a generation of its own; with repeats, every batch has some of them."""
        self._generation += 1
        self._put("SalesTable", [{"bucketId": POINTER, "entry": POINTER, "currentGeneration": self._generation}])
        fresh = events_of("order_placed", placed, 1)
        waiting = fresh
        if repeats:
            waiting = []
            for start in range(0, len(fresh), _NEW):
                waiting += fresh[start : start + _NEW] + fresh[max(0, start - 100 + _NEW) : start]
        drained = self.drain("analytics", waiting, batch)
        prefix = f"{self._generation}#"
        counters = [item for item in self._all("SalesTable") if item["bucketId"].startswith(prefix)]
        counted = sum(item["orders"] for item in counters if item["entry"] == "all")
        _insist(counted == len(placed), f"{counted} of {len(placed)} orders were counted")
        return drained | {"repeats": len(waiting) - len(fresh)}

    def drain(self, consumer: str, bodies: Sequence[str], batch: int) -> dict[str, Any]:
        """Hand these messages to a consumer, batch by batch, as SQS would."""
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
            "repeats": 0,
            "seconds": seconds,
            "calls": dict(self._network.calls),
        }

    def sweep(self, count: int) -> dict[str, Any]:
        """Have the sweeper publish so many events, run after run; and once more, with nothing to do."""
        order = self._all("OrdersTable")[0]
        now = self._clock.ms
        self._put("OrdersTable", [_unpublished(order, f"ord_{n:026}", now) for n in range(count)])
        self._network.published.clear()
        runs: list[dict[str, Any]] = []
        while not runs or runs[-1]["events"]:
            self._network.calls.clear()
            start = time.perf_counter()
            with silence():
                report = self.functions.invoke("SweeperFunction", {})
            seconds = time.perf_counter() - start
            runs.append({"events": report["EventsSwept"], "seconds": seconds, "calls": dict(self._network.calls)})
        _insist(len(self._network.published) == count, f"{len(self._network.published)} of {count} events are out")
        *busy, idle = runs
        return {"events": count, "runs": busy, "idle": idle, "doubled": self._network.published.total() - count}

    # --- tables, by logical id ----------------------------------------------------------------------------------------

    def _put(self, name: str, items: Sequence[Mapping[str, Any]]) -> None:
        for start in range(0, len(items), 25):  # as many as one call takes
            puts: list[Any] = [{"PutRequest": {"Item": aws.to_item(item)}} for item in items[start : start + 25]]
            left = self._client.batch_write_item(RequestItems={self._table(name): puts})["UnprocessedItems"]
            _insist(not left, f"{name} did not take {len(left)} items")

    def _one(self, name: str, key: Mapping[str, str]) -> dict[str, Any]:
        return aws.from_item(self._client.get_item(TableName=self._table(name), Key=aws.to_item(key))["Item"])

    def _all(self, name: str) -> list[dict[str, Any]]:
        pages = self._client.get_paginator("scan").paginate(TableName=self._table(name))
        return [aws.from_item(item) for page in pages for item in page["Items"]]

    def _table(self, name: str) -> str:
        return self.stack.resource(name).ref


@contextmanager
def drain_rig() -> Iterator[DrainRig]:
    """A shop on a MiniStack of its own, for as long as the context lasts."""
    network = _Network()
    with (
        ministack(_free_port(), enforce_iam=False) as engine,
        patch.dict(os.environ, CREDENTIALS | {"AWS_ENDPOINT_URL_DYNAMODB": engine.endpoint}),
        patch("boto3.DEFAULT_SESSION", network.session),
        mock_aws(config={"core": {"reset_boto3_session": False, "mock_credentials": False}}),
        running() as clock,
    ):
        # The pace of SES is not what is measured.
        stack = Stack(cache(boto3.Session().client), {"MailsPerSecond": "1000000"})
        yield DrainRig(stack, clock, network)


@contextmanager
def silence() -> Iterator[None]:
    """Logs and metrics are made, and go nowhere."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        streams = [(handler, handler.setStream(nowhere)) for handler in logger.handlers]  # type: ignore[attr-defined]
        try:
            yield
        finally:
            for handler, stream in streams:
                handler.setStream(stream)  # type: ignore[attr-defined]


_SKUS = range(_PRODUCTS)


def _sku(n: int) -> str:
    return f"SKU-{n % _PRODUCTS:04}"


def events_of(detail_type: str, order_ids: Sequence[str], sequence: int) -> list[str]:
    """The messages with this event of each order."""
    return [message(detail_type, order_id, sequence) for order_id in order_ids]


def record(text: str) -> dict[str, Any]:
    """A message as Lambda hands it over when it is received for the first time."""
    return {
        "messageId": ids.unique(),
        "receiptHandle": "receipt",
        "body": text,
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
    }


def _unpublished(order: Mapping[str, Any], order_id: str, now: int) -> dict[str, Any]:
    """A placed order whose event the bus did not take a minute ago."""
    entry = events.outbox_entry(
        events.DetailType.ORDER_PLACED, order_id=order_id, user_id="ada", sequence=1, at=now, correlation_id="bench"
    )
    outbox = {"1": entry.model_dump(by_alias=True)}
    index = {"unfinished": ids.shard(order_id, 4), "dueAt": now - 1, "unfinishedSince": now - 60_000}
    return {**order, "orderId": order_id, "outbox": outbox, **index}


def _insist(holds: bool, text: str) -> None:
    """A drain that did something wrong has no speed."""
    if not holds:
        raise AssertionError(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _nowhere() -> AWSResponse:
    raise AssertionError("there is nothing behind it")


# --- the section ------------------------------------------------------------------------------------------------------


def section(results: dict[str, Any], folder: Path) -> str:
    """Markdown, and the plot beside it."""
    drains = results["drains"]
    _plot(drains, folder / "drain.png")
    worst = max(_calls(drain) for drain in drains if drain["consumer"] == "analytics" and drain["batch"] == 100)
    sweeper = results["sweeper"]
    swept = sum(sum(run["calls"].values()) for run in sweeper["runs"])
    seconds = sum(run["seconds"] for run in sweeper["runs"])
    return _TEXT.format(
        drains=table(["consumer", "batch", "events", "of them repeats", "events/s", "calls per event"], _rows(drains)),
        worst=worst,
        gate=f"{GATE}, is {'reached' if worst <= GATE else 'missed'}",
        events=sweeper["events"],
        runs="one run" if len(sweeper["runs"]) == 1 else f"{len(sweeper['runs'])} runs",
        budget=PUBLISHING_BUDGET,
        seconds=seconds,
        rate=sweeper["events"] / seconds,
        calls=swept / sweeper["events"],
        doubled=sweeper["doubled"],
        idle=", ".join(f"{count} {operation}" for operation, count in sweeper["idle"]["calls"].items()),
    )


_TEXT = """\
## Consumers drain

A backlog is handed to the real handlers, batch by batch, as SQS would, and all their calls are counted. Orders have
two of fifty products each. The handlers run in one process, one batch after the other, against MiniStack's DynamoDB on
the same machine: calls per event are exact, events per second only say how they grow with the batch. On AWS, several
instances work at once.

{drains}

![Events per second and calls per event](benchmarks/drain.png)

Analytics takes at most {worst:.3f} calls per event at batches of 100: the gate, {gate}. The counters were compared with
the orders after each run, also where a tenth of each batch had been counted before: every order counts exactly once.
E-mail and fulfillment do one thing at a time, so a batch saves them no call; their speed comes from several instances.

The sweeper publishes {events:,} events that nobody has published in {runs} ({seconds:.0f} s, {rate:.0f} events/s),
with {calls:.2f} calls per event, {doubled} of them twice: ten events a publication, and a hundred orders a read and a
transaction that takes the events out. A run stops after {budget:.0f} s of publishing, and the next minute goes on. With
nothing to do it makes one query per shard and table ({idle}).
"""


def _rows(drains: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    for drain in sorted(drains, key=lambda drain: (drain["consumer"], drain["batch"], drain["repeats"])):
        yield [
            drain["consumer"],
            str(drain["batch"]),
            f"{drain['events']:,}",
            f"{drain['repeats']:,}",
            f"{drain['events'] / drain['seconds']:,.0f}",
            f"{_calls(drain):.3f}",
        ]


def _calls(drain: Mapping[str, Any]) -> float:
    return float(sum(drain["calls"].values()) / drain["events"])


def _plot(drains: Sequence[Mapping[str, Any]], file: Path) -> None:
    figure = Figure(figsize=(8, 4.5), dpi=110, layout="constrained")
    speed, calls = figure.subplots(1, 2)
    for consumer, colour in _COLOURS.items():
        mine = [drain for drain in drains if drain["consumer"] == consumer and not drain["repeats"]]
        sizes = [drain["batch"] for drain in mine]
        speed.plot(sizes, [drain["events"] / drain["seconds"] for drain in mine], "o-", color=colour, label=consumer)
        calls.plot(sizes, [_calls(drain) for drain in mine], "o-", color=colour, label=consumer)
    calls.axhline(GATE, color="#D55E00", linestyle="--", linewidth=1, label=f"gate for analytics: {GATE}")
    speed.set(xlabel="batch", ylabel="events per second, one instance", xscale="log", ylim=0)
    calls.set(xlabel="batch", ylabel="calls per event", xscale="log", yscale="log")
    calls.yaxis.set_major_formatter("{x:g}")
    for axes in (speed, calls):
        axes.set_xticks(_BATCHES, [str(size) for size in _BATCHES])
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    calls.legend(fontsize=8, frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
