"""The states of an order, and the only ways from one to the next.

    PENDING -> PLACED -> PREPARED
       |          `----> CANCELLED
       `-> REJECTED

Each function returns a `Transition`: the order before and after, and what has to be written together with it. It is
a decision only; `OrderStore.transition` writes it, all or nothing, if the order is still as it was before.
"""

from dataclasses import dataclass

from handoff import ids
from handoff.aggregate import HistoryEntry, OutboxEntry
from handoff.clock import to_iso
from shop import events
from shop.events import DetailType
from shop.model import Order, Payment, PaymentDue, PaymentState, Shipment, Status

DECLINED = "declined"
EXPIRED = "expired"

_NEXT = {
    Status.PENDING: {Status.PLACED, Status.REJECTED},
    Status.PLACED: {Status.PREPARED, Status.CANCELLED},
}


class NotPossible(Exception):
    """The order is in a state that this step does not leave from."""

    def __init__(self, order: Order, target: Status) -> None:
        super().__init__(f"order {order.order_id} is {order.status} and cannot become {target}")
        self.order = order


@dataclass(frozen=True, slots=True)
class Transition:
    """One step of an order, with what belongs to it: stock given back, the shipment's row."""

    id: str
    before: Order
    after: Order
    restocks: bool = False
    shipment: Shipment | None = None


def placed(order: Order, reference: str, now: int, hold_expires_at: int | None = None) -> Transition:
    """The payment is authorised: the order stands."""
    return _step(
        order,
        Status.PLACED,
        now,
        event=DetailType.ORDER_PLACED,
        payment=Payment(state=PaymentState.AUTHORIZED, reference=reference, expires_at=hold_expires_at),
        placed_at=to_iso(now),
    )


def declined(order: Order, reason: str, now: int) -> Transition:
    """The payment is declined for good: the stock goes back, and nothing is left to do."""
    payment = Payment(state=PaymentState.FAILED, reason=reason)
    return _step(order, Status.REJECTED, now, reason=DECLINED, payment=payment, restocks=True)


def expired(order: Order, now: int) -> Transition:
    """Nobody finished the order in time: the stock goes back, and a hold that may exist is to be voided."""
    due = PaymentDue(action="void", since=now)
    return _step(order, Status.REJECTED, now, reason=EXPIRED, payment_due=due, restocks=True)


def cancelled(order: Order, now: int) -> Transition:
    """The customer changed their mind in time: the stock goes back, the hold is to be voided."""
    due = PaymentDue(action="void", since=now)
    return _step(order, Status.CANCELLED, now, event=DetailType.ORDER_CANCELLED, payment_due=due, restocks=True)


def prepared(order: Order, now: int) -> Transition:
    """The shipment is packed: it cannot be cancelled any more, and is to be paid."""
    return _step(
        order,
        Status.PREPARED,
        now,
        event=DetailType.SHIPMENT_PREPARED,
        payment_due=PaymentDue(action="capture", since=now),
        shipment=Shipment(
            order_id=order.order_id, lines=order.lines, address=order.shipping_address, prepared_at=to_iso(now)
        ),
    )


def _step(
    order: Order,
    target: Status,
    now: int,
    *,
    event: DetailType | None = None,
    reason: str | None = None,
    payment: Payment | None = None,
    payment_due: PaymentDue | None = None,
    placed_at: str | None = None,
    restocks: bool = False,
    shipment: Shipment | None = None,
) -> Transition:
    if target not in _NEXT.get(order.status, ()):
        raise NotPossible(order, target)
    sequence = order.sequence + 1
    transition_id = ids.unique()
    entry = HistoryEntry(sequence=sequence, status=target, at=to_iso(now), transition_id=transition_id, reason=reason)
    outbox = dict(order.outbox)
    if event:
        outbox[str(sequence)] = _event(order, event, sequence, now)
    after = order.model_copy(
        update={
            "status": target,
            "sequence": sequence,
            "history": (*order.history, entry),
            "outbox": outbox,
            "payment": payment or order.payment,
            "payment_due": payment_due,
            "placed_at": placed_at or order.placed_at,
        }
    )
    return Transition(transition_id, order, after, restocks=restocks, shipment=shipment)


def _event(order: Order, detail_type: DetailType, sequence: int, now: int) -> OutboxEntry:
    return events.outbox_entry(
        detail_type,
        order_id=order.order_id,
        user_id=order.user_id,
        sequence=sequence,
        at=now,
        correlation_id=order.correlation_id,
    )
