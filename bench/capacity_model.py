"""Resources for a number of orders per second: instances, capacity units, quotas, settings and money."""

import tomllib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

from bench import costs, formulas
from bench.profile import ASSUMED, ORDERS, duration_ms, invocations_of, memory_gb, own_ms
from bench.scenarios import ANALYTICS, EMAILS, FULFILLMENT, SETTLEMENT
from dev.template import template_with
from handoff.sweep import CLEARED_TOGETHER, PUBLISHING_BUDGET
from shop.sales import MOST_ITEMS

QUOTAS: dict[str, Any] = tomllib.loads((Path(__file__).parent / "quotas.toml").read_text())

_PUBLISHED_AT_ONCE = 10
_READ_AT_ONCE = 100
_EVENTS = ("order_placed", "shipment_prepared", "shipment_released")  # events of an order that is kept
_INDEX_PAGE = 1024 * 1024 // 85  # entries of the index `unfinished` in a page of a query: 1 MB of 85 bytes each


@dataclass(frozen=True)
class Load:
    """``rate`` orders per second, all placed, shipped and paid; ``found`` counts one order (see `profile`)."""

    rate: float
    found: Mapping[str, Any]

    # --- functions ----------------------------------------------------------------------------------------------------

    @cached_property
    def batch_seconds(self) -> dict[str, float]:
        """Seconds that each function takes for a request, or for a full batch of its queue."""
        invocations = invocations_of(self.found)
        seconds = {ORDERS: invocations["request"].milliseconds / 1000}
        for function in (EMAILS, FULFILLMENT, SETTLEMENT):
            of = [invocation for invocation in invocations.values() if invocation.function == function]
            once = own_ms(0, memory_gb(function))
            each = sum((invocation.milliseconds - once) * invocation.share for invocation in of) / len(of)
            seconds[function] = (once + each * batch_size(function)) / 1000
        calls = Counter(invocations["analytics: order_placed"].counts["operations"])
        calls["dynamodb.TransactWriteItems"] = self.sales_transactions
        seconds[ANALYTICS] = duration_ms(calls, batch_size(ANALYTICS), memory_gb(ANALYTICS)) / 1000
        return seconds

    @cached_property
    def messages(self) -> dict[str, float]:
        """Requests, or messages of its queue, that each function receives per second."""
        found: defaultdict[str, float] = defaultdict(float)
        for invocation in invocations_of(self.found).values():
            found[invocation.function] += self.rate
        return dict(found)

    def concurrency(self, function: str) -> float:
        """Return the average number of busy instances, with full batches."""
        batches = self.messages[function] / batch_size(function)
        return formulas.concurrency(batches, self.batch_seconds[function])

    def instances(self, function: str) -> int:
        """Return the number of instances with headroom for peaks; at least two, the minimum of an SQS event source."""
        batches = self.messages[function] / batch_size(function)
        return max(2, formulas.workers(batches, self.batch_seconds[function], ASSUMED["capacity"]["utilization"]))

    # --- tables -------------------------------------------------------------------------------------------------------

    @cached_property
    def write_units(self) -> dict[str, float]:
        """Write units per second by table and index; for the sales, with orders spread evenly over a large catalog."""
        return self._units("write_units") | {"SalesTable": self.rate * 2 + self.counter_units}

    @cached_property
    def read_units(self) -> dict[str, float]:
        """Read units per second by table and index."""
        return self._units("read_units")

    def _units(self, kind: str) -> dict[str, float]:
        found: defaultdict[str, float] = defaultdict(float)
        for invocation in invocations_of(self.found).values():
            for where, units in invocation.counts[kind].items():
                found[where] += units * invocation.share * self.rate
        return dict(found)

    @property
    def _lines(self) -> int:
        return int(self.found["lines"])

    @property
    def _sales_in_one(self) -> int:
        """Events per transaction: a marker and the products' counters for each, and one counter of the day."""
        return (MOST_ITEMS - 1) // (1 + self._lines)

    @property
    def sales_transactions(self) -> int:
        """Transactions of a full batch of analytics, if each line is of another product."""
        return ceil(batch_size(ANALYTICS) / self._sales_in_one)

    @property
    def counter_units(self) -> float:
        """Write units per second of the sales counters, which are spread over `SalesShards`."""
        return self.rate * 2 * (self._lines + 1 / self._sales_in_one)

    @property
    def sales_shards(self) -> int:
        """Partitions needed for the sales counters of a day."""
        return _partitions(self.counter_units)

    @property
    def unfinished_shards(self) -> int:
        """Partitions needed for the index of unfinished work."""
        return _partitions(self.write_units["OrdersTable/unfinished"])

    # --- events -------------------------------------------------------------------------------------------------------

    @property
    def put_events(self) -> float:
        """PutEvents calls per second."""
        return self.rate * len(_EVENTS)

    @property
    def targets(self) -> float:
        """Target invocations of EventBridge per second."""
        return self.rate * sum(targets_of(event) for event in _EVENTS)

    @property
    def mails(self) -> float:
        """Mails per second."""
        return self.rate * 2

    # --- after an outage of the bus -----------------------------------------------------------------------------------

    @property
    def hours_to_catch_up(self) -> float:
        """Hours until the sweeper has published the events of a one-hour outage of the bus."""
        unpublished = ceil(self.rate * 3600)  # the later events of these orders follow once these are out
        return formulas.runs_to_drain(unpublished, PUBLISHING_BUDGET, seconds_to_sweep_one()) / 60

    # --- money --------------------------------------------------------------------------------------------------------

    def bill(self) -> dict[str, float]:
        """Return US dollars per month by service, with small batches, which overestimates."""
        used = costs.usages(self.found, self.rate)["everything"]
        orders = self.rate * costs.MONTH
        bill = {
            service: sum(costs.price(used, name) for name in names) * orders
            for service, names in costs.SERVICES.items()
        }
        return {**bill, "fixed costs": costs.total(costs.fixed(self.found))}


def seconds_to_sweep_one() -> float:
    """Return the sweeper's seconds per event, with its threads: shares of the calls, and the work of one processor."""
    latency, own = ASSUMED["latency_ms"], ASSUMED["sweeper"]
    reading = latency["dynamodb.Query"] / _INDEX_PAGE + latency["dynamodb.BatchGetItem"] / _READ_AT_ONCE
    publishing = latency["eventbridge.PutEvents"] / _PUBLISHED_AT_ONCE + own["clearing_ms"] / CLEARED_TOGETHER
    work = float(own["event_us"]) / 1_000_000
    return max(work, (float(reading + publishing) / 1000 + work) / sweeper_threads())


def sweeper_threads() -> int:
    """Return how many threads of the sweeper work at the same time, with the template's defaults."""
    parameters = template_with().parameters
    return int(min(parameters["SweeperThreads"], parameters["UnfinishedShards"]))


def batch_size(function: str) -> int:
    """Return the maximum batch size of a function's queue; 1 for requests."""
    return int(_source(function).get("BatchSize", 1))


def maximum_concurrency(function: str) -> int:
    """Return a function's MaximumConcurrency in template.yaml."""
    return int(_source(function)["ScalingConfig"]["MaximumConcurrency"])


def targets_of(event: str) -> int:
    """Count the bus rules that match an event in a stack without a partner."""
    return sum(
        event in rule["EventPattern"].get("detail-type", [event])
        for rule in template_with().of_type("AWS::Events::Rule").values()
        if rule["EventBusName"] == "${Bus}"
    )


def max_orders(function: str, found: Mapping[str, Any]) -> float:
    """Return the orders per second that one consumer can handle at the maximum concurrency of an event source."""
    one = Load(1, found)
    return float(QUOTAS["sqs_concurrency"]["limit"]) / one.concurrency(function)


def _partitions(units: float) -> int:
    return formulas.partitions(units, QUOTAS["partition_writes"]["limit"], ASSUMED["capacity"]["utilization"])


def _source(function: str) -> Mapping[str, Any]:
    sources = template_with().of_type("AWS::Lambda::EventSourceMapping").values()
    return next((source for source in sources if source["FunctionName"] == f"${{{function}}}"), {})
