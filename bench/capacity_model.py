"""What a load needs: concurrency, capacity units, quotas, settings and money, for so many orders a second."""

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

from bench import costs, formulas
from bench.profile import ASSUMED, ORDERS, duration_ms, invocations_of
from bench.scenarios import ANALYTICS, EMAILS, FULFILLMENT
from shop.sales import MOST_ITEMS
from shop.sweeping import CLEARED_TOGETHER, PUBLISHING_BUDGET
from tests.support import template

RATES = (10, 1_000, 100_000)
QUOTAS: dict[str, Any] = tomllib.loads((Path(__file__).parent / "quotas.toml").read_text())

_PUBLISHED_AT_ONCE = 10
_READ_AT_ONCE = 100
_EVENTS = ("order_placed", "shipment_prepared")  # what becomes of an order that nobody cancels
_INDEX_PAGE = 1024 * 1024 // 85  # entries of the index `unfinished` that a query reads at once: 1 MB of 85 bytes each


@dataclass(frozen=True)
class Load:
    """So many orders a second, all of them placed, shipped and paid, as measured in ``found`` (see `profile`)."""

    rate: float
    found: Mapping[str, Any]

    # --- functions ----------------------------------------------------------------------------------------------------

    @cached_property
    def batch_seconds(self) -> dict[str, float]:
        """How long each function takes for a request, or for a whole batch of its queue."""
        steps = invocations_of(self.found)
        seconds = {ORDERS: steps["request"].milliseconds / 1000}
        for function in (EMAILS, FULFILLMENT):
            of = [step for step in steps.values() if step.function == function]
            each = sum(step.milliseconds - ASSUMED["own_ms"]["invocation"] for step in of) / len(of)
            seconds[function] = (ASSUMED["own_ms"]["invocation"] + each * batch_size(function)) / 1000
        calls = Counter(steps["analytics: order_placed"].counts["operations"])
        calls["dynamodb.TransactWriteItems"] = self.sales_transactions
        seconds[ANALYTICS] = duration_ms(calls, batch_size(ANALYTICS)) / 1000
        return seconds

    @cached_property
    def messages(self) -> dict[str, float]:
        """What each function gets a second: requests, or messages of its queue."""
        found: Counter[str] = Counter()
        for step in invocations_of(self.found).values():
            found[step.function] += self.rate  # type: ignore[assignment]
        return dict(found)

    def concurrency(self, function: str) -> float:
        """How many of its instances are at work, on average, with full batches."""
        batches = self.messages[function] / batch_size(function)
        return formulas.concurrency(batches, self.batch_seconds[function])

    def instances(self, function: str) -> int:
        """How many of its instances it takes, with room for what is not even; two is the least that SQS starts."""
        batches = self.messages[function] / batch_size(function)
        return max(2, formulas.workers(batches, self.batch_seconds[function], ASSUMED["capacity"]["utilisation"]))

    # --- tables -------------------------------------------------------------------------------------------------------

    @cached_property
    def write_units(self) -> dict[str, float]:
        """Write units a second by table and index; of the sales, those of a catalog without favourites."""
        found: Counter[str] = Counter()
        for step in invocations_of(self.found).values():
            for where, units in step.counts["write_units"].items():
                found[where] += units * step.share * self.rate
        found["SalesTable"] = self.rate * 2 + self.counter_units  # type: ignore[assignment]
        return dict(found)

    @cached_property
    def read_units(self) -> dict[str, float]:
        """Read units a second by table and index."""
        found: Counter[str] = Counter()
        for step in invocations_of(self.found).values():
            for where, units in step.counts["read_units"].items():
                found[where] += units * step.share * self.rate
        return dict(found)

    @property
    def _lines(self) -> int:
        return int(self.found["lines"])

    @property
    def _sales_in_one(self) -> int:
        """Events that fit into one transaction: each with its marker and its products, and one counter of the day."""
        return (MOST_ITEMS - 1) // (1 + self._lines)

    @property
    def sales_transactions(self) -> int:
        """Transactions of a full batch of analytics if each line is of another product: markers and counters fit in."""
        return ceil(batch_size(ANALYTICS) / self._sales_in_one)

    @property
    def counter_units(self) -> float:
        """Write units a second of the sales counters, which are spread over `SalesShards`."""
        return self.rate * 2 * (self._lines + 1 / self._sales_in_one)

    @property
    def sales_shards(self) -> int:
        """Partitions that the sales counters of a day need."""
        return _partitions(self.counter_units)

    @property
    def unfinished_shards(self) -> int:
        """Partitions that the index of unfinished work needs."""
        return _partitions(self.write_units["OrdersTable/unfinished"])

    # --- events -------------------------------------------------------------------------------------------------------

    @property
    def put_events(self) -> float:
        """Calls of PutEvents a second."""
        return self.rate * len(_EVENTS)

    @property
    def targets(self) -> float:
        """Targets that EventBridge invokes a second."""
        return self.rate * sum(targets_of(event) for event in _EVENTS)

    @property
    def mails(self) -> float:
        """Mails a second."""
        return self.rate * 2

    # --- when the bus is dead -----------------------------------------------------------------------------------------

    @property
    def hours_after_a_dead_hour(self) -> float:
        """How long the sweeper publishes what one hour without a bus has left behind."""
        left_behind = ceil(self.rate * 3600)  # their other events follow once these are out
        return formulas.runs_to_drain(left_behind, PUBLISHING_BUDGET, seconds_to_sweep_one()) / 60

    # --- money --------------------------------------------------------------------------------------------------------

    def bill(self) -> dict[str, float]:
        """US dollars a month, by service; small batches, so rather more than less."""
        used = costs.usages(self.found, self.rate)["everything"]
        orders = self.rate * costs.MONTH
        bill = {
            service: sum(costs.price(used, name) for name in names) * orders
            for service, names in costs.SERVICES.items()
        }
        return {**bill, "what costs anyway": costs.total(costs.fixed(self.found))}


def seconds_to_sweep_one() -> float:
    """What publishing one event takes the sweeper: reading its order, a share of a publication and of a write."""
    latency = ASSUMED["latency_ms"]
    clearing = ASSUMED["sweeper"]["clearing_ms"] / CLEARED_TOGETHER
    publishing = latency["eventbridge.PutEvents"] / _PUBLISHED_AT_ONCE + clearing
    return seconds_to_read_one() + float(publishing) / 1000


def seconds_to_read_one() -> float:
    """What one due order takes the sweeper until it is read: its entry in the index, and a share of two calls."""
    latency, own = ASSUMED["latency_ms"], ASSUMED["sweeper"]
    waiting = latency["dynamodb.Query"] / _INDEX_PAGE + latency["dynamodb.BatchGetItem"] / _READ_AT_ONCE
    return float(waiting) / 1000 + float(own["hint_us"] + own["order_us"]) / 1_000_000


def batch_size(function: str) -> int:
    """How many messages a function gets at once when there are many; a request comes alone."""
    return int(_source(function).get("BatchSize", 1))


def maximum_concurrency(function: str) -> int:
    """How many batches it may have under way, as template.yaml has it."""
    return int(_source(function)["ScalingConfig"]["MaximumConcurrency"])


def targets_of(event: str) -> int:
    """How many rules of the bus take an event; the partner's is not there unless somebody names one."""
    rules = template.of_type("AWS::Events::Rule")
    return sum(
        event in rule["EventPattern"].get("detail-type", [event])
        for name, rule in rules.items()
        if name != "PartnerRule" and rule["EventBusName"] == {"Ref": "Bus"}
    )


def most_orders_behind(function: str, found: Mapping[str, Any]) -> float:
    """How many orders a second one queue's consumer takes with all the concurrency that an event source may have."""
    one = Load(1, found)
    return float(QUOTAS["sqs_concurrency"]["limit"]) / one.concurrency(function)


def _partitions(units: float) -> int:
    return formulas.partitions(units, QUOTAS["partition_writes"]["limit"], ASSUMED["capacity"]["utilisation"])


def _source(function: str) -> Mapping[str, Any]:
    sources = template.of_type("AWS::Lambda::EventSourceMapping").values()
    return next((source for source in sources if source["FunctionName"] == {"Ref": function}), {})
