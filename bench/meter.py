"""Record the calls that a `World` makes over the wire, with their capacity units."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, TextIO

from botocore.awsrequest import AWSResponse

from bench import environment  # noqa: F401
from bench.capacity_units import Index, Item, item_size, read_units, write_units
from dev.simulated.wire import Call, Deliver
from dev.simulated.world import World
from handoff.telemetry import logger

LOG_OVERHEAD = 26  # bytes that CloudWatch Logs adds to each line
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html

# The clock stands still. Each call moves it, or an update of a time would look like no change.
_CALL_SECONDS = 0.001

PROVIDER = "SandboxTable"  # ledger of the sandbox payment provider: a call to it counts as a call to the provider


@dataclass(frozen=True, slots=True)
class MeteredCall:
    """One call; units by logical id of the table, or of table and index (``OrdersTable/unfinished``)."""

    name: str
    tables: tuple[str, ...]
    entries: int  # events put on the bus
    concurrent: bool  # started while another call was in flight
    write_units: dict[str, float]
    read_units: dict[str, float]

    @property
    def to_provider(self) -> bool:
        """Whether the call goes to the payment provider."""
        return PROVIDER in self.tables

    @property
    def text(self) -> str:
        """Operation and tables, as in ``UpdateItem (orders)``."""
        operation = self.name.partition(".")[2]
        if self.to_provider:
            return "payment provider"
        return f"{operation} ({', '.join(table.removesuffix('Table').lower() for table in self.tables)})".replace(
            " ()", ""
        )


@dataclass(slots=True)
class CallLog:
    """The calls of one or more invocations, in order, and their output."""

    calls: list[MeteredCall] = field(default_factory=list)
    printed: str = ""

    @property
    def aws_calls(self) -> int:
        """Number of calls to AWS."""
        return sum(not call.to_provider for call in self.calls)

    @property
    def provider_calls(self) -> int:
        """Number of calls to the payment provider."""
        return sum(call.to_provider for call in self.calls)

    @property
    def sequential_calls(self) -> int:
        """Number of calls that started while no other call was in flight."""
        return sum(not call.concurrent for call in self.calls)

    @property
    def write_units(self) -> dict[str, float]:
        """Write units by table and index, except the provider's."""
        return _sum(call.write_units for call in self.calls if not call.to_provider)

    @property
    def read_units(self) -> dict[str, float]:
        """Read units by table and index, except the provider's."""
        return _sum(call.read_units for call in self.calls if not call.to_provider)

    @property
    def log_bytes(self) -> int:
        """Bytes of the output as CloudWatch Logs bills them."""
        return sum(len(line.encode()) + LOG_OVERHEAD for line in self.printed.splitlines() if line)

    def counts(self) -> dict[str, Any]:
        """Return all counts, for JSON."""
        return {
            "aws_calls": self.aws_calls,
            "provider_calls": self.provider_calls,
            "sequential_calls": self.sequential_calls,
            "operations": dict(Counter("provider" if call.to_provider else call.name for call in self.calls)),
            "sequence": [call.text for call in self.calls],
            "events": sum(call.entries for call in self.calls),
            "write_units": self.write_units,
            "read_units": self.read_units,
            "log_bytes": self.log_bytes,
        }


@contextmanager
def output_to(stream: TextIO) -> Iterator[None]:
    """Send logs and metrics to ``stream``."""
    with redirect_stdout(stream):
        before = [(handler, handler.setStream(stream)) for handler in logger.handlers]  # type: ignore[attr-defined]
        try:
            yield
        finally:
            for handler, former in before:
                handler.setStream(former)  # type: ignore[attr-defined]


class Meter:
    """Records all calls of a world's functions, until the world's wire is healed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._names = {world.table(name): name for name in _TABLES}
        self._described = {table: _describe(world, table) for table in self._names}
        self._in_flight = 0
        self._log = CallLog()
        world.wire.always("*", self._metered)

    @contextmanager
    def record(self) -> Iterator[CallLog]:
        """Record the calls and the standard output inside the block."""
        self._log = log = CallLog()
        output = StringIO()
        try:
            with output_to(output):
                yield log
        finally:
            self._log = CallLog()
            log.printed = output.getvalue()

    def _metered(self, call: Call, deliver: Deliver) -> AWSResponse:
        keys = list(self._written(call))
        before = [self._read(table, key) for table, key in keys]
        concurrent = self._in_flight > 0
        self._in_flight += 1
        try:
            response: AWSResponse = deliver()
        finally:
            self._in_flight -= 1
            self._world.clock.forward(_CALL_SECONDS)
        after = [self._read(table, key) for table, key in keys]
        self._log.calls.append(
            MeteredCall(
                name=call.name,
                tables=tuple(sorted(self._names[table] for table in call.tables)),
                entries=len(call.request.get("Entries", ())),
                concurrent=concurrent,
                write_units=self._write_units(keys, before, after, transaction="TransactItems" in call.request),
                read_units=self._read_units(call, json.loads(response.content or "{}")),
            )
        )
        return response

    def _written(self, call: Call) -> Iterator[tuple[str, Item]]:
        """Yield table and key of each item that a call may write."""
        items = call.request.get("TransactItems", [])
        writes = [request for item in items for kind, request in item.items() if kind != "ConditionCheck"]
        if call.name in ("dynamodb.PutItem", "dynamodb.UpdateItem", "dynamodb.DeleteItem"):
            writes = [call.request]
        for write in writes:
            keys, _ = self._described[write["TableName"]]
            item = write.get("Key") or write["Item"]
            yield write["TableName"], {name: item[name] for name in keys}

    def _read(self, table: str, key: Item) -> Item | None:
        found: Item | None = self._world.client("dynamodb").get_item(TableName=table, Key=key).get("Item")
        return found

    def _write_units(
        self,
        keys: list[tuple[str, Item]],
        before: list[Item | None],
        after: list[Item | None],
        *,
        transaction: bool,
    ) -> dict[str, float]:
        found: Counter[str] = Counter()
        for (table, _), old, new in zip(keys, before, after, strict=True):
            name = self._names[table]
            found[name] += write_units(old, new, transaction=transaction)
            for index in self._described[table][1].values():
                found[f"{name}/{index.name}"] += index.write_units(old, new)
        return {name: float(count) for name, count in found.items() if count}

    def _read_units(self, call: Call, answer: Mapping[str, Any]) -> dict[str, float]:
        request = call.request
        if call.name == "dynamodb.GetItem":
            size = item_size(answer.get("Item"))
            consistent = request.get("ConsistentRead", False)
            return {self._names[request["TableName"]]: read_units(size, consistent=consistent)}
        if call.name == "dynamodb.BatchGetItem":
            return {
                self._names[table]: sum(
                    read_units(item_size(item), consistent=wanted.get("ConsistentRead", False))
                    for item in _padded(answer["Responses"].get(table, []), len(wanted["Keys"]))
                )
                for table, wanted in request["RequestItems"].items()
            }
        if call.name in ("dynamodb.Query", "dynamodb.Scan"):
            table = request["TableName"]
            index = self._described[table][1].get(request.get("IndexName", ""))
            items = [index.entry(item) if index else item for item in answer["Items"]]
            size = sum(map(item_size, items))
            name = self._names[table] + (f"/{index.name}" if index else "")
            return {name: read_units(size, consistent=request.get("ConsistentRead", False))}
        checked: Counter[str] = Counter()
        for item in request.get("TransactItems", []):
            if check := item.get("ConditionCheck"):
                size = item_size(self._read(check["TableName"], check["Key"]))
                checked[self._names[check["TableName"]]] += 2 * read_units(size, consistent=True)
        return {name: float(count) for name, count in checked.items()}


_TABLES = (
    "OrdersTable",
    "ProductsTable",
    "CustomersTable",
    "ShipmentsTable",
    "SalesTable",
    "IdempotencyTable",
    "LimitsTable",
    PROVIDER,
)


def _describe(world: World, table: str) -> tuple[tuple[str, ...], dict[str, Index]]:
    """Return a table's key attributes and its indexes by name."""
    described = world.client("dynamodb").describe_table(TableName=table)["Table"]
    keys = tuple(key["AttributeName"] for key in described["KeySchema"])
    indexes = {}
    for index in described.get("GlobalSecondaryIndexes", []):
        own = frozenset(key["AttributeName"] for key in index["KeySchema"])
        projected = frozenset(index["Projection"].get("NonKeyAttributes", ()))
        indexes[index["IndexName"]] = Index(index["IndexName"], own, own | projected | set(keys))
    return keys, indexes


def _padded(items: list[Item], count: int) -> list[Item | None]:
    """Add a None for each missing item: reads of missing items are billed as well."""
    return [*items, *[None] * (count - len(items))]


def _sum(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return {name: float(count) for name, count in sorted(total.items())}
