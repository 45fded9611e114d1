"""The states of an order, and the only transitions between them.

    PENDING -> PLACED -> PREPARED
       |          `----> CANCELLED
       `-> REJECTED (declined | expired | abandoned)

The steps of the payment, of refunds, of disputes and of a return keep the status.

Each function returns an `OrderTransition`: the order before and after, and what is written together with it. It is a
decision only. `OrderStore.transition` writes it, all or nothing, if the order is still as it was before. A payment's
changes are steps of their own or part of one, so the history says when money moved.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from handoff.aggregate import Transition
from handoff.clock import to_iso
from handoff.events import EventType
from handoff.ids import unique
from shop import events, ids
from shop.model import (
    ERASED,
    Address,
    Cancellation,
    Counted,
    Dispute,
    Order,
    Payment,
    PaymentDue,
    PaymentState,
    Refund,
    RefundState,
    ReturnRequest,
    Shipment,
    Status,
)

DECLINED = "declined"
EXPIRED = "expired"
ABANDONED = "abandoned"
PERSONAL_DATA_ERASED = "personal data erased"

# Reasons of payments' steps.
CAPTURED_ELSEWHERE = "captured at the payment provider"
DISPUTED = "the payment is disputed"
REFUNDED_BEFORE = "refunded before the release"
HOLD_LOST = "The payment was cancelled, or its hold has expired."  # shown to the customer

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
    """One step of an order, with the writes that belong to it.

    ``restock`` is the quantity of each product that goes back to the stock. ``shipment`` is written as it is,
    ``closes_shipment`` deletes the one that waits to be packed, and ``releases_shipment`` marks it as paid.
    ``counts`` are added to the user's counts of this hour; see `shop.limits`.
    """

    restock: Mapping[str, int] = field(default_factory=dict)
    shipment: Shipment | None = None
    closes_shipment: bool = False
    releases_shipment: bool = False
    counts: Mapping[Counted, int] = field(default_factory=dict)


def action_required(order: Order, reference: str, now: int, *, until: int, look_at: int) -> OrderTransition:
    """The customer has to act at the provider until ``until``: the stock stays reserved, and no request works on it.

    The sweeper looks at it from ``look_at`` on; all times in epoch milliseconds.
    """
    payment = Payment(state=PaymentState.ACTION_REQUIRED, reference=reference)
    changes = {"payment": payment, "payment_token": None, "lease_until": 0, "expires_at": until}
    waits = {"due_at": min(look_at, until), "unfinished_since": until, "unplaced_since": order.listed_since}
    return _step(order, now, {**changes, **waits}, payment=payment)


def placed(order: Order, reference: str, now: int, hold_expires_at: int | None = None) -> OrderTransition:
    """The payment is authorized, and the order is placed."""
    payment = Payment(state=PaymentState.AUTHORIZED, reference=reference, expires_at=hold_expires_at)
    changes = {"payment": payment, "placed_at": to_iso(now), "unplaced_since": None, **_wait_ended(order, now)}
    return _step(order, now, changes, target=Status.PLACED, event=events.ORDER_PLACED, payment=payment)


def declined(order: Order, reason: str, now: int) -> OrderTransition:
    """The payment is declined for good: the stock goes back.

    No work is left, unless the customer had to act: their page could try again, so the payment has to be voided.
    """
    payment = Payment(state=PaymentState.FAILED, reason=reason, reference=order.payment.reference)
    changes: dict[str, Any] = {"payment": payment, "payment_token": None}
    if order.waits_for_customer:
        changes |= _void_due(order, now)
    return _rejected(order, now, changes, DECLINED, payment=payment, counts={"declines": 1})


def expired(order: Order, now: int) -> OrderTransition:
    """The order was not finished in time: the stock goes back, and a hold that may exist has to be voided."""
    return _rejected(order, now, _void_due(order, now), EXPIRED)


def abandoned(order: Order, cancellation: Cancellation, now: int) -> OrderTransition:
    """The order was cancelled before it was finished: as `expired`, at once."""
    return _rejected(order, now, {**_void_due(order, now), "cancellation": cancellation}, ABANDONED)


def cancelled(order: Order, cancellation: Cancellation, now: int) -> OrderTransition:
    """The order was cancelled in time: the stock goes back, and the hold has to be voided."""
    return _step(
        order,
        now,
        {**_void_due(order, now), "cancellation": cancellation},
        target=Status.CANCELLED,
        event=events.ORDER_CANCELLED,
        restock=_quantities(order),
        closes_shipment=True,
        counts={"orders": 1},  # each cancellation is another mail
    )


def prepared(order: Order, now: int) -> OrderTransition:
    """The shipment is packed: the order cannot be cancelled anymore, and the payment has to be captured."""
    shipment = Shipment(
        order_id=order.order_id, lines=order.lines, address=order.shipping_address, prepared_at=to_iso(now)
    )
    changes = {"payment_due": PaymentDue(action="capture", since=now)}
    return _step(order, now, changes, target=Status.PREPARED, event=events.SHIPMENT_PREPARED, shipment=shipment)


def settled(order: Order, payment: Payment, now: int) -> OrderTransition:
    """The provider gave its definite answer about a capture or a void.

    A captured payment releases the shipment. If the order has ended otherwise, the money goes back. A shipment is not
    released if its payment is disputed, or if a merchant has captured only a part of it or refunded all of it in the
    provider's dashboard.
    """
    if order.status is Status.PREPARED:
        payment = payment.model_copy(update={"reason": payment.reason or _held_back(order, payment)})
    if payment.state is PaymentState.VOIDED and order.payment.state is PaymentState.FAILED:
        # The customer's action had failed: a repeated request is declined for the same reason as before.
        payment = payment.model_copy(update={"reason": order.payment.reason})
    changes: dict[str, Any] = {"payment": payment, "payment_due": _refunds_due(order, now), "payment_token": None}
    if payment.state is not PaymentState.CAPTURED or payment.reason:
        return _step(order, now, changes, payment=payment, reason=payment.reason)
    if order.status is not Status.PREPARED:
        return _captured_without_shipment(order, changes, now)
    return _released(order, now, changes, payment=payment)


def captured_elsewhere(order: Order, captured: int, now: int) -> OrderTransition:
    """A merchant has captured the payment of an order that is not packed yet. Packing it releases the shipment."""
    payment = order.payment.model_copy(update={"state": PaymentState.CAPTURED, "captured": captured})
    reason = _held_back(order, payment) or CAPTURED_ELSEWHERE
    payment = payment.model_copy(update={"reason": reason})
    return _step(order, now, {"payment": payment}, payment=payment, reason=reason)


def hold_lost(order: Order, now: int) -> OrderTransition:
    """The hold has expired, or a merchant has cancelled it: nobody pays for the order anymore, so it is cancelled."""
    payment = order.payment.model_copy(update={"state": PaymentState.VOIDED, "reason": HOLD_LOST})
    return _step(
        order,
        now,
        {"payment": payment, "payment_token": None, "cancellation": Cancellation(by="shop", reason=HOLD_LOST)},
        target=Status.CANCELLED,
        event=events.ORDER_CANCELLED,
        payment=payment,
        restock=_quantities(order),
        closes_shipment=True,
    )


def refunded_elsewhere(order: Order, refund: Refund, now: int) -> OrderTransition:
    """A merchant has made a refund at the provider, or a refund has changed there. It restocks nothing."""
    if refund.state is RefundState.PENDING:
        return _step(order, now, {"refunds": {**order.refunds, refund.refund_id: refund}}, refund=refund)
    refund = refund.model_copy(update={"completed_at": to_iso(now), "sequence": order.sequence + 1})
    refunds = {**order.refunds, refund.refund_id: refund}
    failed = refund.state is RefundState.FAILED
    event = None if failed else events.ORDER_REFUNDED
    return _step(
        order, now, {"refunds": refunds}, event=event, refund=refund, reason=refund.failure if failed else None
    )


def disputed(order: Order, dispute: Dispute, now: int) -> OrderTransition:
    """The customer's bank has disputed the payment, or a dispute is decided. A lost or open one holds back goods.

    A won dispute releases a shipment that waited for nothing else: see `released_after_dispute`.
    """
    changes = {"dispute": dispute}
    return _step(order, now, changes, event=events.PAYMENT_DISPUTED, dispute=dispute.state)


def released_after_dispute(order: Order, now: int) -> OrderTransition:
    """The dispute that held back a paid shipment was won."""
    payment = order.payment.model_copy(update={"reason": None})
    return _released(order, now, {"payment": payment}, payment=payment)


def refund_requested(order: Order, refund: Refund, now: int) -> OrderTransition:
    """A refund was requested, and the provider has to be asked for it."""
    return _step(order, now, _with_refund(order, refund, now), event=events.REFUND_REQUESTED, refund=refund)


def refund_answered(order: Order, refund: Refund, now: int) -> OrderTransition:
    """The provider gave an answer, so that a refund is as given. Once paid, its units can go back to the stock."""
    if refund.is_open:
        return _step(order, now, _with_refund(order, refund, now), refund=refund)
    refund = refund.model_copy(update={"completed_at": to_iso(now), "sequence": order.sequence + 1})
    changes = _with_refund(order, refund, now)
    if refund.state is RefundState.FAILED:
        return _step(order, now, changes, refund=refund, reason=refund.failure)
    restock = {units.sku: units.quantity for units in refund.lines} if refund.restock else {}
    return _step(order, now, changes, event=events.ORDER_REFUNDED, refund=refund, restock=restock)


def return_requested(order: Order, request: ReturnRequest, now: int) -> OrderTransition:
    """The customer has asked to send products back. The shop refunds them when they are back."""
    return _step(order, now, {"return_request": request}, event=events.RETURN_REQUESTED, returns=True)


def erased(order: Order, now: int) -> OrderTransition:
    """The personal data of an order that has ended is erased: its user, address, and texts that people wrote.

    The products, amounts, times and the provider's references stay, because the books need them, and so does the
    country, which determines the tax. The new user id is random and another one for each order.
    """
    cancellation = order.cancellation and order.cancellation.model_copy(update={"reason": None})
    returned = order.return_request and order.return_request.model_copy(update={"reason": None})
    refunds = {name: _without_reason(refund) for name, refund in order.refunds.items()}
    changes: dict[str, Any] = {
        "user_id": f"{ERASED}-{unique()}",
        "shipping_address": Address(name=ERASED, street=ERASED, city=ERASED, country=order.shipping_address.country),
        "payment_token": None,
        "cancellation": cancellation,
        "return_request": returned,
        "refunds": refunds,
        "request_hash": "",  # the erased data could be guessed from its hashes
        "fingerprint": None,
        "mail_problem": None,
        "correlation_id": unique(),  # the client's, which can be any text
        "erased_at": to_iso(now),
    }
    return _step(order, now, changes, reason=PERSONAL_DATA_ERASED)


def _without_reason(refund: Refund) -> Refund:
    return refund.model_copy(update={"reason": ERASED, "request_hash": "", "fingerprint": None})


def _captured_without_shipment(order: Order, changes: Mapping[str, Any], now: int) -> OrderTransition:
    """The void has found the payment captured: refund what is left of it. The stock went back when the order ended."""
    charged = order.model_copy(update=changes)
    if not charged.refundable:
        return _step(order, now, changes, payment=charged.payment)
    refund = Refund(
        refund_id=ids.refund_after_void(order.order_id),
        amount=charged.refundable,
        reason="The order had ended before the amount was captured.",
        request_hash="",
        requested_at=to_iso(now),
    )
    changes = {**changes, **_with_refund(charged, refund, now)}
    return _step(order, now, changes, event=events.REFUND_REQUESTED, payment=charged.payment, refund=refund)


def _with_refund(order: Order, refund: Refund, now: int) -> dict[str, Any]:
    """Return the changes for a new or changed refund: a payment stays due until no refund is open."""
    refunds = {**order.refunds, refund.refund_id: refund}
    due = _refunds_due(order.model_copy(update={"refunds": refunds}), now)
    return {"refunds": refunds, "payment_due": due and (order.payment_due or due)}


def _refunds_due(order: Order, now: int) -> PaymentDue | None:
    """Return what is due if nothing but refunds is: one of a payment that a merchant captured can be open already."""
    return PaymentDue(action="refund", since=now) if order.open_refunds else None


def _rejected(order: Order, now: int, changes: Mapping[str, Any], reason: str, **more: Any) -> OrderTransition:
    changes = {**changes, "unplaced_since": order.listed_since}
    return _step(order, now, changes, target=Status.REJECTED, reason=reason, restock=_quantities(order), **more)


def _released(order: Order, now: int, changes: Mapping[str, Any], payment: Payment) -> OrderTransition:
    changes = {**changes, "released_at": to_iso(now)}
    return _step(order, now, changes, event=events.SHIPMENT_RELEASED, payment=payment, releases_shipment=True)


def _held_back(order: Order, payment: Payment) -> str | None:
    """Return why a captured payment must not release the goods; None if it may."""
    if payment.state is not PaymentState.CAPTURED:
        return None
    if payment.captured is not None and payment.captured != order.total:
        return f"captured {payment.captured} of {order.total}"
    if order.refunded and order.refunded >= order.total:
        return REFUNDED_BEFORE
    return DISPUTED if order.dispute and order.dispute.holds_back else None


def _void_due(order: Order, now: int) -> dict[str, Any]:
    return {"payment_due": PaymentDue(action="void", since=now), **_wait_ended(order, now)}


def _wait_ended(order: Order, now: int) -> dict[str, int]:
    """Return the changes that end a wait for the customer: from now on, the order's age counts again."""
    return {"unfinished_since": now} if order.waits_for_customer else {}


def _quantities(order: Order) -> dict[str, int]:
    return {line.sku: line.quantity for line in order.lines}


def _step(
    order: Order,
    now: int,
    changes: Mapping[str, Any],
    *,
    target: Status | None = None,
    event: EventType | None = None,
    reason: str | None = None,
    payment: Payment | None = None,
    refund: Refund | None = None,
    returns: bool | None = None,
    dispute: str | None = None,
    **writes: Any,
) -> OrderTransition:
    """Return a step to the target status, or one that keeps the status; ``writes`` as in `OrderTransition`."""
    if target and target not in _NEXT.get(order.status, ()):
        raise NotPossible(order, target)
    step = order.step(
        target or order.status,
        now,
        event=(event, events.OrderData(order_id=order.order_id, user_id=order.user_id)) if event else None,
        correlation_id=order.correlation_id,
        changes=changes,
        reason=reason,
        payment=payment.state if payment else None,
        refund_id=refund.refund_id if refund else None,
        refund=refund.state if refund else None,
        returns=returns,
        dispute=dispute,
    )
    return OrderTransition(step.id, step.before, step.after, **writes)
