"""Orders in DynamoDB, and the stock that changes in the same transaction."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from first_workflow.domain import Order, rejected, reserved
from handoff import aws, settings
from handoff.clock import Deadline, now_ms
from handoff.store import AggregateStore
from handoff.update import Attr, Update

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

SHARDS = 1  # of the index of unfinished work


class OutOfStock(Exception):
    """A product of the order is sold out, or has another price by now."""


class OrderStore(AggregateStore[Order]):
    """Reads and conditional writes of orders."""

    def __init__(self) -> None:
        client = aws.client("dynamodb")
        super().__init__(client, settings.text("ORDERS_TABLE"), Order, SHARDS)
        self._products = settings.text("PRODUCTS_TABLE")

    def products(self, skus: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the products by their number, without those that are missing."""
        return aws.batch_get(self._client, self._products, "sku", skus)

    def reserve(self, order: Order, deadline: Deadline) -> Order:
        """Store a new order as PENDING and take its stock, all or nothing.

        Raises
        ------
        OutOfStock
            If a product is sold out, or has another price by now.
        ConcurrentUpdate
            If the order exists.
        """
        try:
            return self.write(reserved(order, now_ms()), deadline, self._stock(order, -1))
        except aws.ConditionFailed as failed:  # only conditions of the stock failed: the order itself is new
            raise OutOfStock("a product is sold out, or its price has changed") from failed

    def reject(self, order: Order, deadline: Deadline) -> Order:
        """Mark an order as REJECTED and return its stock, all or nothing."""
        return self.write(rejected(order, now_ms()), deadline, self._stock(order, 1))

    def _stock(self, order: Order, sign: int) -> "list[TransactWriteItemTypeDef]":
        updates = []
        for line in order.lines:
            update = Update(self._products, {"sku": line.sku}).increase("available", sign * line.quantity)
            if sign < 0:
                update.when(Attr("available").gte(line.quantity), Attr("unitPrice").eq(line.unit_price))
            updates.append(update.write())
        return updates
