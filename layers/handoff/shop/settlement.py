"""Settling a payment that is due: capture for a packed order, void for one that ended otherwise."""

from handoff.clock import Deadline, now_ms
from handoff.errors import ConcurrentUpdate
from shop import ids, transitions
from shop.model import Order, Payment, PaymentState
from shop.order_store import OrderStore
from shop.payments import Authorized, Captured, Declined, Failed, NothingHeld, Payments, Voided


def ask_for_hold(payments: Payments, order: Order) -> Authorized | Declined:
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
        since=order.created_at,
    )


def settle(orders: OrderStore, payments: Payments, order: Order, deadline: Deadline) -> Order:
    """Capture or void a due payment, and record the provider's definite answer in the order's history.

    Raises
    ------
    ProviderError
        If there is no definite answer yet; the payment stays due.
    ConcurrentUpdate
        If the order has changed, and its payment is still due.
    TransactionConflict
        If other writers kept changing the same items.
    """
    if order.payment_due is None:
        return order
    payment = _settled(payments, order, order.payment_due.action)
    try:
        return orders.transition(transitions.settled(order, payment, now_ms()), deadline)
    except ConcurrentUpdate as update:
        current: Order | None = update.current
        if current is None or current.payment_due:
            raise
        return current  # settled by another worker, with the same answer


def _settled(payments: Payments, order: Order, action: str) -> Payment:
    reference = order.payment.reference
    if reference is None:
        # A request died before the answer. Asking again with its key tells for certain whether anything is held, and
        # keeps a late authorization from arriving after we looked. If the key is too old for that, the adapter looks.
        try:
            held = ask_for_hold(payments, order)
        except NothingHeld as error:
            held = Declined(str(error))
        if not isinstance(held, Authorized):
            return Payment(state=PaymentState.VOIDED, reason="nothing was held")
        reference = held.reference
    if action == "capture":
        answer: Captured | Voided | Failed = payments.capture(
            ids.payment_key(order.order_id, "capture"), order_id=order.order_id, reference=reference
        )
    else:
        answer = payments.void(ids.payment_key(order.order_id, "void"), order_id=order.order_id, reference=reference)
    if isinstance(answer, Failed):
        return Payment(state=PaymentState.FAILED, reference=reference, reason=answer.reason)
    state = PaymentState.CAPTURED if isinstance(answer, Captured) else PaymentState.VOIDED
    return Payment(state=state, reference=reference)
