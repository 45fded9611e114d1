"""Orders in DynamoDB, with the stock and the shipments that change in the same transactions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from handoff import aws
from handoff.clock import Deadline
from handoff.errors import ConcurrentUpdate, TransactionConflict
from handoff.store import AggregateStore
from handoff.telemetry import logger
from handoff.unfinished import parse_or_log
from handoff.update import Attr, Update, put, put_new
from shop.model import Order, OrderSummary, Product
from shop.settings import Settings
from shop.transitions import OrderTransition

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef


class OrderExists(Exception):
    """The order exists already; ``order`` is its present state."""

    def __init__(self, order: Order) -> None:
        super().__init__(f"order {order.order_id} exists")
        self.order = order


class ReservationFailed(Exception):
    """Some products could not be reserved: each as it is now, None if it is missing or not readable."""

    def __init__(self, products: Mapping[str, Product | None]) -> None:
        super().__init__(f"not reservable: {', '.join(products)}")
        self.products = products


class OrderStore(AggregateStore[Order]):
    """Reads and conditional writes of orders."""

    def __init__(self, client: "DynamoDBClient", *, orders: str, products: str, shipments: str, shards: int) -> None:
        super().__init__(client, orders, Order, shards)
        self._products = products
        self._shipments = shipments

    def list_of(
        self, user_id: str, limit: int, after: Mapping[str, str] | None = None
    ) -> tuple[list[OrderSummary], dict[str, str] | None]:
        """Return a user's orders, newest first, and the position of the next page.

        Eventually consistent, as the index ``byUser`` is.
        """
        start = {"ExclusiveStartKey": aws.to_item({**after, "userId": user_id})} if after else {}
        response = self._client.query(
            TableName=self._table,
            IndexName="byUser",
            KeyConditionExpression="userId = :userId",
            ExpressionAttributeValues=aws.to_item({":userId": user_id}),
            ScanIndexForward=False,
            Limit=limit,
            **start,  # type: ignore[arg-type]
        )
        summaries = [OrderSummary.model_validate(aws.from_item(item)) for item in response["Items"]]
        last = response.get("LastEvaluatedKey")
        return summaries, aws.from_item(last) if last else None

    def reserve(self, order: Order, deadline: Deadline) -> None:
        """Store a PENDING order and take its stock, all or nothing.

        Raises
        ------
        OrderExists
            If the order exists; this is decided before any product.
        ReservationFailed
            If a product is missing, delisted, short, or has another price than the order's line.
        TransactionConflict
            If other writers kept changing the same products, or no time is left.
        """
        item = order.dump() | {"unfinished": self.shard(order.order_id)}
        writes = [put_new(self._table, item, "orderId"), *(self._taking(order))]
        try:
            aws.write(self._client, writes, deadline)
        except aws.ConditionFailed as failed:
            existing = self._aggregate(failed.images.get(0))
            if existing is None:
                raise ReservationFailed(_refused(order, failed.images)) from failed
            # Our own attempt id means that an earlier try of this write succeeded, and its answer was lost.
            if not existing.took(order.attempt_id):
                raise OrderExists(existing) from failed

    def acquire_lease(
        self, order: Order, attempt_id: str, *, lease_until: int, expires_at: int, due_at: int, deadline: Deadline
    ) -> Order:
        """Continue a PENDING order whose last attempt is over; times in epoch milliseconds.

        Raises
        ------
        ConcurrentUpdate
            If another attempt continued or finished it first.
        TransactionConflict
            If other writers kept changing it, or no time is left.
        """
        leased = {"attempt_id": attempt_id, "lease_until": lease_until, "expires_at": expires_at, "due_at": due_at}
        update = self.versioned(order).set("attemptId", attempt_id).set("leaseUntil", lease_until)
        update.set("expiresAt", expires_at).set("dueAt", due_at)
        current = self._write_lease(update, deadline)
        if current is None:
            return order.model_copy(update=leased)
        if current.attempt_id != attempt_id:
            raise ConcurrentUpdate(current)
        return current

    def release_lease(self, order: Order, deadline: Deadline) -> None:
        """End the lease of a PENDING order, so that a retry with the same key resumes it at once.

        Best effort: if this fails, the lease expires.
        """
        try:
            current = self._write_lease(self.versioned(order).set("leaseUntil", 0), deadline)
        except (ConcurrentUpdate, TransactionConflict, *aws.ERRORS) as error:
            logger.info("lease not released; it will expire", order_id=order.order_id, exc_info=error)
        else:
            if current and current.lease_until:
                logger.info("lease not released; another attempt has it", order_id=order.order_id)

    def transition(self, step: OrderTransition, deadline: Deadline) -> Order:
        """Write a transition with the stock and the shipment that change with it; see `AggregateStore.write`."""
        others = [self._restock(line.sku, line.quantity) for line in step.after.lines] if step.restocks else []
        if step.shipment:
            others.append(put(self._shipments, step.shipment.model_dump(mode="json", by_alias=True)))
        if step.releases_shipment:
            others.append(self._releasing(step.after.order_id))
        return self.write(step, deadline, others)

    def _write_lease(self, update: Update, deadline: Deadline) -> Order | None:
        """Write; return None if that succeeded, and the current order if its version has changed."""
        try:
            aws.write(self._client, [update.write()], deadline)
        except aws.ConditionFailed as failed:
            current = self._aggregate(failed.images[0])
            if current is None:
                raise ConcurrentUpdate(None) from failed
            return current
        return None

    def _releasing(self, order_id: str) -> "TransactWriteItemTypeDef":
        shipment = Update(self._shipments, {"orderId": order_id})
        return shipment.set("state", "released").when(Attr("orderId").exists()).write()

    def _taking(self, order: Order) -> "list[TransactWriteItemTypeDef]":
        return [
            Update(self._products, {"sku": line.sku})
            .increase("available", -line.quantity)
            .when(
                Attr("listed").eq(True),
                Attr("unitPrice").eq(line.unit_price),
                Attr("available").gte(line.quantity),
            )
            .write()
            for line in order.lines
        ]

    def _restock(self, sku: str, quantity: int) -> "TransactWriteItemTypeDef":
        return Update(self._products, {"sku": sku}).increase("available", quantity).write()


def connect(client: "DynamoDBClient", settings: Settings) -> OrderStore:
    """Return the orders of this deployment."""
    return OrderStore(
        client,
        orders=settings.orders_table,
        products=settings.products_table,
        shipments=settings.shipments_table,
        shards=settings.unfinished_shards,
    )


def _refused(order: Order, images: Mapping[int, Mapping[str, object]]) -> dict[str, Product | None]:
    """Return the products whose condition failed; the order itself is item 0 of the transaction."""
    failed = {line.sku: images[n] for n, line in enumerate(order.lines, start=1) if n in images}
    return {sku: parse_or_log(Product, image, "sku") if image else None for sku, image in failed.items()}
