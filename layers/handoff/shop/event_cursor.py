"""Up to when the provider's events are published: one item beside the counts of `shop.limits`.

It is there because it needs no table of its own, and is disposable like the counts: without it, the poller starts a
little in the past. It has no lifetime, so DynamoDB does not delete it.
"""

from contextlib import suppress
from typing import TYPE_CHECKING

from handoff import aws
from handoff.attribute_values import from_item
from handoff.update import Attr, Update

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

EVERY = 300_000  # ms between two questions
FIRST_LOOK_BACK = 600_000  # ms before the first question
ITEM = "provider-events"


class EventCursor:
    """The time up to which all events at the provider are published; times in epoch milliseconds."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def claim(self, now: int) -> int | None:
        """Return the cursor, for the one run that asks the provider now; None if a run has asked within `EVERY`.

        Whether that run succeeds or not, the next one is `EVERY` later.
        """
        update = Update(self._table, {"id": ITEM}).set("askedAt", now).set_default("until", now - FIRST_LOOK_BACK)
        update.when(Attr("askedAt").not_exists() | Attr("askedAt").lte(now - EVERY))
        try:
            response = self._client.update_item(**update.members(), ReturnValues="ALL_NEW")
        except self._client.exceptions.ConditionalCheckFailedException as error:
            current = aws.current_item(error)
            is_ours = current.get("askedAt") == now  # an earlier try of this write, whose answer was lost
            return int(current["until"]) if is_ours else None
        return int(from_item(response["Attributes"])["until"])

    def move(self, seen: int, until: int) -> None:
        """Move the cursor on from where this run has seen it. If another run has moved it meanwhile, it stays there."""
        update = Update(self._table, {"id": ITEM}).set("until", until).when(Attr("until").eq(seen))
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.update_item(**update.members())
