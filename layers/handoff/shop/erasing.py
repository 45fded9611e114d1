"""Erasing a customer's personal data: the profile, and that of orders, shipments and limits. The amounts stay.

It begins with a step of the customer, which removes the profile and keeps new orders from being accepted. The sweeper
does the rest, and repeats it after a crash: each order is erased in one write of its own, which takes it out of the
indexes of the customer's orders. They are eventually consistent, so the sweeper looks again `LAST_LOOK_AFTER` later.
Then the customer's own item keeps nothing but the id, the sequence and the time.
"""

from collections.abc import Iterator

from handoff.bus import Bus
from handoff.clock import Deadline, from_iso, now_ms
from handoff.errors import TransientError
from handoff.outbox import announce
from handoff.store import LONGEST_CALL
from handoff.telemetry import logger
from shop import transitions
from shop.customers import CustomerStore
from shop.errors import OpenOrders, OpenReason, ProfileBusy
from shop.model import Cancellation, Customer, Order, Status
from shop.order_store import OrderStore
from shop.shipment_store import ShipmentStore

# ms from the beginning to the last look. By then the indexes have long been consistent, and the hour is over whose
# limits an earlier end would reset.
LAST_LOOK_AFTER = 3_600_000
_SOON = 120_000  # ms: a payment that is void soon, or a request that ends soon
_LATER = 3_600_000  # ms: a refund, a dispute or a shipment can take days
_SECONDS = 10.0  # of a sweep, for one customer
_CUSTOMER = Cancellation(by="customer")


class NotErasable(TransientError):
    """Some orders of the customer cannot be read, so it is not known whether they can be erased."""


def open_reason(order: Order) -> OpenReason | None:
    """Return why an order keeps its customer's data from being erased: it is under way, and cannot be cancelled."""
    if order.dispute and order.dispute.state == "open":
        return "dispute"
    if order.payment_due and order.payment_due.action == "refund":
        return "refund"
    if not order.is_packed or order.released:
        return None
    is_due = order.payment_due is not None
    return "not shipped" if is_due or order.refundable else None


def begin(
    customers: CustomerStore, orders: OrderStore, user_id: str, correlation_id: str, deadline: Deadline
) -> tuple[Customer, list[Order]]:
    """Begin to erase a user's data; return the customer, and the orders that can be cancelled first. Idempotent.

    Raises
    ------
    OpenOrders
        If orders are under way.
    ProfileBusy
        If others keep changing the customer, or no time is left.
    TransactionConflict
        If no time is left.
    """
    customer = customers.get(user_id)
    if customer and customer.erasing_since:
        return customer, []
    has_orders, cancellable = False, []
    reasons: dict[str, OpenReason] = {}
    for order in _orders_of(orders, user_id):
        if deadline.remaining() < 2 * LONGEST_CALL:
            raise ProfileBusy()
        has_orders = True
        if reason := open_reason(order):
            reasons[order.order_id] = reason
        elif order.status in (Status.PENDING, Status.PLACED):
            cancellable.append(order)
    if reasons:
        raise OpenOrders(reasons)
    if customer and customer.erased_at and not has_orders:
        return customer, []
    begun = customers.begin_erasure(user_id, now=now_ms(), correlation_id=correlation_id, deadline=deadline)
    return begun, cancellable


class OrderEraser:
    """Erases the personal data of orders and their shipments."""

    def __init__(self, orders: OrderStore, shipments: ShipmentStore) -> None:
        self._orders = orders
        self._shipments = shipments

    def erase(self, order: Order) -> int:
        """Erase an order if it has ended. Return how long to wait until it may have, in ms; 0 if it is erased.

        Raises
        ------
        ConcurrentUpdate, TransactionConflict
            If other writers were faster.
        """
        is_void_due = order.payment_due is not None and order.payment_due.action == "void"
        if order.status in (Status.PENDING, Status.PLACED) or is_void_due or order.outbox:
            return _SOON
        if reason := open_reason(order):
            logger.info("order not erased yet", order_id=order.order_id, reason=reason, outcome="rescheduled")
            return _LATER
        erased = transitions.erased(order, now_ms())
        self._shipments.readdress(order.order_id, erased.after.shipping_address)
        self._orders.transition(erased, Deadline(_SECONDS))
        logger.info("order erased", order_id=order.order_id, outcome="erased")
        return 0


class CustomerEraser:
    """Erases customers' data during one sweep; `finish` is the callback of `handoff.sweep.Swept`."""

    def __init__(self, customers: CustomerStore, orders: OrderStore, eraser: OrderEraser, bus: Bus) -> None:
        self._customers = customers
        self._orders = orders
        self._eraser = eraser
        self._bus = bus
        self.erased = 0

    def finish(self, customer: Customer) -> None:
        """Erase what can be erased now, and wait for the rest.

        Raises
        ------
        ConcurrentUpdate, ConditionFailed, TransientError
            If another writer was faster, or orders cannot be read.
        """
        if customer.outbox or customer.erasing_since is None:
            return  # its events are published first, and the next sweep continues
        wait = self._erase_orders(customer.user_id)
        now = now_ms()
        if wait is None:
            wait = max(0, from_iso(customer.erasing_since) + LAST_LOOK_AFTER - now)
            if not wait:
                self._end(customer, now)
                return
        self._customers.unfinished.wait(customer.user_id, now + wait)

    def _erase_orders(self, user_id: str) -> int | None:
        """Erase the orders of a user that have ended. Return how long to wait for the others, in ms; None if none."""
        deadline, waits = Deadline(_SECONDS), []
        for order in _orders_of(self._orders, user_id):
            if deadline.remaining() <= 0:
                return 0  # the next sweep continues
            if order.status in (Status.PENDING, Status.PLACED):
                self._cancel(order)
                waits.append(_SOON)
            elif wait := self._eraser.erase(order):
                waits.append(wait)
        return min(waits, default=None)

    def _cancel(self, order: Order) -> None:
        """Cancel an order, or reject it if it was never placed, unless a request works on it."""
        now, deadline = now_ms(), Deadline(_SECONDS)
        if order.status is Status.PLACED:
            step = transitions.cancelled(order, _CUSTOMER, now)
        elif order.lease_until <= now:
            step = transitions.abandoned(order, _CUSTOMER, now)
        else:
            return
        announce(self._orders, self._bus, self._orders.transition(step, deadline), deadline)

    def _end(self, customer: Customer, now: int) -> None:
        deadline = Deadline(_SECONDS)
        self._orders.forget_counts(customer.user_id, deadline)
        erased = self._customers.finish_erasure(customer, now, deadline)
        self.erased += 1
        logger.info("customer erased", outcome="erased")
        announce(self._customers, self._bus, erased, deadline)


def _orders_of(orders: OrderStore, user_id: str) -> Iterator[Order]:
    """Yield the orders of a user as they are now.

    Raises
    ------
    NotErasable
        If some of them cannot be read. The log names them.
    """
    for order_ids in orders.pages_of(user_id):
        found, unreadable = orders.look_up(order_ids)
        yield from (order for order in found.values() if order.user_id == user_id)
        if unreadable:
            raise NotErasable(f"orders not readable: {', '.join(sorted(unreadable))}")
