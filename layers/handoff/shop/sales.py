"""Sales in DynamoDB: counters per day and product, spread over shards, and a marker for each event beside them.

All of it belongs to a generation (see `handoff.sales_generations`), the first part of each key.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handoff import aws, ids
from handoff.clock import Deadline
from handoff.once import write_once
from handoff.update import Update
from shop.model import Order, Status

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

MOST_ITEMS = aws.ITEMS_PER_WRITE
ALL = "all"  # the counter of a day's orders as such, beside those of its products
PRODUCT = "sku#"  # the prefix of a product's counter


@dataclass(frozen=True, slots=True)
class Sale:
    """One event's share: ``sign`` is 1 for a placed order, -1 for a cancelled one. ``day`` is that of the order."""

    event_id: str
    day: str
    order: Order
    sign: int

    def counts(self) -> dict[tuple[str, str], Counter[str]]:
        """What to add, by (day, product): orders, units, and revenue in minor units."""
        shares = {
            (self.day, PRODUCT + line.sku): _count(self.sign, line.quantity, line.quantity * line.unit_price)
            for line in self.order.lines
        }
        units = sum(line.quantity for line in self.order.lines)
        return {**shares, (self.day, ALL): _count(self.sign, units, self.order.total)}


def sales_of(order: Order) -> list[Sale]:
    """The sales that an order's events have made so far, under the ids that its events had; none if never placed."""
    if order.placed_at is None:
        return []
    signs = {Status.PLACED.value: 1, Status.CANCELLED.value: -1}
    return [
        Sale(ids.event_id(order.order_id, step.sequence), order.placed_at[:10], order, signs[step.status])
        for step in order.status_changes
        if step.status in signs
    ]


def bucket_id(generation: int, day: str, shard: int) -> str:
    """The partition of a day's counters; ``day`` as YYYY-MM-DD."""
    return f"{generation}#{day}#{shard}"


class SalesStore:
    """Counts each event exactly once a generation: its marker and its counters are written in one transaction."""

    def __init__(self, client: "DynamoDBClient", table: str, shards: int) -> None:
        self._client = client
        self._table = table
        self._shards = shards

    def groups(self, sales: Sequence[Sale]) -> list[list[Sale]]:
        """The sales in groups that fit into one transaction each, markers and merged counters together."""
        groups: list[list[Sale]] = []
        counters: set[tuple[str, str]] = set()
        for sale in sales:
            merged = counters | sale.counts().keys()
            if groups and len(groups[-1]) + 1 + len(merged) <= MOST_ITEMS:
                groups[-1].append(sale)
                counters = merged
            else:
                groups.append([sale])
                counters = set(sale.counts())
        return groups

    def record(self, sales: Sequence[Sale], generation: int, deadline: Deadline) -> list[Sale]:
        """Count one group of sales in a generation, all or nothing; returns those that had not been counted before.

        Raises
        ------
        TransactionConflict
            If others kept writing the same counters, or there is no time left.
        """
        shard = random.randrange(self._shards)
        by_event = {sale.event_id: sale for sale in sales}
        markers = {event: {"bucketId": f"{generation}#event#{event}", "entry": "counted"} for event in by_event}

        def effects(events: Sequence[str]) -> "list[TransactWriteItemTypeDef]":
            return self._counters([by_event[event] for event in events], generation, shard)

        counted = write_once(self._client, self._table, markers, effects, deadline)
        return [by_event[event] for event in counted]

    def _counters(self, sales: Sequence[Sale], generation: int, shard: int) -> "list[TransactWriteItemTypeDef]":
        merged: dict[tuple[str, str], Counter[str]] = {}
        for sale in sales:
            for key, count in sale.counts().items():
                merged.setdefault(key, Counter()).update(count)
        return [
            self._counter(bucket_id(generation, day, shard), entry, count) for (day, entry), count in merged.items()
        ]

    def _counter(self, bucket: str, entry: str, count: Counter[str]) -> "TransactWriteItemTypeDef":
        update = Update(self._table, {"bucketId": bucket, "entry": entry})
        for name, number in count.items():
            update.add(name, number)
        return update.write()


def _count(sign: int, units: int, revenue: int) -> Counter[str]:
    return Counter(orders=sign, units=sign * units, revenue=sign * revenue)
