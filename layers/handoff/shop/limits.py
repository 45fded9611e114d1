"""Hourly limits of a user. The counts change in the transactions of orders, so that they cost no call.

There is one item for a user and an hour by the clock (UTC), which DynamoDB deletes later. An hour by the clock needs no
read before the write. In return, a user can reach the limit at the end of an hour, and again at the beginning of the
next.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handoff import aws
from handoff.clock import Deadline, now_ms
from handoff.update import Attr, Update, delete
from shop.model import Counted

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_HOUR = 3_600  # seconds
_KEPT_FOR = 2 * _HOUR
# DynamoDB deletes an item within a few days after its time is over.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
_DELETED_WITHIN = 96 * _HOUR


class LimitReached(Exception):
    """The user's limit of ``counted`` is reached for this hour; ``retry_after`` in seconds."""

    def __init__(self, counted: Counted, retry_after: int) -> None:
        super().__init__(f"the limit of {counted} is reached")
        self.counted = counted
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a user and hour, and the table with the counts; a limit of 0 is none.

    Without any limit nothing is counted, so that orders of one user, as in a load test, don't conflict about its item.
    """

    table: str
    orders: int
    declines: int

    def reserving(self, user_id: str) -> "list[TransactWriteItemTypeDef]":
        """Count an order, on the condition that no limit is reached."""
        if not self._exist:
            return []
        update = self._counting(user_id, {"orders": 1})
        for name, limit in self._named():
            if limit:
                update.when(Attr(name).not_exists() | Attr(name).lt(limit))
        return [update.write()]

    def counting(self, user_id: str, counts: Mapping[Counted, int]) -> "list[TransactWriteItemTypeDef]":
        """Add to the counts, whatever they are."""
        return [self._counting(user_id, counts).write()] if counts and self._exist else []

    def items_of(self, user_id: str) -> list[str]:
        """Return the ids of all items that a user can have, newest first."""
        hour = now_ms() // 1000 // _HOUR
        return [f"{hour - age}#{user_id}" for age in range(_DELETED_WITHIN // _HOUR)]

    def counted(self, client: "DynamoDBClient", user_id: str) -> list[dict[str, Any]]:
        """Return a user's counts as they are stored."""
        found = aws.batch_get(client, self.table, "id", self.items_of(user_id))
        return [found[one] for one in sorted(found)]

    def forget(self, client: "DynamoDBClient", user_id: str, deadline: Deadline) -> None:
        """Delete a user's counts."""
        aws.write(client, [delete(self.table, {"id": one}) for one in self.items_of(user_id)], deadline)

    def reached(self, item: Mapping[str, Any]) -> LimitReached:
        """Return the error for the counts with which `reserving` has failed."""
        names = [name for name, limit in self._named() if limit and item.get(name, 0) >= limit]
        return LimitReached("declines" if "declines" in names else "orders", _HOUR - now_ms() // 1000 % _HOUR)

    @property
    def _exist(self) -> bool:
        return bool(self.orders or self.declines)

    def _named(self) -> tuple[tuple[Counted, int], ...]:
        return ("orders", self.orders), ("declines", self.declines)

    def _counting(self, user_id: str, counts: Mapping[Counted, int]) -> Update:
        now = now_ms() // 1000
        update = Update(self.table, {"id": f"{now // _HOUR}#{user_id}"})
        for name, count in counts.items():
            update.add(name, count)
        return update.set_default("expireAt", now + _KEPT_FOR)
