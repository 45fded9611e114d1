"""The states of an order, and the only transitions between them.

    PENDING -> PLACED -> PREPARED
       |          `----> CANCELLED
       `-> REJECTED

Each function returns an `OrderTransition`: the order before and after, and what is written together with it. It is a
decision only. `OrderStore.transition` writes it, all or nothing, if the order is still as it was before. A payment's
changes are steps of their own or part of one, so the history says when money moved.
"""

from dataclasses import dataclass
from typing import Any

from handoff.aggregate import Transition
from handoff.clock import to_iso
from handoff.events import EventType
from shop import events
from shop.model import Order, Payment, PaymentDue, PaymentState, Shipment, Status

DECLINED = "declined"
EXPIRED = "expired"

_NEXT = {
    Status.PENDING: {Status.PLACED, Status.REJECTED},
    Status.PLACED: {Status.PREPARED, Status.CANCELLED},
}


class NotPossible(Exception):
    """The order's state does not allow this transition."""

    def __init__(self, order: Order, target: Status) -> None:
        super().__init__(f"order {order.order_id} is {order.status} and cannot become {target}")
        self.order = order


@dataclass(frozen=True, slots=True)
class OrderTransition(Transition[Order]):
    """One step of an order, with the writes that belong to it: the stock given back, the shipment."""

    restocks: bool = False
    shipment: Shipment | None = None
    releases_shipment: bool = False


def placed(order: Order, reference: str, now: int, hold_expires_at: int | None = None) -> OrderTransition:
    """The payment is authorized, and the order is placed."""
    payment = Payment(state=PaymentState.AUTHORIZED, reference=reference, expires_at=hold_expires_at)
    return _step(order, Status.PLACED, now, event=events.ORDER_PLACED, payment=payment, placed_at=to_iso(now))


def declined(order: Order, reason: str, now: int) -> OrderTransition:
    """The payment is declined for good: the stock goes back, and no work is left."""
    payment = Payment(state=PaymentState.FAILED, reason=reason)
    return _step(order, Status.REJECTED, now, reason=DECLINED, payment=payment, restocks=True, payment_token=None)


def expired(order: Order, now: int) -> OrderTransition:
    """The order was not finished in time: the stock goes back, and a hold that may exist has to be voided."""
    due = PaymentDue(action="void", since=now)
    return _step(order, Status.REJECTED, now, reason=EXPIRED, payment_due=due, restocks=True)


def cancelled(order: Order, now: int) -> OrderTransition:
    """The customer cancelled in time: the stock goes back, and the hold has to be voided."""
    due = PaymentDue(action="void", since=now)
    return _step(order, Status.CANCELLED, now, event=events.ORDER_CANCELLED, payment_due=due, restocks=True)


def prepared(order: Order, now: int) -> OrderTransition:
    """The shipment is packed: the order cannot be cancelled anymore, and the payment has to be captured."""
    shipment = Shipment(
        order_id=order.order_id, lines=order.lines, address=order.shipping_address, prepared_at=to_iso(now)
    )
    due = PaymentDue(action="capture", since=now)
    return _step(order, Status.PREPARED, now, event=events.SHIPMENT_PREPARED, payment_due=due, shipment=shipment)


def settled(order: Order, payment: Payment, now: int) -> OrderTransition:
    """The provider gave its definite answer. A captured payment releases the shipment."""
    captured = payment.state is PaymentState.CAPTURED
    changes = {"payment": payment, "payment_due": None, "payment_token": None}
    step = order.step(order.status, now, payment=payment.state, reason=payment.reason, changes=changes)
    return OrderTransition(step.id, step.before, step.after, releases_shipment=captured)


def _step(
    order: Order,
    target: Status,
    now: int,
    *,
    event: EventType | None = None,
    reason: str | None = None,
    payment: Payment | None = None,
    restocks: bool = False,
    shipment: Shipment | None = None,
    **changes: Any,
) -> OrderTransition:
    if target not in _NEXT.get(order.status, ()):
        raise NotPossible(order, target)
    if payment:
        changes["payment"] = payment
    step = order.step(
        target,
        now,
        event=(event, events.OrderData(order_id=order.order_id, user_id=order.user_id)) if event else None,
        correlation_id=order.correlation_id,
        changes=changes,
        reason=reason,
        payment=payment.state if payment else None,
    )
    return OrderTransition(step.id, step.before, step.after, restocks=restocks, shipment=shipment)
