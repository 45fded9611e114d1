"""Settling a payment that is due: capturing what was shipped, voiding what was not."""

from handoff import ids
from handoff.clock import Deadline
from shop.model import Order, Payment, PaymentState
from shop.order_store import OrderStore
from shop.payments import Authorized, Captured, Declined, Failed, NothingHeld, Payments, Voided


def ask_for_hold(payments: Payments, order: Order) -> Authorized | Declined:
    """Have an order's total held; asked again, the answer is the same.

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
    """Have a due payment captured or voided, and record the provider's definite answer.

    Raises
    ------
    ProviderError
        If there is no definite answer yet; the payment stays due.
    ConcurrentUpdate
        If the order keeps changing.
    """
    if order.payment_due is None:
        return order
    return orders.settled(order, _settled(payments, order, order.payment_due.action), deadline)


def _settled(payments: Payments, order: Order, action: str) -> Payment:
    reference = order.payment.reference
    if reference is None:
        # A request died before the answer. Asking again with its key tells for certain whether anything is held, and
        # keeps a late authorisation from arriving after we looked; if the key is too old for that, the adapter looks.
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
