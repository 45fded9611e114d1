"""Settling payments and refunds that are due at the payment provider.

A capture for a packed order, a void for one that ended otherwise, and refunds.
"""

import random

from handoff.clock import Deadline, now_ms
from handoff.errors import ConcurrentUpdate
from shop import ids, transitions
from shop.model import Order, Payment, PaymentState, Refund, RefundState
from shop.order_store import OrderStore
from shop.payments import (
    ActionRequired,
    Authorized,
    Captured,
    Declined,
    Failed,
    NothingHeld,
    Payments,
    Refunded,
    RefundPending,
    Unavailable,
    Voided,
)


def ask_for_hold(payments: Payments, order: Order) -> Authorized | ActionRequired | Declined:
    """Authorize the order's total. Asking again returns the same answer.

    Raises
    ------
    ProviderError
        If there is no definite answer.
    """
    return payments.authorize(
        ids.payment_key(order.order_id, "authorise"),
        order_id=order.order_id,
        amount=order.total,
        currency=order.currency,
        token=order.payment_token or "",
        can_act=order.can_act,
        since=order.created_at,
    )


def settle(orders: OrderStore, payments: Payments, order: Order, deadline: Deadline) -> Order:
    """Capture or void a due payment, or make its oldest due refund, and record the provider's definite answer.

    One request to the provider's ledger a call, so that each call has the time that it needs: an order may have more
    due afterwards. A pending refund is asked about only if no other refund is due.

    Raises
    ------
    ProviderError
        If there is no definite answer yet; the payment stays due.
    ConcurrentUpdate
        If the order has changed, and the same is still due.
    TransactionConflict
        If other writers kept changing the same items.
    """
    if order.payment_due is None:
        return order
    if order.payment_due.action == "refund":
        return _settle_refund(orders, payments, order, deadline)
    payment = _settled(payments, order, order.payment_due.action)
    try:
        return orders.transition(transitions.settled(order, payment, now_ms()), deadline)
    except ConcurrentUpdate as update:
        current: Order | None = update.current
        if current is None or _same_is_due(current, order):
            raise
        return current  # settled by another worker, with the same answer


def _same_is_due(current: Order, before: Order) -> bool:
    due, earlier = current.payment_due, before.payment_due
    return due is not None and earlier is not None and due.action == earlier.action


def refusal(before: Order, after: Order) -> str | None:
    """Return why the provider refused the request that was due, or None if it did not."""
    for entry in after.history[len(before.history) :]:
        if entry.payment is PaymentState.FAILED or entry.refund is RefundState.FAILED:
            return entry.reason or "no reason"
        if entry.payment is PaymentState.CAPTURED and entry.reason:
            return entry.reason
    return None


def _settle_refund(orders: OrderStore, payments: Payments, order: Order, deadline: Deadline) -> Order:
    refund = _next_refund(order)
    answer = payments.refund(
        ids.refund_key(order.order_id, refund.refund_id),
        order_id=order.order_id,
        reference=order.payment.reference or "",
        amount=refund.amount,
        currency=order.currency,
    )
    if isinstance(answer, RefundPending) and refund.state is RefundState.PENDING:
        raise Unavailable("the refund is still pending")
    answered = _answered(refund, answer)
    try:
        return orders.transition(transitions.refund_answered(order, answered, now_ms()), deadline)
    except ConcurrentUpdate as update:
        current: Order | None = update.current
        if current is None or current.refunds[refund.refund_id].is_open:
            raise
        return current  # settled by another worker, with the same answer


def _next_refund(order: Order) -> Refund:
    """Return the oldest refund that is due, or else a random one that is pending, so that each of them has its turn."""
    return order.due_refunds[0] if order.due_refunds else random.choice(order.open_refunds)


def _answered(refund: Refund, answer: Refunded | RefundPending | Failed) -> Refund:
    if isinstance(answer, Failed):
        return refund.model_copy(update={"state": RefundState.FAILED, "failure": answer.reason})
    state = RefundState.REFUNDED if isinstance(answer, Refunded) else RefundState.PENDING
    return refund.model_copy(update={"state": state, "reference": answer.reference})


def _settled(payments: Payments, order: Order, action: str) -> Payment:
    reference = order.payment.reference
    if reference is None:
        # A request died before the answer. Asking again with its key tells for certain whether anything is held, and
        # keeps a late authorization from arriving after we looked. If the key is too old for that, the adapter looks.
        try:
            held = ask_for_hold(payments, order)
        except NothingHeld as error:
            held = Declined(str(error))
        if isinstance(held, Declined):
            return Payment(state=PaymentState.VOIDED, reason="nothing was held")
        reference = held.reference
    answer: Captured | Voided | Failed
    if action == "capture":
        answer = payments.capture(
            ids.payment_key(order.order_id, "capture"), order_id=order.order_id, reference=reference
        )
    else:
        answer = payments.void(ids.payment_key(order.order_id, "void"), order_id=order.order_id, reference=reference)
    match answer:
        case Failed():
            return Payment(state=PaymentState.FAILED, reference=reference, reason=answer.reason)
        case Captured():
            return Payment(state=PaymentState.CAPTURED, reference=reference, captured=answer.amount)
        case Voided():
            return Payment(state=PaymentState.VOIDED, reference=reference)
