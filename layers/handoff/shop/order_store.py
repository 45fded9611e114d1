"""Orders in DynamoDB. Together with the other stores, the only code that knows how they are kept."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from handoff import aws, ids
from handoff.aggregate import Model
from handoff.clock import Deadline, from_iso
from handoff.unfinished import INDEX_KEYS, SWEEP_AFTER, PendingWork, UnfinishedStore, parse_or_log
from shop.model import Order, OrderSummary, Payment, PaymentState, Product, Status
from shop.settings import Settings
from shop.transitions import Transition

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_SETTLE_TRIES = 4


class OrderExists(Exception):
    """The order exists already; it is attached as it stands."""

    def __init__(self, order: Order) -> None:
        super().__init__(f"order {order.order_id} exists")
        self.order = order


class ReservationFailed(Exception):
    """Some products could not be reserved; each is attached as it stands, None if there is none that is readable."""

    def __init__(self, products: Mapping[str, Product | None]) -> None:
        super().__init__(f"not reservable: {', '.join(products)}")
        self.products = products


class ConcurrentUpdate(Exception):
    """Somebody else moved the order on first; it is attached as it stands, None if there is no such order."""

    def __init__(self, order: Order | None) -> None:
        super().__init__("the order was moved on by somebody else")
        self.order = order


class OrderStore:
    """Reads and conditional writes of orders, with the stock and shipments that change in the same transaction."""

    def __init__(self, client: "DynamoDBClient", *, orders: str, products: str, shipments: str, shards: int) -> None:
        self._client = client
        self._orders = orders
        self._products = products
        self._shipments = shipments
        self._shards = shards
        self.unfinished = UnfinishedStore(client, orders, "orderId", Order)

    def get(self, order_id: str) -> Order | None:
        """The order as it stands now (a consistent read)."""
        response = self._client.get_item(
            TableName=self._orders, Key=aws.to_item({"orderId": order_id}), ConsistentRead=True
        )
        return _order(aws.from_item(response.get("Item", {})))

    def get_many(self, order_ids: Iterable[str]) -> dict[str, Order]:
        """The orders as they stand now, by id; what does not exist, or is no order, is left out."""
        return self.look_up(order_ids)[0]

    def look_up(self, order_ids: Iterable[str]) -> tuple[dict[str, Order], set[str]]:
        """The orders as they stand now, by id, and the ids of what is there but is no order."""
        items = aws.batch_get(self._client, self._orders, "orderId", order_ids)
        orders = {
            order_id: order for order_id, item in items.items() if (order := parse_or_log(Order, item, "orderId"))
        }
        return orders, items.keys() - orders.keys()

    def list_of(
        self, user_id: str, limit: int, after: Mapping[str, str] | None = None
    ) -> tuple[list[OrderSummary], dict[str, str] | None]:
        """A user's orders, newest first, and where to go on; eventually consistent, as its index is."""
        start = {"ExclusiveStartKey": aws.to_item({**after, "userId": user_id})} if after else {}
        response = self._client.query(
            TableName=self._orders,
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
            If the order exists; this is judged before any product.
        ReservationFailed
            If a product is missing, delisted, short, or priced otherwise than the order's line.
        aws.TransactionConflict
            If others kept writing the same products.
        """
        item = _dump(order) | {"unfinished": self._shard(order)}
        put: TransactWriteItemTypeDef = {
            "Put": {
                "TableName": self._orders,
                "Item": aws.to_item(item),
                "ConditionExpression": "attribute_not_exists(orderId)",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }
        try:
            aws.write(self._client, [put, *self._taking(order)], deadline)
        except aws.ConditionFailed as failed:
            existing = _order(failed.images.get(0))
            if existing is None:
                raise ReservationFailed(_refused(order, failed.images)) from failed
            # Our own attempt id means that an earlier try of this very write succeeded, and its answer was lost.
            if not existing.took(order.attempt_id):
                raise OrderExists(existing) from failed

    def acquire_lease(
        self, order: Order, attempt_id: str, *, lease_until: int, expires_at: int, due_at: int, deadline: Deadline
    ) -> Order:
        """Continue a PENDING order whose last attempt is over; times in epoch milliseconds.

        Raises
        ------
        ConcurrentUpdate
            If somebody else continued or finished it first.
        aws.TransactionConflict
            If others kept writing it.
        """
        renewed = {"attemptId": attempt_id, "leaseUntil": lease_until, "expiresAt": expires_at, "dueAt": due_at}
        update = self._update(order, "SET " + ", ".join(f"{name} = :{name}" for name in renewed), renewed)
        return self._write_order([update], deadline, lambda current: current.attempt_id == attempt_id) or (
            order.model_copy(
                update={
                    "attempt_id": attempt_id,
                    "lease_until": lease_until,
                    "expires_at": expires_at,
                    "due_at": due_at,
                }
            )
        )

    def release_lease(self, order: Order, deadline: Deadline) -> None:
        """End the lease of a PENDING order, so that the same key resumes at once.

        Raises
        ------
        ConcurrentUpdate
            If it is not this attempt's any more.
        aws.TransactionConflict
            If others kept writing it.
        """
        update = self._update(order, "SET leaseUntil = :leaseUntil", {"leaseUntil": 0})
        self._write_order([update], deadline, lambda current: current.lease_until == 0)

    def transition(self, step: Transition, deadline: Deadline) -> Order:
        """Write a transition with all that belongs to it, if the order is still as it was before; returns it after.

        Raises
        ------
        ConcurrentUpdate
            If the order is in another state, at another sequence, or under another attempt.
        aws.TransactionConflict
            If others kept writing the same items.
        """
        writes = [self._step(step)]
        if step.restocks:
            writes += [self._restock(line.sku, line.quantity) for line in step.after.lines]
        if step.shipment:
            shipment = step.shipment.model_dump(mode="json", by_alias=True)
            writes.append({"Put": {"TableName": self._shipments, "Item": aws.to_item(shipment)}})
        return self._write_order(writes, deadline, lambda current: current.took(step.id)) or step.after

    def settled(self, order: Order, payment: Payment, deadline: Deadline) -> Order:
        """Record the provider's definite answer; a captured payment releases the shipment in the same transaction.

        Raises
        ------
        ConcurrentUpdate
            If the order keeps changing.
        aws.TransactionConflict
            If others kept writing the same items.
        """
        current: Order | None = order
        for _ in range(_SETTLE_TRIES):
            if current is None or current.payment_due is None:
                break
            writes = [self._settling(current, payment)]
            if payment.state is PaymentState.CAPTURED:
                writes.append(self._releasing(order.order_id))
            try:
                aws.write(self._client, writes, deadline)
                return current.model_copy(update={"payment": payment, "payment_due": None, "payment_token": None})
            except aws.ConditionFailed as failed:
                current = _order(failed.images.get(0))
        if current is None or current.payment_due:
            raise ConcurrentUpdate(current)
        return current

    def _write_order(
        self, writes: "list[TransactWriteItemTypeDef]", deadline: Deadline, ours: Callable[[Order], bool]
    ) -> Order | None:
        """Write, the order first. Returns the order if it shows that an earlier try of this write had succeeded."""
        try:
            aws.write(self._client, writes, deadline)
        except aws.ConditionFailed as failed:
            current = _order(failed.images.get(0))
            if current is None or not ours(current):
                raise ConcurrentUpdate(current) from failed
            return current
        return None

    def _step(self, step: Transition) -> "TransactWriteItemTypeDef":
        before, after = step.before, step.after
        values = _dump(after)
        changed = ["status", "sequence", "payment"]
        changed += [name for name in ("paymentDue", "placedAt") if name in values and name not in _dump(before)]
        sets = [f"#{name} = :{name}" for name in changed]
        names = {f"#{name}": name for name in changed}
        parameters = {name: values[name] for name in changed}

        sets.append("history = list_append(history, :entry)")
        parameters["entry"] = [values["history"][-1]]
        event = values["outbox"].get(str(after.sequence))
        if event:
            sets.append("outbox.#event = :event")
            names["#event"] = str(after.sequence)
            parameters["event"] = event

        removed: tuple[str, ...] = ()
        if not after.outbox and not after.payment_due:
            removed = (*INDEX_KEYS, "paymentToken")
        elif before.status is not Status.PENDING:
            # A PENDING order always has its keys, and keeps them: one index write less for every new order.
            sets.append("unfinished = :shard, dueAt = :due, unfinishedSince = if_not_exists(unfinishedSince, :at)")
            at = from_iso(after.history[-1].at)
            parameters |= {"shard": self._shard(after), "due": at + SWEEP_AFTER, "at": at}
        expression = "SET " + ", ".join(sets) + (" REMOVE " + ", ".join(removed) if removed else "")
        return self._update(before, expression, parameters, names)

    def _update(
        self, seen: Order, expression: str, parameters: Mapping[str, Any], names: Mapping[str, str] | None = None
    ) -> "TransactWriteItemTypeDef":
        """An update of an order that insists on the state, the sequence and the attempt that were seen."""
        values = {
            **{f":{name}": value for name, value in parameters.items()},
            ":seenStatus": seen.status,
            ":seenSequence": seen.sequence,
            ":seenAttempt": seen.attempt_id,
        }
        return {
            "Update": {
                "TableName": self._orders,
                "Key": aws.to_item({"orderId": seen.order_id}),
                "UpdateExpression": expression,
                "ConditionExpression": (
                    "#status = :seenStatus AND #sequence = :seenSequence AND attemptId = :seenAttempt"
                ),
                "ExpressionAttributeNames": {"#status": "status", "#sequence": "sequence", **(names or {})},
                "ExpressionAttributeValues": aws.to_item(values),
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _settling(self, seen: Order, payment: Payment) -> "TransactWriteItemTypeDef":
        removed = ["paymentDue", "paymentToken", *(() if seen.outbox else INDEX_KEYS)]
        remains = PendingWork.of(seen)
        return {
            "Update": {
                "TableName": self._orders,
                "Key": aws.to_item({"orderId": seen.order_id}),
                "UpdateExpression": "SET payment = :payment REMOVE " + ", ".join(removed),
                "ConditionExpression": remains.condition,
                "ExpressionAttributeValues": aws.to_item({":payment": _dump(payment), ":events": len(seen.outbox)}),
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _releasing(self, order_id: str) -> "TransactWriteItemTypeDef":
        return {
            "Update": {
                "TableName": self._shipments,
                "Key": aws.to_item({"orderId": order_id}),
                "UpdateExpression": "SET #state = :released",
                "ConditionExpression": "attribute_exists(orderId)",
                "ExpressionAttributeNames": {"#state": "state"},
                "ExpressionAttributeValues": aws.to_item({":released": "released"}),
            }
        }

    def _taking(self, order: Order) -> "list[TransactWriteItemTypeDef]":
        return [
            {
                "Update": {
                    "TableName": self._products,
                    "Key": aws.to_item({"sku": line.sku}),
                    "UpdateExpression": "SET available = available - :quantity",
                    "ConditionExpression": "listed = :true AND unitPrice = :price AND available >= :quantity",
                    "ExpressionAttributeValues": aws.to_item(
                        {":quantity": line.quantity, ":price": line.unit_price, ":true": True}
                    ),
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                }
            }
            for line in order.lines
        ]

    def _restock(self, sku: str, quantity: int) -> "TransactWriteItemTypeDef":
        return {
            "Update": {
                "TableName": self._products,
                "Key": aws.to_item({"sku": sku}),
                "UpdateExpression": "SET available = available + :quantity",
                "ExpressionAttributeValues": aws.to_item({":quantity": quantity}),
            }
        }

    def _shard(self, order: Order) -> int:
        return ids.shard(order.order_id, self._shards)


def connect(client: "DynamoDBClient", settings: Settings) -> OrderStore:
    """The orders of this deployment."""
    return OrderStore(
        client,
        orders=settings.orders_table,
        products=settings.products_table,
        shipments=settings.shipments_table,
        shards=settings.unfinished_shards,
    )


def _dump(model: Model) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def _order(item: Mapping[str, Any] | None) -> Order | None:
    return Order.model_validate(item) if item else None


def _refused(order: Order, images: Mapping[int, Mapping[str, Any]]) -> dict[str, Product | None]:
    """The products that failed their condition; the order itself is the transaction's item 0."""
    failed = {line.sku: images[n] for n, line in enumerate(order.lines, start=1) if n in images}
    return {sku: parse_or_log(Product, image, "sku") if image else None for sku, image in failed.items()}
