"""Reading the sales counters: per day and product, net of cancellations and refunds, page by page."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from handoff import aws
from handoff.attribute_values import from_item, to_item
from handoff.clock import Deadline
from handoff.errors import TransactionConflict
from handoff.model import Model
from shop.sales import PRODUCT, bucket_id
from shop.sales_generations import GenerationStore

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


class SalesRow(Model):
    """The sales of a product on a UTC day (YYYY-MM-DD); revenue in minor units.

    Negative if more came back by the day's refunds than was sold.
    """

    day: str
    sku: str
    orders: int
    units: int
    revenue: int


@dataclass(frozen=True, slots=True)
class PagePosition:
    """How far a report was read: all of ``day`` up to and including ``sku``; an empty one comes before all others."""

    day: str
    sku: str = ""


@dataclass(frozen=True, slots=True)
class SalesPage:
    """A part of a report, and where to go on, None at its end. It may hold no row and still not be the last."""

    rows: list[SalesRow]
    next_position: PagePosition | None


class _OutOfTime(Exception):
    """The next read might not end within the request's deadline."""


class SalesReport:
    """Reads the generation that counts: one query per day and shard."""

    def __init__(self, client: "DynamoDBClient", table: str, shards: int) -> None:
        self._client = client
        self._table = table
        self._shards = shards
        self._generations = GenerationStore(client, table)

    def page(self, first: str, last: str, *, limit: int, after: PagePosition | None, deadline: Deadline) -> SalesPage:
        """At most ``limit`` rows of the days from first to last, by day and sku; what adds up to nothing is left out.

        Raises
        ------
        TransactionConflict
            If there was no time for even the first read.
        """
        generation = self._generations.read().current
        start = position = after or PagePosition(first)
        rows: list[SalesRow] = []
        while True:
            try:
                found, until = self._part(generation, position, limit - len(rows), deadline)
            except _OutOfTime as error:
                if position == start:
                    raise TransactionConflict("no time was left to read the sales") from error
                return SalesPage(rows, position)
            rows += found
            if len(rows) >= limit:
                return SalesPage(rows[:limit], PagePosition(rows[limit - 1].day, rows[limit - 1].sku))
            if until is not None:
                position = until
            elif position.day == last:
                return SalesPage(rows, None)
            else:
                position = PagePosition(_next(position.day))

    def _part(
        self, generation: int, position: PagePosition, most: int, deadline: Deadline
    ) -> tuple[list[SalesRow], PagePosition | None]:
        """Return the next rows of one day, and the position up to which they are complete; None for the whole day."""
        totals: dict[str, Counter[str]] = {}
        ends = []
        for shard in range(self._shards):
            counts, is_cut = self._counts(bucket_id(generation, position.day, shard), position.sku, most, deadline)
            for sku, count in counts.items():
                totals.setdefault(sku, Counter()).update(count)
            if is_cut:
                ends.append(max(counts))
        # Past the end of a truncated shard, the counts of the other shards are incomplete.
        until = min(ends, default=None)
        rows = [
            SalesRow(day=position.day, sku=sku, orders=count["orders"], units=count["units"], revenue=count["revenue"])
            for sku, count in sorted(totals.items())
            if any(count.values()) and (until is None or sku <= until)
        ]
        return rows, None if until is None else PagePosition(position.day, until)

    def _counts(self, bucket: str, after: str, most: int, deadline: Deadline) -> tuple[dict[str, Counter[str]], bool]:
        """Return the counters of up to ``most`` products of one shard, by sku, and whether there are more."""
        if deadline.remaining() < aws.LONGEST_CALL:
            raise _OutOfTime
        response = self._client.query(
            TableName=self._table,
            KeyConditionExpression="bucketId = :bucket AND #entry > :after",
            ExpressionAttributeNames={"#entry": "entry"},
            ExpressionAttributeValues=to_item({":bucket": bucket, ":after": PRODUCT + after}),
            Limit=most,
        )
        items = [from_item(item) for item in response["Items"]]
        counts = {
            item["entry"].removeprefix(PRODUCT): Counter({name: item[name] for name in ("orders", "units", "revenue")})
            for item in items
        }
        return counts, bool(items) and "LastEvaluatedKey" in response


def _next(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
