"""The list of all placed orders by time, for programs: the sparse index ``byTime``.

Its partitions are the shards of a UTC day, because one partition takes 1,000 writes a second. Its sort key is the time
at which the order was placed, followed by the order's id, so that every position in the list is unique.
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

from handoff import aws, ids
from handoff.attribute_values import from_item, to_item
from handoff.clock import Deadline, from_iso, to_iso
from handoff.errors import TransactionConflict
from shop.model import OrderSummary

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

INDEX = "byTime"
# ms. A write can take until the end of its function, 25 s after the order's time, and the index a moment more. If a
# younger order were listed meanwhile, a program that continues after it would never see the older one.
SETTLED_AFTER = 60_000
MOST_DAYS = 10  # of one part, so that a program that begins in the distant past does not keep a request busy
_DAY = len("2026-11-23")
_POSITION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z(#ord_[a-z2-7]{26})?")


class Keys(NamedTuple):
    """The keys of an order in the index."""

    bucket: str
    entry: str


@dataclass(frozen=True, slots=True)
class ListedOrder:
    """A placed order, and whose it is."""

    summary: OrderSummary
    user_id: str


@dataclass(frozen=True, slots=True)
class OrdersSince:
    """A part of the list, oldest first, and the position after which it continues, None at its end.

    ``until`` is the time up to which the list is complete. A part may hold no order and still not be the last.
    """

    orders: list[ListedOrder]
    next_position: str | None
    until: str


def keys(order_id: str, placed_at: str, shards: int) -> Keys:
    """Return the keys of an order that was placed at this time (`to_iso`)."""
    return Keys(_bucket(placed_at[:_DAY], ids.shard(order_id, shards)), f"{placed_at}#{order_id}")


def is_position(text: str) -> bool:
    """Return whether a text is a position in the list: a time, or a time and an order id."""
    if not _POSITION.fullmatch(text):
        return False
    try:
        from_iso(text.partition("#")[0])
    except ValueError:
        return False
    return True


class _OutOfTime(Exception):
    """The next read might not end within the request's deadline."""


class OrderList:
    """Reads the index: one query per day and shard."""

    def __init__(self, client: "DynamoDBClient", table: str, shards: int) -> None:
        self._client = client
        self._table = table
        self._shards = shards

    def since(self, position: str, *, limit: int, now: int, deadline: Deadline) -> OrdersSince:
        """Return up to ``limit`` orders after a position, a time or one that an earlier part has returned.

        Orders of the last minute before ``now`` (epoch milliseconds) are left out, as they may still be incomplete.

        Raises
        ------
        TransactionConflict
            If there was no time for even the first day.
        """
        until = max(to_iso(now - SETTLED_AFTER), position)
        found: list[ListedOrder] = []
        start = position
        for _ in range(MOST_DAYS):
            if position >= until:
                return OrdersSince(found, None, until)
            try:
                entries = self._day(position, until, limit - len(found), deadline)
            except _OutOfTime as error:
                if position == start:
                    raise TransactionConflict("no time was left to read the list of orders") from error
                break
            found += [_listed(entry) for entry in entries]
            if len(found) == limit:
                return OrdersSince(found, entries[-1]["timeEntry"], until)
            position = _next_day(position)
        return OrdersSince(found, position if position < until else None, until)

    def _day(self, position: str, until: str, most: int, deadline: Deadline) -> list[dict[str, str]]:
        """Return the first ``most`` entries of a day after a position, from all shards."""
        entries = [
            entry
            for shard in range(self._shards)
            for entry in self._shard(_bucket(position[:_DAY], shard), position, until, most, deadline)
        ]
        return sorted(entries, key=lambda entry: entry["timeEntry"])[:most]

    def _shard(self, bucket: str, position: str, until: str, most: int, deadline: Deadline) -> list[dict[str, str]]:
        if deadline.remaining() < aws.LONGEST_CALL:
            raise _OutOfTime
        # BETWEEN includes both ends: "!" is below "#", so that a time includes its orders and an order excludes itself.
        after = position + "!"
        response = self._client.query(
            TableName=self._table,
            IndexName=INDEX,
            KeyConditionExpression="timeBucket = :bucket AND timeEntry BETWEEN :after AND :until",
            ExpressionAttributeValues=to_item({":bucket": bucket, ":after": after, ":until": until}),
            Limit=most,
        )
        return [from_item(item) for item in response["Items"]]


def _listed(item: dict[str, str]) -> ListedOrder:
    return ListedOrder(OrderSummary.model_validate(item), item["userId"])


def _bucket(day: str, shard: int) -> str:
    return f"{day}#{shard}"


def _next_day(position: str) -> str:
    following = date.fromisoformat(position[:_DAY]) + timedelta(days=1)
    return f"{following.isoformat()}T00:00:00.000Z"
