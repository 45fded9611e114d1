"""Where the pass of the retention is in the table of orders: one item beside the counts of `shop.limits`.

It has no lifetime, so DynamoDB does not delete it. Without it, the pass begins again.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from handoff.attribute_values import from_item
from handoff.update import Attr, Update

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

ITEM = "retention"
EVERY = 86_400_000  # ms between two passes
_CLAIM = 50_000  # ms, less than between two sweeps


class RetentionCursor:
    """The position of the pass in the table of orders."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def claim(self, now: int) -> dict[str, str] | None:
        """Return the position, for the one run that continues the pass now: empty at its beginning, None if not due."""
        update = Update(self._table, {"id": ITEM}).set("dueAt", now + _CLAIM)
        update.when(Attr("dueAt").not_exists() | Attr("dueAt").lte(now))
        try:
            response = self._client.update_item(**update.members(), ReturnValues="ALL_NEW")
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        item = from_item(response["Attributes"])
        return {"orderId": item["after"]} if "after" in item else {}

    def keep(self, position: Mapping[str, str] | None, now: int) -> None:
        """Keep the position for the next sweep; None if the pass has ended, and the next one begins a day later."""
        update = Update(self._table, {"id": ITEM})
        if position is None:
            update.set("dueAt", now + EVERY).remove("after")
        elif position:
            update.set("dueAt", now).set("after", position["orderId"])
        else:
            update.set("dueAt", now)
        self._client.update_item(**update.members())
