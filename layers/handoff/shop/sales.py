"""Sales in DynamoDB: counters per day and product, spread over shards, and a marker for each event beside them.

All of it belongs to a generation (see `handoff.sales_generations`), the first part of each key.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handoff import aws, ids
from handoff.clock import Deadline
from handoff.once import write_once
from handoff.update import Update
from shop.model import Order, Status
from shop.refund_shares import RefundShare, refund_shares

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

MOST_ITEMS = aws.ITEMS_PER_WRITE
ALL = "all"  # the counter of a day's orders as such, beside those of its products
PRODUCT = "sku#"  # the prefix of a product's counter


@dataclass(frozen=True, slots=True)
class Sale:
    """What one event adds to the counters of a day (UTC): to that of all orders, and to those of products, by sku.

    A counter has the members orders, units and revenue, the latter in minor units. Returned units
    and refunds are negative.
    """

    event_id: str
    day: str
    whole: Counter[str]
    products: Mapping[str, Counter[str]]

    def counts(self) -> dict[tuple[str, str], Counter[str]]:
        """What to add, by (day, entry)."""
        entries = {PRODUCT + sku: count for sku, count in self.products.items()} | {ALL: self.whole}
        return {(self.day, entry): count for entry, count in entries.items()}


def sales_of(order: Order) -> list[Sale]:
    """The sales that an order's events have made so far, under the ids that its events had; none if never placed.

    A cancellation counts on the day of the order, a refund on its own day. The refund of a cancelled order counts
    nothing: the cancellation has subtracted all of the order.
    """
    if order.placed_at is None:
        return []
    day, signs = order.placed_at[:10], {Status.PLACED.value: 1, Status.CANCELLED.value: -1}
    sales = [
        order_sale(order, ids.event_id(order.order_id, step.sequence), day, signs[step.status])
        for step in order.status_changes
        if step.status in signs
    ]
    if order.status is Status.CANCELLED:
        return sales
    return [*sales, *(_refund_sale(order, share) for share in refund_shares(order))]


def order_sale(order: Order, event_id: str, day: str, sign: int) -> Sale:
    """Return the sale of a whole order; ``sign`` is 1 for a placed order and -1 for a cancelled one."""
    products = {line.sku: _count(sign, line.quantity, line.quantity * line.unit_price) for line in order.lines}
    units = sum(line.quantity for line in order.lines)
    return Sale(event_id, day, _count(sign, units, order.total), products)


def _refund_sale(order: Order, share: RefundShare) -> Sale:
    """Return the sale of a refund. Only units that came back reduce units and orders."""
    products = {
        sku: _count(-1, share.units[sku], share.revenue[sku], orders=sku in share.completed)
        for sku in sorted(share.revenue.keys() | share.units.keys())
    }
    whole = _count(-1, share.units.total(), share.revenue.total(), orders=share.completes_order)
    return Sale(ids.event_id(order.order_id, share.step.sequence), share.step.at[:10], whole, products)


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


def _count(sign: int, units: int, revenue: int, *, orders: int = 1) -> Counter[str]:
    return Counter(orders=sign * orders, units=sign * units, revenue=sign * revenue)
