"""The critical path: the steps of placing an order while the customer waits."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from math import ceil
from typing import NoReturn

from handoff import tracing
from handoff.bus import LONGEST_PUBLISH, Bus
from handoff.clock import Deadline, now_ms, to_iso
from handoff.errors import ConcurrentUpdate, TransactionConflict
from handoff.ids import unique_step
from handoff.outbox import announce
from handoff.store import LONGEST_CALL
from handoff.telemetry import logger, timed
from handoff.unfinished import SWEEP_AFTER
from shop import countries, errors, ids, payments, transitions
from shop.catalog import Catalog
from shop.fingerprint import Fingerprint
from shop.limits import LimitReached
from shop.model import MAX_TOTAL, Address, Line, Order, OrderStep, Payment, Product, Status
from shop.order_store import CustomerUnreachable, OrderExists, OrderStore, ReservationFailed
from shop.payments import ActionRequired, Authorized, Declined, Payments, ProviderError
from shop.settlement import ask_for_hold
from shop.transitions import OrderTransition

DEADLINE = 20.0  # seconds for a whole request; the function's timeout is 25 s, HTTP API's 30 s
LEASE = 25_000  # ms: no attempt outlives its function's timeout
EXPIRES_AFTER = 600_000  # ms after its last attempt, a PENDING order expires
LOOK_AFTER = 120_000  # ms after which the sweeper looks whether the customer has acted
_PRICING_TRIES = 3
BUSY = "Too many concurrent updates."
NO_ANSWER = "The payment provider did not respond."
_SLOW = "The request ran out of time."


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The stores and clients that placing and cancelling an order need.

    ``action_expires_after`` is the time that a customer has to act at the payment provider, in milliseconds.
    ``ships_to`` are the countries that the shop ships to, empty for all.
    """

    catalog: Catalog
    orders: OrderStore
    payments: Payments
    bus: Bus
    currency: str
    action_expires_after: int
    ships_to: Set[str]


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """A validated request to place an order. ``quantities`` by sku; ``expected_total`` in minor units.

    ``can_act`` says whether the customer's page lets the customer confirm the payment at the provider.
    ``verified_email`` is the user's address as the issuer of the token has verified it.
    """

    user_id: str
    verified_email: str | None
    idempotency_key: str
    quantities: dict[str, int]
    shipping_address: Address
    payment_token: str
    can_act: bool
    expected_total: int | None
    fingerprint: Fingerprint
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


class ActionNeeded(Exception):
    """The customer has to act at the payment provider until ``order.expires_at``.

    ``client_secret`` is for the customer's page only.
    """

    def __init__(self, order: Order, client_secret: str) -> None:
        super().__init__(f"the customer has to act on the payment of order {order.order_id}")
        self.order = order
        self.client_secret = client_secret


def place_order(shop: Dependencies, placement: PlaceOrder, deadline: Deadline) -> Order:
    """Place an order, and measure each step.

    Raises
    ------
    DuplicateRequest
        If the same key has had its outcome, or its order waits for the customer: `shop.confirming` finishes that.
    ActionNeeded
        If the customer has to act first.
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
            _check_address(shop, placement.shipping_address)
            order = price(shop, placement, deadline)
        except (errors.AddressRefused, errors.UnknownProducts, errors.TotalTooLarge, errors.TotalChanged):
            earlier = shop.orders.get(placement.order_id)
            if earlier is None:
                raise
            return resume(shop, earlier, placement, deadline)
        try:
            shards = shop.catalog.shards_of(placement.quantities)
            shop.orders.reserve(order, shards, placement.verified_email, deadline)
            return order
        except OrderExists as repeat:
            return resume(shop, repeat.order, placement, deadline)
        except ReservationFailed as refused:
            _name_shortages(order, refused.products)
            shop.catalog.learn(refused.products)  # the name, the price or the listing is not that of the copy any more
        except CustomerUnreachable as unreachable:
            raise errors.NoAddress(unreachable.problem) from unreachable
        except LimitReached as reached:
            raise errors.TooManyOrders(reached.retry_after, declined=reached.counted == "declines") from reached
        except TransactionConflict as error:
            raise errors.TryLater(placement.order_id, BUSY) from error
    raise errors.TryLater(placement.order_id, BUSY)


def price(shop: Dependencies, placement: PlaceOrder, deadline: Deadline) -> Order:
    """Return the order at current prices, not stored yet."""
    order = _priced(shop, placement, deadline)
    # The copies can be older than the prices that the customer has seen.
    if placement.expected_total not in (None, order.total) and shop.catalog.refresh(placement.quantities, deadline):
        order = _priced(shop, placement, deadline)
    if placement.expected_total not in (None, order.total):
        raise errors.TotalChanged(order.total, shop.currency)
    if order.total > MAX_TOTAL:
        raise errors.TotalTooLarge(order.total, MAX_TOTAL)
    return order


def resume(shop: Dependencies, earlier: Order, placement: PlaceOrder, deadline: Deadline) -> Order:
    """Resume the unfinished order for this idempotency key, under our lease."""
    if not placement.fingerprint.matches(earlier):
        raise errors.KeyReused()
    now = now_ms()
    if earlier.status is not Status.PENDING or earlier.waits_for_customer or earlier.lease_until > now:
        raise _ended(earlier)
    try:
        return shop.orders.acquire_lease(
            earlier,
            unique_step(),
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
        raise errors.TryLater(order.order_id, NO_ANSWER) from error
    if isinstance(answer, Declined):
        reject(shop, order, answer, deadline)
    if isinstance(answer, ActionRequired):
        wait_for_customer(shop, order, answer, deadline)
    return answer


def wait_for_customer(shop: Dependencies, order: Order, answer: ActionRequired, deadline: Deadline) -> NoReturn:
    """Keep the order PENDING, with its stock reserved, until the customer has acted or the time is over."""
    now = now_ms()
    until = now + shop.action_expires_after
    step = transitions.action_required(order, answer.reference, now, until=until, look_at=now + LOOK_AFTER)
    raise ActionNeeded(_write(shop, step, deadline), answer.client_secret)


def reject(shop: Dependencies, order: Order, answer: Declined, deadline: Deadline) -> NoReturn:
    """Reject the order and restock its products."""
    _write(shop, transitions.declined(order, answer.reason, now_ms()), deadline)
    raise errors.PaymentDeclined(order.order_id, answer.reason)


def commit(shop: Dependencies, order: Order, hold: Authorized, deadline: Deadline) -> Order:
    """Place the order; its event goes into the outbox in the same write."""
    return _write(shop, transitions.placed(order, hold.reference, now_ms(), hold.expires_at), deadline)


def publish(shop: Dependencies, order: Order, deadline: Deadline) -> None:
    """Publish the event. If this fails, the sweeper publishes it later."""
    announce(shop.orders, shop.bus, order, deadline)


def replay_response(order: Order) -> Order:
    """Replay the original response for a completed idempotency key: return the order, or raise its error."""
    if order.status is Status.REJECTED:
        match order.status_changes[-1].reason:
            case transitions.EXPIRED:
                raise errors.OrderExpired(order.order_id)
            case transitions.ABANDONED:
                raise errors.OrderAbandoned(order.order_id)
            case _:
                raise errors.PaymentDeclined(order.order_id, order.payment.reason or "")
    return order


def in_progress(order: Order) -> errors.InProgress:
    """Return the error for a PENDING order that another attempt works on, or its customer, with the longest wait."""
    until = order.expires_at if order.waits_for_customer else order.lease_until
    return errors.InProgress(order.order_id, retry_after=max(1, ceil((until - now_ms()) / 1000)))


def _write(shop: Dependencies, step: OrderTransition, deadline: Deadline) -> Order:
    """Write a step of an order that this attempt works on."""
    order = step.before
    try:
        return shop.orders.transition(step, deadline)
    except ConcurrentUpdate as overtaken:
        raise _ended_by(overtaken, order) from overtaken
    except TransactionConflict as error:
        shop.orders.release_lease(order, deadline)
        raise errors.TryLater(order.order_id, BUSY) from error


def _ended(order: Order) -> Exception:
    """Return the exception for an order that this attempt may not resume."""
    is_in_progress = order.status is Status.PENDING and not order.waits_for_customer
    return in_progress(order) if is_in_progress else DuplicateRequest(order)


def _ended_by(overtaken: ConcurrentUpdate, order: Order) -> Exception:
    if overtaken.current is None:
        return errors.TryLater(order.order_id, "The order no longer exists.")
    return _ended(overtaken.current)


def _check_address(shop: Dependencies, address: Address) -> None:
    wrong = countries.problems_of(address, shop.ships_to)
    if wrong:
        raise errors.AddressRefused(wrong)


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


def _priced(shop: Dependencies, placement: PlaceOrder, deadline: Deadline) -> Order:
    products = shop.catalog.on_sale(placement.quantities, deadline)
    unknown = [sku for sku, product in products.items() if product is None]
    if unknown:
        raise errors.UnknownProducts(unknown)
    lines = tuple(
        Line(sku=product.sku, name=product.name, quantity=placement.quantities[sku], unit_price=product.unit_price)
        for sku, product in products.items()
        if product
    )
    return _pending(placement, lines, sum(line.quantity * line.unit_price for line in lines), shop.currency)


def _pending(placement: PlaceOrder, lines: tuple[Line, ...], total: int, currency: str) -> Order:
    now = now_ms()
    attempt_id = unique_step()
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
        can_act=placement.can_act,
        request_hash=placement.fingerprint.legacy,
        fingerprint=placement.fingerprint.value,
        correlation_id=placement.correlation_id,
        attempt_id=attempt_id,
        lease_until=now + LEASE,
        expires_at=now + EXPIRES_AFTER,
        due_at=now + SWEEP_AFTER,
        unfinished_since=now,
        trace=tracing.current(),
    )
