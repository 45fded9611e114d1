"""The critical path: the steps of placing an order while the customer waits."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import NoReturn

from handoff.bus import LONGEST_PUBLISH, Bus
from handoff.clock import Deadline, now_ms, to_iso
from handoff.errors import ConcurrentUpdate, TransactionConflict
from handoff.ids import unique
from handoff.outbox import announce
from handoff.store import LONGEST_CALL
from handoff.telemetry import logger, timed
from handoff.unfinished import SWEEP_AFTER
from shop import errors, ids, payments, transitions
from shop.catalog import Catalog
from shop.model import Address, Line, Order, OrderStep, Payment, Product, Status
from shop.order_store import OrderExists, OrderStore, ReservationFailed
from shop.payments import Authorized, Declined, Payments, ProviderError
from shop.settlement import ask_for_hold

DEADLINE = 20.0  # seconds for a whole request; the function's timeout is 25 s, HTTP API's 30 s
LEASE = 25_000  # ms: no attempt outlives its function's timeout
EXPIRES_AFTER = 600_000  # ms after its last attempt, a PENDING order expires
_PRICING_TRIES = 3
BUSY = "Too many concurrent updates."
_SLOW = "The request ran out of time."


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The stores and clients that placing and cancelling an order need."""

    catalog: Catalog
    orders: OrderStore
    payments: Payments
    bus: Bus
    currency: str


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """A customer's wish, validated. ``quantities`` by sku; ``expected_total`` in minor units."""

    user_id: str
    idempotency_key: str
    quantities: dict[str, int]
    shipping_address: Address
    payment_token: str
    expected_total: int | None
    request_hash: str
    correlation_id: str

    @property
    def order_id(self) -> str:
        """The id of the order that comes of it."""
        return ids.order_id(self.user_id, self.idempotency_key)


class DuplicateRequest(Exception):
    """The idempotency key has its outcome already; `replay_response` turns ``order`` into the original response."""

    def __init__(self, order: Order) -> None:
        super().__init__(f"order {order.order_id} is {order.status}")
        self.order = order


def place_order(shop: Dependencies, placement: PlaceOrder, deadline: Deadline) -> Order:
    """Place an order, and measure each step.

    Raises
    ------
    DuplicateRequest
        If the same key has had its outcome.
    errors.RequestError
        One of its subclasses, for every other outcome.
    """
    with timed("ReserveTime"):
        order = reserve(shop, placement, deadline)
    with timed("AuthoriseTime"):
        hold = authorize(shop, order, deadline)
    with timed("CommitTime"):
        order = commit(shop, order, hold, deadline)
    with timed("PublishTime"):
        publish(shop, order, deadline)
    return order


def reserve(shop: Dependencies, placement: PlaceOrder, deadline: Deadline) -> Order:
    """Price the order and reserve its stock with a new PENDING order, or resume the order that the key has."""
    for _ in range(_PRICING_TRIES):
        if deadline.remaining() < 2 * LONGEST_CALL:  # for the catalog, or for looking up an earlier order
            raise errors.TryLater(placement.order_id, _SLOW)
        try:
            order = price(shop, placement)
        except (errors.UnknownProducts, errors.TotalChanged):
            earlier = shop.orders.get(placement.order_id)
            if earlier is None:
                raise
            return resume(shop, earlier, placement, deadline)
        try:
            shop.orders.reserve(order, deadline)
            return order
        except OrderExists as repeat:
            return resume(shop, repeat.order, placement, deadline)
        except ReservationFailed as refused:
            _name_shortages(order, refused.products)
            shop.catalog.refresh()  # the price or the listing has changed since the catalog copy was read
        except TransactionConflict as error:
            raise errors.TryLater(placement.order_id, BUSY) from error
    raise errors.TryLater(placement.order_id, BUSY)


def price(shop: Dependencies, placement: PlaceOrder) -> Order:
    """Return the order at current prices, not stored yet."""
    products = {sku: shop.catalog.product(sku) for sku in placement.quantities}
    unknown = [sku for sku, product in products.items() if product is None]
    if unknown:
        raise errors.UnknownProducts(unknown)
    lines = tuple(
        Line(sku=product.sku, name=product.name, quantity=placement.quantities[sku], unit_price=product.unit_price)
        for sku, product in products.items()
        if product
    )
    total = sum(line.quantity * line.unit_price for line in lines)
    if placement.expected_total not in (None, total):
        raise errors.TotalChanged(total, shop.currency)
    return _pending(placement, lines, total, shop.currency)


def resume(shop: Dependencies, earlier: Order, placement: PlaceOrder, deadline: Deadline) -> Order:
    """Resume the unfinished order for this idempotency key, under our lease."""
    if earlier.request_hash != placement.request_hash:
        raise errors.KeyReused()
    now = now_ms()
    if earlier.status is not Status.PENDING or earlier.lease_until > now:
        raise _ended(earlier)
    try:
        return shop.orders.acquire_lease(
            earlier,
            unique(),
            lease_until=now + LEASE,
            expires_at=now + EXPIRES_AFTER,
            due_at=now + SWEEP_AFTER,
            deadline=deadline,
        )
    except ConcurrentUpdate as overtaken:
        raise _ended_by(overtaken, earlier) from overtaken
    except TransactionConflict as error:
        raise errors.TryLater(earlier.order_id, BUSY) from error


def authorize(shop: Dependencies, order: Order, deadline: Deadline) -> Authorized:
    """Authorize the total, if the deadline leaves time for it and the commit: a hold without an order is an orphan."""
    if deadline.remaining() < payments.LONGEST_CALL + LONGEST_CALL + LONGEST_PUBLISH:
        logger.warning("no time left to authorize the payment", order_id=order.order_id)
        shop.orders.release_lease(order, deadline)
        raise errors.TryLater(order.order_id, _SLOW)
    try:
        answer = ask_for_hold(shop.payments, order)
    except ProviderError as error:
        logger.warning("payment provider gave no answer", order_id=order.order_id, exc_info=error)
        shop.orders.release_lease(order, deadline)
        raise errors.TryLater(order.order_id, "The payment provider did not respond.") from error
    if isinstance(answer, Declined):
        reject(shop, order, answer, deadline)
    return answer


def reject(shop: Dependencies, order: Order, answer: Declined, deadline: Deadline) -> NoReturn:
    """Reject the order and restock its products."""
    try:
        shop.orders.transition(transitions.declined(order, answer.reason, now_ms()), deadline)
    except ConcurrentUpdate as overtaken:
        raise _ended_by(overtaken, order) from overtaken
    except TransactionConflict as error:
        shop.orders.release_lease(order, deadline)
        raise errors.TryLater(order.order_id, BUSY) from error
    raise errors.PaymentDeclined(order.order_id, answer.reason)


def commit(shop: Dependencies, order: Order, hold: Authorized, deadline: Deadline) -> Order:
    """Place the order; its event goes into the outbox in the same write."""
    try:
        return shop.orders.transition(transitions.placed(order, hold.reference, now_ms(), hold.expires_at), deadline)
    except ConcurrentUpdate as overtaken:
        raise _ended_by(overtaken, order) from overtaken
    except TransactionConflict as error:
        shop.orders.release_lease(order, deadline)
        raise errors.TryLater(order.order_id, BUSY) from error


def publish(shop: Dependencies, order: Order, deadline: Deadline) -> None:
    """Publish the event. If this fails, the sweeper publishes it later."""
    announce(shop.orders, shop.bus, order, deadline)


def replay_response(order: Order) -> Order:
    """Replay the original response for a completed idempotency key: return the order, or raise its error."""
    if order.status is Status.REJECTED:
        reason = order.status_changes[-1].reason
        raise (
            errors.OrderExpired(order.order_id)
            if reason == transitions.EXPIRED
            else errors.PaymentDeclined(order.order_id, order.payment.reason or "")
        )
    return order


def in_progress(order: Order) -> errors.InProgress:
    """Return the error for a PENDING order that another attempt works on, with the longest wait."""
    return errors.InProgress(order.order_id, retry_after=max(1, ceil((order.lease_until - now_ms()) / 1000)))


def _ended(order: Order) -> Exception:
    """Return the exception for an order that this attempt may not resume."""
    return in_progress(order) if order.status is Status.PENDING else DuplicateRequest(order)


def _ended_by(overtaken: ConcurrentUpdate, order: Order) -> Exception:
    if overtaken.current is None:
        return errors.TryLater(order.order_id, "The order no longer exists.")
    return _ended(overtaken.current)


def _name_shortages(order: Order, refused: Mapping[str, Product | None]) -> None:
    """Raise `OutOfStock` if stock is short, rather than a price or a listing outdated."""
    wanted = {line.sku: line.quantity for line in order.lines}
    short = {
        sku: product.available
        for sku, product in refused.items()
        if product and product.listed and product.available < wanted[sku]
    }
    if short:
        raise errors.OutOfStock(short)


def _pending(placement: PlaceOrder, lines: tuple[Line, ...], total: int, currency: str) -> Order:
    now = now_ms()
    attempt_id = unique()
    start = OrderStep(sequence=0, status=Status.PENDING, at=to_iso(now), transition_id=attempt_id)
    return Order(
        order_id=placement.order_id,
        user_id=placement.user_id,
        status=Status.PENDING,
        sequence=0,
        history=(start,),
        lines=lines,
        shipping_address=placement.shipping_address,
        total=total,
        currency=currency,
        payment=Payment(),
        payment_token=placement.payment_token,
        request_hash=placement.request_hash,
        correlation_id=placement.correlation_id,
        attempt_id=attempt_id,
        lease_until=now + LEASE,
        expires_at=now + EXPIRES_AFTER,
        due_at=now + SWEEP_AFTER,
        unfinished_since=now,
    )
