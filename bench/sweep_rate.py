"""Events per second of the sweeper, by its number of threads.

The real function runs in this process. Its network is a stub that answers after the latency of AWS, so that threads
wait as they do for AWS: the interpreter is free meanwhile.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from moto.core.botocore_stubber import MockRawResponse

from bench import environment  # noqa: F401
from bench.markdown import table
from dev.simulated import sessions
from dev.simulated.clock import Clock
from dev.simulated.functions import Functions
from dev.simulated.stack import SimulatedStack
from handoff import ids
from handoff.attribute_values import to_item
from shop import events

LATENCIES = {"dynamodb": 0.010, "eventbridge": 0.025}  # seconds a call
GATE = 3  # times the rate of one thread, at four threads and four shards
THREADS = (1, 2, 4)
_SHARDS = 4
_PAGE = 5_000  # entries of the index in 1 MB
_INDEXED = ("orderId", "unfinished", "dueAt", "unfinishedSince")
_NO_LATENCY = {"dynamodb": 0.0, "eventbridge": 0.0}


class Edge:
    """The sweeper's network, with orders whose events are not published. Threads may use it concurrently.

    ``before`` gets the operation and the request of each call; its answer, if not None, replaces the edge's own.
    """

    def __init__(
        self,
        table: str,
        orders: Sequence[Mapping[str, Any]],
        latencies: Mapping[str, float] = _NO_LATENCY,
        before: Callable[[str, Mapping[str, Any]], AWSResponse | None] = lambda _operation, _request: None,
    ) -> None:
        self._table = table
        self._latencies = latencies
        self._before = before
        self._items = {order["orderId"]: json.dumps(to_item(order)) for order in orders}
        self._index = {
            order["orderId"]: json.dumps(to_item({name: order[name] for name in _INDEXED})) for order in orders
        }
        self.published: Counter[str] = Counter()  # by event id

    @property
    def left(self) -> set[str]:
        """The ids of orders whose event is still in the outbox."""
        return set(self._index)

    def send(self, event_name: str, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """Answer a call after its latency."""
        service, operation = event_name.split(".")[1:]
        if self._latencies[service]:
            time.sleep(self._latencies[service])
        document = json.loads(request.body or "{}")  # type: ignore[arg-type]
        body = getattr(self, f"_{operation}", _nothing)
        return self._before(operation, document) or _ok(body(document))

    def _Query(self, request: Mapping[str, Any]) -> str:  # noqa: N802  # by the operation's name
        if request["TableName"] != self._table or request.get("IndexName") != "unfinished":
            return '{"Items": []}'
        shard = int(request["ExpressionAttributeValues"][":shard"]["N"])
        after = request.get("ExclusiveStartKey", {"orderId": {"S": ""}})["orderId"]["S"]
        keys = [key for key in sorted(self._index) if key > after and ids.shard(key, _SHARDS) == shard]
        page = keys[:_PAGE]
        more = f', "LastEvaluatedKey": {self._index[page[-1]]}' if len(keys) > _PAGE else ""
        return f'{{"Items": [{", ".join(self._index[key] for key in page)}]{more}}}'

    def _BatchGetItem(self, request: Mapping[str, Any]) -> str:  # noqa: N802
        ((table, wanted),) = request["RequestItems"].items()
        keys = [key["orderId"]["S"] for key in wanted["Keys"] if table == self._table]
        return (
            f'{{"Responses": {{"{table}": [{", ".join(self._items[key] for key in keys)}]}}, "UnprocessedKeys": {{}}}}'
        )

    def _TransactWriteItems(self, request: Mapping[str, Any]) -> str:  # noqa: N802
        for write in request["TransactItems"]:
            del self._index[write["Update"]["Key"]["orderId"]["S"]]
        return "{}"

    def _UpdateItem(self, request: Mapping[str, Any]) -> str:  # noqa: N802
        if request["TableName"] == self._table:  # a single order is cleared without a transaction
            del self._index[request["Key"]["orderId"]["S"]]
            return "{}"
        return '{"Attributes": {"until": {"N": "0"}}}'  # the time to ask the provider

    def _PutEvents(self, request: Mapping[str, Any]) -> str:  # noqa: N802
        taken = []
        for entry in request["Entries"]:
            event_id = json.loads(entry["Detail"])["metadata"]["eventId"]
            self.published[event_id] += 1
            taken.append({"EventId": event_id})
        return json.dumps({"FailedEntryCount": 0, "Entries": taken})


def unpublished(order: Mapping[str, Any], count: int, now: int) -> list[dict[str, Any]]:
    """Return copies of a placed order, each with an event that failed to be published a minute ago."""
    return [_unpublished(order, f"ord_{n:026}", now) for n in range(count)]


@contextmanager
def sweeper_on(edge: Edge, stack: SimulatedStack, clock: Clock, threads: int) -> Iterator[Callable[[], dict[str, int]]]:
    """Start the sweeper with this network; yield what runs it once."""
    with sessions.used(sessions.sending_to(edge.send)), patch.dict(os.environ):
        os.environ.pop("AWS_ENDPOINT_URL_DYNAMODB", None)
        functions = Functions(stack, clock, {"SWEEPER_THREADS": str(threads)}, own_clients=True)
        functions.module("SweeperFunction")
        yield lambda: functions.invoke("SweeperFunction", {})


def measure(order: Mapping[str, Any], count: int, stack: SimulatedStack, clock: Clock) -> list[dict[str, float]]:
    """Sweep a backlog with each number of threads; return seconds, and seconds of the processor."""
    measured = []
    for threads in THREADS:
        edge = Edge(stack.resource("OrdersTable").ref, unpublished(order, count, clock.ms), LATENCIES)
        with sweeper_on(edge, stack, clock, threads) as sweep:
            start, cpu = time.perf_counter(), time.process_time()
            sweep()
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        if edge.left or set(edge.published.values()) != {1}:
            raise AssertionError(f"{len(edge.left)} events are left, or some were published twice")
        measured.append({"threads": threads, "events": count, "seconds": seconds, "cpu_seconds": cpu})
    return measured


def text(measured: Sequence[Mapping[str, float]]) -> str:
    """Return the paragraph and the table for the benchmarks page."""
    rates = [run["events"] / run["seconds"] for run in measured]
    rows = [
        [
            str(run["threads"]),
            f"{rate:,.0f}",
            f"{rate / rates[0]:.2f}",
            f"{1e6 * run['cpu_seconds'] / run['events']:,.0f} µs",
        ]
        for run, rate in zip(measured, rates, strict=True)
    ]
    ratio = rates[-1] / rates[0]
    return _TEXT.format(
        dynamodb=1000 * LATENCIES["dynamodb"],
        bus=1000 * LATENCIES["eventbridge"],
        rows=table(["threads", "events/s", "times one thread", "processor per event"], rows),
        threads=THREADS[-1],
        shards=_SHARDS,
        ratio=ratio,
        gate=f"{GATE}, is {'met' if ratio >= GATE else '**missed**'}",
    )


_TEXT = """\
The sweeper's threads sweep one shard each. With {dynamodb:.0f} ms per call to DynamoDB and {bus:.0f} ms per call to the
bus, which a stub of the network adds:

{rows}

With {threads} threads and {shards} shards it is {ratio:.1f} times as fast as with one thread. The gate, {gate}."""


def _unpublished(order: Mapping[str, Any], order_id: str, now: int) -> dict[str, Any]:
    data = events.OrderData(order_id=order_id, user_id="ada")
    entry = events.ORDER_PLACED.entry(data, aggregate_id=order_id, sequence=1, at=now, correlation_id="bench")
    index = {"unfinished": ids.shard(order_id, _SHARDS), "dueAt": now - 1, "unfinishedSince": now - 60_000}
    return {**order, "orderId": order_id, "outbox": {"1": entry.model_dump(by_alias=True)}, **index}


def _ok(body: str) -> AWSResponse:
    return AWSResponse("", 200, {}, MockRawResponse(body.encode()))  # type: ignore[arg-type]


def _nothing(_request: Mapping[str, Any]) -> str:
    return "{}"
