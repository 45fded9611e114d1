"""Orders in DynamoDB, with the stock and the shipments that change in the same transactions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from handoff import aws
from handoff.aggregate import Transition
from handoff.attribute_values import from_item, to_item
from handoff.clock import Deadline
from handoff.errors import ConcurrentUpdate, TransactionConflict
from handoff.store import AggregateStore
from handoff.telemetry import logger
from handoff.unfinished import parse_or_log
from handoff.update import Attr, Update, check, delete, put, put_new
from shop import order_list, stock
from shop.errors import AddressProblem
from shop.limits import Limits
from shop.model import EmailProblem, Line, Order, OrderSummary, Product, Status
from shop.order_list import OrderList
from shop.settings import Settings
from shop.transitions import OrderTransition

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef


_DAY = 86_400  # seconds
# Picks of an order from the shards, while other orders take what it has just seen.
_PICKS = 8
_OLD = "placedAt < :before AND attribute_not_exists(erasedAt)"


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


class CustomerUnreachable(Exception):
    """The order would have no customer to write to; ``problem`` says why."""

    def __init__(self, problem: AddressProblem) -> None:
        super().__init__(f"the customer cannot be reached: {problem}")
        self.problem = problem


class OrderStore(AggregateStore[Order]):
    """Reads and conditional writes of orders.

    A rejected order is the memory of its idempotency key for ``rejected_days``. Then DynamoDB deletes it.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        *,
        orders: str,
        products: str,
        customers: str,
        shipments: str,
        limits: Limits,
        rejected_days: int,
        shards: int,
        list_shards: int,
    ) -> None:
        super().__init__(client, orders, Order, shards)
        self.by_time = OrderList(client, orders, list_shards)
        self._list_shards = list_shards
        self._products = products
        self._customers = customers
        self._shipments = shipments
        self._limits = limits
        self._rejected_kept_for = rejected_days * _DAY

    def list_of(
        self, user_id: str, limit: int, after: Mapping[str, str] | None = None, status: Status | None = None
    ) -> tuple[list[OrderSummary], dict[str, str] | None]:
        """Return a user's orders, newest first, and the position of the next page.

        Without a status, all orders that were placed. A page of one status can hold fewer orders than ``limit``, or
        none, and not be the last. Eventually consistent, as the indexes are.
        """
        request: Any = {
            "IndexName": index_of(status),
            "KeyConditionExpression": "userId = :userId",
            "ExpressionAttributeValues": {":userId": {"S": user_id}},
        }
        if status:
            request["FilterExpression"] = "#status = :status"
            request["ExpressionAttributeNames"] = {"#status": "status"}
            request["ExpressionAttributeValues"][":status"] = {"S": status}
        if after:
            request["ExclusiveStartKey"] = to_item({**after, "userId": user_id})
        response = self._client.query(TableName=self._table, ScanIndexForward=False, Limit=limit, **request)
        summaries = [OrderSummary.model_validate(from_item(item)) for item in response["Items"]]
        last = response.get("LastEvaluatedKey")
        return summaries, from_item(last) if last else None

    def page_of(
        self, user_id: str, limit: int, after: Mapping[str, str] | None = None
    ) -> tuple[list[str], dict[str, str] | None]:
        """Return the ids of a page of all of a user's orders, the placed ones first, and the position of the next page.

        A page has up to ``limit`` orders of each of the two indexes. Eventually consistent, as they are.
        """
        found: list[str] = []
        for status in (None, Status.PENDING):
            if after and position_key(status) not in after:
                continue
            start: Any = {"ExclusiveStartKey": to_item({**after, "userId": user_id})} if after else {}
            response = self._client.query(
                TableName=self._table,
                IndexName=index_of(status),
                KeyConditionExpression="userId = :userId",
                ExpressionAttributeValues={":userId": {"S": user_id}},
                Limit=limit,
                **start,
            )
            found += [item["orderId"]["S"] for item in response["Items"]]
            if last := response.get("LastEvaluatedKey"):
                return found, from_item(last)
            after = None
        return found, None

    def pages_of(self, user_id: str) -> Iterator[list[str]]:
        """Yield the ids of all of a user's orders, page by page."""
        order_ids, position = self.page_of(user_id, aws.KEYS_PER_READ)
        yield order_ids
        while position:
            order_ids, position = self.page_of(user_id, aws.KEYS_PER_READ, position)
            yield order_ids

    def scan_old(
        self, before: str, limit: int, after: Mapping[str, str] | None = None
    ) -> tuple[list[str], dict[str, str] | None]:
        """Return the ids of orders with personal data that were placed before a time, and where to continue.

        Of the ``limit`` orders that are read, in the table's own order.
        """
        start: Any = {"ExclusiveStartKey": to_item(after)} if after else {}
        response = self._client.scan(
            TableName=self._table,
            FilterExpression=_OLD,
            ExpressionAttributeValues=to_item({":before": before}),
            ProjectionExpression="orderId",
            Limit=limit,
            **start,
        )
        last = response.get("LastEvaluatedKey")
        return [item["orderId"]["S"] for item in response["Items"]], from_item(last) if last else None

    def reserve(self, order: Order, shards: Mapping[str, int], verified_email: str | None, deadline: Deadline) -> None:
        """Store a PENDING order, take its stock and count it for its user, all or nothing.

        ``shards`` is the number of stock shards of the products that have any, as the order's prices were read.
        The customer must have an e-mail address. One without any gets ``verified_email``, the address in the token.

        Raises
        ------
        OrderExists
            If the order exists; this is decided before anything else.
        CustomerUnreachable
            If the customer has no address, or mail to it bounced or was complained about, or the customer is erased.
        LimitReached
            If the user has placed too many orders in this hour, or had too many declined.
        ReservationFailed
            If a product is missing, delisted, short, or has another name, price or number of shards.
        TransactionConflict
            If other writers kept changing the same products, or no time is left.
        """
        aws.until_written(lambda: self._try_reserve(order, shards, verified_email, deadline), deadline)

    def _try_reserve(
        self, order: Order, shards: Mapping[str, int], verified_email: str | None, deadline: Deadline
    ) -> bool:
        """Write the reservation, with units from wherever they are. Return False if that conflicts with other orders.

        The next try begins with another shard: the units for which many compete may be gone, and others left.
        """
        picks = {line.sku: stock.first_pick(line, shards.get(line.sku)) for line in order.lines}
        for _ in range(_PICKS):
            if deadline.remaining() < aws.LONGEST_CALL:
                break
            try:
                return self._try_picks(order, shards, picks, verified_email)
            except ReservationFailed as refused:
                picks |= self._pick_again(order, shards, picks, refused.products, deadline)
        raise TransactionConflict("others kept taking the same units, or no time was left; nothing was written")

    def _try_picks(
        self, order: Order, shards: Mapping[str, int], picks: Mapping[str, stock.Pick], verified_email: str | None
    ) -> bool:
        """Write the reservation with the given picks from the products' items. Return False after a conflict."""
        item = order.dump() | {"unfinished": self.shard(order.order_id)}
        takes = [
            (line.sku, write)
            for line in order.lines
            for write in stock.takes(self._products, line, shards.get(line.sku), picks[line.sku])
        ]
        writes = [
            put_new(self._table, item, "orderId"),
            self._reaching(order, verified_email),
            *(write for _, write in takes),
            *self._limits.reserving(order.user_id),
        ]
        try:
            return aws.try_write(self._client, writes)
        except aws.ConditionFailed as failed:
            existing = self._aggregate(failed.images.get(0))
            if existing is None:
                raise self._refusal([sku for sku, _ in takes], failed.images) from failed
            # Our own attempt id means that an earlier try of this write succeeded, and its answer was lost.
            if not existing.took(order.attempt_id):
                raise OrderExists(existing) from failed
            return True

    def _pick_again(
        self,
        order: Order,
        shards: Mapping[str, int],
        picks: Mapping[str, stock.Pick],
        refused: Mapping[str, Product | None],
        deadline: Deadline,
    ) -> dict[str, stock.Pick]:
        """Return other picks from the shards of refused products, which have units elsewhere.

        Raises `ReservationFailed` if that cannot help.
        """
        lines = [line for line in order.lines if line.sku in refused and _has_shards(shards, refused, line.sku)]
        found = stock.read_for(self._client, self._products, lines, deadline) if lines else {}
        known = {line.sku: found[line.sku].whole if line.sku in found else None for line in lines}
        if len(lines) < len(refused) or not all(_is_as_ordered(line, known[line.sku], shards) for line in lines):
            raise ReservationFailed({**refused, **known})
        most = stock.most_items(len(order.lines))
        again = {line.sku: found[line.sku].pick(line.quantity, next(reversed(picks[line.sku])), most) for line in lines}
        # No pick now, of units that are there: shards are closed or get another price at the moment.
        return {sku: pick or picks[sku] for sku, pick in again.items()}

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
        update.set("expiresAt", expires_at).set("dueAt", due_at).set("unplacedSince", order.listed_since)
        current = self._write_unchanged(update, deadline)
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
            update = self.versioned(order).set("leaseUntil", 0).set("unplacedSince", order.listed_since)
            current = self._write_unchanged(update, deadline)
        except (ConcurrentUpdate, TransactionConflict, *aws.ERRORS) as error:
            logger.info("lease not released; it will expire", order_id=order.order_id, exc_info=error)
        else:
            if current and current.lease_until:
                logger.info("lease not released; another attempt has it", order_id=order.order_id)

    def keep_pending(self, order: Order, due_at: int, deadline: Deadline) -> None:
        """Set when the sweeper looks at a PENDING order again (epoch milliseconds), and list it for its customer.

        Raises
        ------
        ConcurrentUpdate
            If the order has changed since it was read.
        TransactionConflict
            If other writers kept changing it, or no time is left.
        """
        update = self.versioned(order).set("dueAt", due_at).set("unplacedSince", order.listed_since)
        if current := self._write_unchanged(update, deadline):
            raise ConcurrentUpdate(current)

    def transition(self, step: OrderTransition, deadline: Deadline) -> Order:
        """Write a transition with the stock, the shipment and the counts that change with it.

        See `AggregateStore.write`.
        """
        others = [stock.restocks(self._products, sku, quantity) for sku, quantity in step.restock.items()]
        if step.shipment:
            others.append(put(self._shipments, step.shipment.dump()))
        if step.closes_shipment:
            others.append(delete(self._shipments, {"orderId": step.after.order_id}))
        if step.releases_shipment:
            others.append(self._releasing(step.after.order_id))
        others += self._limits.counting(step.after.user_id, step.counts)
        if step.after.status is Status.REJECTED and step.before.status is not Status.REJECTED:
            expiring = {"expire_at": step.at // 1000 + self._rejected_kept_for}
            step = replace(step, after=step.after.model_copy(update=expiring))
        return self.write(step, deadline, others)

    def _update(self, step: Transition[Order], seen: Order) -> Update:
        """Return the update that writes a step. Placing the order puts it on the list for programs, for good.

        And it removes the order from the index of unplaced ones, which can list it since it was read.
        """
        update = super()._update(step, seen)
        order = step.after
        if order.placed_at and not step.before.placed_at:
            keys = order_list.keys(order.order_id, order.placed_at, self._list_shards)
            update.set("timeBucket", keys.bucket).set("timeEntry", keys.entry)
            if step.before.unplaced_since is None:
                update.remove("unplacedSince")
        return update

    def counts_of(self, user_id: str) -> list[dict[str, Any]]:
        """Return a user's hourly counts as they are stored, oldest first."""
        return self._limits.counted(self._client, user_id)

    def forget_counts(self, user_id: str, deadline: Deadline) -> None:
        """Delete a user's hourly counts. Not within the hour that they are about: its limits would begin again."""
        self._limits.forget(self._client, user_id, deadline)

    def note_mail_problem(self, order_id: str, problem: EmailProblem) -> None:
        """Record why a mail about the order could not be sent. No step of the order: its sequence stays."""
        update = Update(self._table, {"orderId": order_id}).set("mailProblem", problem)
        self._client.update_item(**update.when(Attr("orderId").exists()).members())

    def _write_unchanged(self, update: Update, deadline: Deadline) -> Order | None:
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

    def _refusal(self, skus: Sequence[str], images: Mapping[int, Mapping[str, Any]]) -> Exception:
        """Return why a new order was not stored.

        Its items are the order, the customer, those of the products ``skus``, the counts.
        """
        customer, counts = images.get(1), images.get(2 + len(skus))
        if customer is not None:
            return CustomerUnreachable(_address_problem(customer))
        if counts is not None:
            return self._limits.reached(counts)
        return ReservationFailed(_refused(skus, images))

    def _reaching(self, order: Order, verified_email: str | None) -> "TransactWriteItemTypeDef":
        """Check that the customer can get mail; store the address of the token for one who has none."""
        key = {"userId": order.user_id}
        reachable = Attr("emailProblem").not_exists() & Attr("erasingSince").not_exists()
        reachable &= Attr("erasedAt").not_exists()
        if verified_email is None:
            return check(self._customers, key, Attr("email").exists() & reachable)
        customer = Update(self._customers, key).set_default("email", verified_email)
        return customer.set_default("name", order.shipping_address.name).when(reachable).write()


def index_of(status: Status | None) -> str:
    """Return the index that lists a user's orders with a status; its sort key is `position_key`."""
    return "unplaced" if status in (Status.PENDING, Status.REJECTED) else "byUser"


def position_key(status: Status | None) -> str:
    """Return the attribute that, with the order's id, is a position in the list of orders with a status."""
    return "unplacedSince" if index_of(status) == "unplaced" else "placedAt"


def connect(client: "DynamoDBClient", settings: Settings) -> OrderStore:
    """Return the orders of this deployment."""
    return OrderStore(
        client,
        orders=settings.orders_table,
        products=settings.products_table,
        customers=settings.customers_table,
        shipments=settings.shipments_table,
        limits=Limits(settings.limits_table, settings.orders_per_hour, settings.declines_per_hour),
        rejected_days=settings.rejected_days,
        shards=settings.unfinished_shards,
        list_shards=settings.order_list_shards,
    )


def _refused(skus: Sequence[str], images: Mapping[int, Mapping[str, object]]) -> dict[str, Product | None]:
    """Return the products whose condition failed; their items follow the order and the customer in the transaction."""
    failed = {sku: images[n] for n, sku in enumerate(skus, start=2) if n in images}
    return {sku: parse_or_log(Product, image, "sku") if _is_product(image) else None for sku, image in failed.items()}


def _is_product(image: Mapping[str, object]) -> bool:
    return bool(image) and not stock.is_shard(str(image["sku"]))


def _has_shards(shards: Mapping[str, int], refused: Mapping[str, Product | None], sku: str) -> bool:
    product = refused[sku]
    return sku in shards or bool(product and product.shards)


def _is_as_ordered(line: Line, product: Product | None, shards: Mapping[str, int]) -> bool:
    """Return whether a product is on sale as the line says, with enough units and as many shards."""
    if product is None or not product.listed or product.available < line.quantity:
        return False
    terms = (product.name, product.unit_price, product.shards)
    return terms == (line.name, line.unit_price, shards.get(line.sku))


def _address_problem(customer: Mapping[str, object]) -> AddressProblem:
    """Return why a customer, as stored, cannot be written to; empty if there is none."""
    if "erasingSince" in customer or "erasedAt" in customer:
        return "erased"
    match customer.get("emailProblem"):
        case "bounced" | "complained" as problem:
            return cast("AddressProblem", problem)
        case _:
            return "missing"
