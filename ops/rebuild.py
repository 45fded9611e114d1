"""Rebuild the sales: count all orders into a new generation of the counters, while the shop is running.

First the new generation is announced: from then on, every event is counted in both. Then each order is read, and its
history is counted under the ids of its events, with the same markers. So whichever of a consumer and the rebuild counts
an event first, the other one skips it. At the end, the new generation replaces the old one in one write.

An interrupted run leaves its generation announced, with its position. The next run resumes there.
"""

import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from handoff import aws
from handoff.attribute_values import Item, from_item, to_item
from handoff.clock import Deadline, now_ms
from handoff.errors import TransactionConflict
from ops.stack.deployment import Deployment
from ops.text import sentences
from shop.model import Order
from shop.sales import SalesStore, sales_of
from shop.sales_generations import POINTER, Busy, Generations, GenerationStore, TakenOver

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

LEASE = 120_000  # ms without progress after which a run counts as dead
SETTLED = 60_000  # ms for which the old generation is kept after a switch, as a report may still be reading it
_WRITE_SECONDS = 20.0  # for one group of sales
_PAGE = 200  # orders between two renewals of the lease
_DELETES = 25  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
UNCHANGED = "The counters in use are unchanged. Run the command again: it resumes where this run stopped."

Progress = Callable[[str], None]


class RebuildError(Exception):
    """The sales cannot be rebuilt now; the text says why. The old generation stays in use."""


@dataclass
class Rebuilt:
    """The result of a rebuild: the new generation, and how many orders and events it counted."""

    generation: int = 0
    orders: int = 0
    events: int = 0


class Rebuild:
    """One run of a rebuild."""

    def __init__(self, client: "DynamoDBClient", *, orders_table: str, sales_table: str, shards: int) -> None:
        self._client = client
        self._orders_table = orders_table
        self._sales = SalesStore(client, sales_table, shards)
        self._generations = GenerationStore(client, sales_table)
        self._builder = uuid.uuid4().hex

    def run(self, progress: Progress) -> Rebuilt:
        """Build the new generation and switch over.

        Raises
        ------
        RebuildError
            If another rebuild is running, or an order cannot be read.
        """
        begun = self._announce()
        if begun.built_up_to:
            progress(f"resuming generation {begun.building} after order {begun.built_up_to}")
        assert begun.building is not None  # noqa: S101  # it has just been announced
        done = Rebuilt(generation=begun.building)
        try:
            self._fold(done, begun.built_up_to, progress)
            self._generations.switch(self._builder, done.generation, now=now_ms())
        except TakenOver as error:
            raise RebuildError("Another rebuild took over this one and continues it.") from error
        except (*aws.ERRORS, TransactionConflict) as error:
            self._release_lease()
            raise RebuildError(sentences(error, UNCHANGED)) from error
        except BaseException:
            self._release_lease()
            raise
        return done

    def _announce(self) -> Generations:
        try:
            now = now_ms()
            return self._generations.announce(self._builder, now=now, lease_until=now + LEASE)
        except Busy as busy:
            seconds = max(1, (busy.lease_until - now_ms()) // 1000)
            raise RebuildError(
                f"Another rebuild is running. Wait for it. If it was killed, run this command again in {seconds} s."
            ) from busy

    def _fold(self, done: Rebuilt, after: str | None, progress: Progress) -> None:
        unreadable: list[str] = []
        for items in self._pages(after):
            orders = []
            for item in items:
                try:
                    orders.append(Order.model_validate(item))
                except ValidationError:
                    unreadable.append(item["orderId"])
            sales = [sale for order in orders for sale in sales_of(order)]
            for group in self._sales.groups(sales):
                done.events += len(self._sales.record(group, done.generation, Deadline(_WRITE_SECONDS)))
            done.orders += len(orders)
            # The next run has to read an unreadable order again.
            done_up_to = items[-1]["orderId"] if items and not unreadable else None
            self._generations.keep(self._builder, built_up_to=done_up_to, lease_until=now_ms() + LEASE)
            progress(f"{done.orders} orders, {done.events} events counted")
        if unreadable:
            raise RebuildError(
                f"{len(unreadable)} orders cannot be read: {', '.join(unreadable[:10])}. Fix the orders. {UNCHANGED}"
            )

    def _pages(self, after: str | None) -> Iterator[list[dict[str, Any]]]:
        """Yield the orders after one, page by page, by consistent reads."""
        start: dict[str, Any] = {"ExclusiveStartKey": to_item({"orderId": after})} if after else {}
        while True:
            page = self._client.scan(TableName=self._orders_table, ConsistentRead=True, Limit=_PAGE, **start)
            yield [from_item(item) for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _release_lease(self) -> None:
        """End the lease of a failed run, so that the next one can resume at once; best effort."""
        try:
            self._generations.keep(self._builder, built_up_to=None, lease_until=0)
        except (*aws.ERRORS, TransactionConflict, TakenOver):
            return  # the lease expires


def of(deployment: Deployment) -> Rebuild:
    """Return a rebuild of a deployment's sales."""
    return Rebuild(
        deployment.dynamodb,
        orders_table=deployment.resource("OrdersTable"),
        sales_table=deployment.resource("SalesTable"),
        shards=int(deployment.parameters["SalesShards"]),
    )


def prune(client: "DynamoDBClient", sales_table: str, progress: Progress) -> int:
    """Remove the generations before the current one; return how many items were removed.

    Raises
    ------
    RebuildError
        If the switch was too recent.
    """
    generations = GenerationStore(client, sales_table).read()
    wait = generations.switched_at + SETTLED - now_ms()
    if wait > 0:
        raise RebuildError(
            f"The counters were replaced just now, and a report may still be reading the old ones. "
            f"Try again in {math.ceil(wait / 1000)} s."
        )
    removed = 0
    pages = client.get_paginator("scan").paginate(
        TableName=sales_table, ProjectionExpression="bucketId, #entry", ExpressionAttributeNames={"#entry": "entry"}
    )
    for page in pages:
        old = [item for item in page["Items"] if _is_before(generations.current, from_item(item))]
        for first in range(0, len(old), _DELETES):
            _delete(client, sales_table, old[first : first + _DELETES])
        removed += len(old)
        progress(f"{removed} items removed")
    return removed


def _delete(client: "DynamoDBClient", table: str, keys: Sequence[Item]) -> None:
    left: Any = {table: [{"DeleteRequest": {"Key": key}} for key in keys]}
    while left:
        left = client.batch_write_item(RequestItems=left)["UnprocessedItems"]


def _is_before(current: int, key: Mapping[str, str]) -> bool:
    """Return whether an item is of an earlier generation; one that was announced meanwhile is later."""
    generation = key["bucketId"].partition("#")[0]
    return key["bucketId"] != POINTER and generation.isdigit() and int(generation) < current
