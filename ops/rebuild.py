"""Rebuilding the sales: all orders folded into a new generation of the counters, while the shop goes on.

First the new generation is announced: from then on every event is counted into both. Then each order is read, and what
its history says is counted under the ids that its events had, with the same markers: what a consumer counted first is
left out, and the other way round. At the end the new generation takes the old one's place in one write.

A run that died leaves its generation announced and how far it came; the next run goes on from there.
"""

import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from handoff import aws
from handoff.clock import Deadline, now_ms
from ops.stack.deployment import Deployment
from shop.model import Order
from shop.sales import SalesStore, sales_of
from shop.sales_generations import POINTER, Busy, Generations, GenerationStore, TakenOver

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

LEASE = 120_000  # ms without a sign of life after which a run is taken for dead
SETTLED = 60_000  # ms after a switch for which the old generation is kept: a report may still be reading it
_WRITE_SECONDS = 20.0  # for one group of sales
_PAGE = 200  # orders between two signs of life
_DELETES = 25  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
_GOES_ON = "it goes on where this one stopped"

Progress = Callable[[str], None]


class RebuildError(Exception):
    """The sales can't be rebuilt, or not now; the text says why. The old generation counts as before."""


@dataclass
class Rebuilt:
    """What a rebuild did."""

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
            If another rebuild is at work, or an order can't be read.
        """
        begun = self._announce()
        if begun.built_up_to:
            progress(f"going on with generation {begun.building}, after order {begun.built_up_to}")
        assert begun.building is not None  # noqa: S101  # it has just been announced
        done = Rebuilt(generation=begun.building)
        try:
            self._fold(done, begun.built_up_to, progress)
            self._generations.switch(self._builder, done.generation, now=now_ms())
        except TakenOver as error:
            raise RebuildError("Another rebuild has taken this one over, and goes on with it.") from error
        except (*aws.ERRORS, aws.TransactionConflict) as error:
            self._release_lease()
            raise RebuildError(f"{error}. Nothing was switched over. Run it again: {_GOES_ON}.") from error
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
                f"Another rebuild is at work. Let it end; if it is dead, this one can go on with it in {seconds} s."
            ) from busy

    def _fold(self, done: Rebuilt, after: str | None, progress: Progress) -> None:
        wrong: list[str] = []
        for items in self._pages(after):
            orders = []
            for item in items:
                try:
                    orders.append(Order.model_validate(item))
                except ValidationError:
                    wrong.append(item["orderId"])
            sales = [sale for order in orders for sale in sales_of(order)]
            for group in self._sales.groups(sales):
                done.events += len(self._sales.record(group, done.generation, Deadline(_WRITE_SECONDS)))
            done.orders += len(orders)
            # An unreadable order is not done: the next run has to come by again.
            done_up_to = items[-1]["orderId"] if items and not wrong else None
            self._generations.keep(self._builder, built_up_to=done_up_to, lease_until=now_ms() + LEASE)
            progress(f"{done.orders} orders, {done.events} events counted")
        if wrong:
            raise RebuildError(
                f"{len(wrong)} orders can't be read: {', '.join(wrong[:10])}. Nothing was switched over. "
                f"Mend them, then run it again: {_GOES_ON}."
            )

    def _pages(self, after: str | None) -> Iterator[list[dict[str, Any]]]:
        """All orders as they stand when their page is read (consistent reads), from after this one on."""
        start: dict[str, Any] = {"ExclusiveStartKey": aws.to_item({"orderId": after})} if after else {}
        while True:
            page = self._client.scan(TableName=self._orders_table, ConsistentRead=True, Limit=_PAGE, **start)
            yield [aws.from_item(item) for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _release_lease(self) -> None:
        """End the lease of a run that fails, so that the next one can go on at once; best effort."""
        try:
            self._generations.keep(self._builder, built_up_to=None, lease_until=0)
        except (*aws.ERRORS, aws.TransactionConflict, TakenOver):
            return  # it ends by itself


def of(deployment: Deployment) -> Rebuild:
    """A rebuild of a deployment's sales."""
    return Rebuild(
        deployment.dynamodb,
        orders_table=deployment.resource("OrdersTable"),
        sales_table=deployment.resource("SalesTable"),
        shards=int(deployment.parameters["SalesShards"]),
    )


def prune(client: "DynamoDBClient", sales_table: str, progress: Progress) -> int:
    """Remove the generations before the one that counts; returns how many items went.

    Raises
    ------
    RebuildError
        If the switch was too recent.
    """
    generations = GenerationStore(client, sales_table).read()
    wait = generations.switched_at + SETTLED - now_ms()
    if wait > 0:
        raise RebuildError(
            f"The sales were switched over just now; a report may still be reading the old ones. "
            f"Try again in {math.ceil(wait / 1000)} s."
        )
    removed = 0
    pages = client.get_paginator("scan").paginate(
        TableName=sales_table, ProjectionExpression="bucketId, #entry", ExpressionAttributeNames={"#entry": "entry"}
    )
    for page in pages:
        old = [item for item in page["Items"] if _is_before(generations.current, aws.from_item(item))]
        for first in range(0, len(old), _DELETES):
            _delete(client, sales_table, old[first : first + _DELETES])
        removed += len(old)
        progress(f"{removed} items removed")
    return removed


def _delete(client: "DynamoDBClient", table: str, keys: Sequence[aws.Item]) -> None:
    left: Any = {table: [{"DeleteRequest": {"Key": key}} for key in keys]}
    while left:
        left = client.batch_write_item(RequestItems=left)["UnprocessedItems"]


def _is_before(current: int, key: Mapping[str, str]) -> bool:
    """Whether an item is of an earlier generation; one that is announced meanwhile is a later one."""
    generation = key["bucketId"].partition("#")[0]
    return key["bucketId"] != POINTER and generation.isdigit() and int(generation) < current
