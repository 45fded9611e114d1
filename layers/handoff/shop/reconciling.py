"""Bringing an order into line with its payment as the provider has it.

The provider's own events only say that something has happened to a payment. What it was is looked up, and the order
follows: an authorization after the customer's action, and what a merchant or a bank has done without Handoff.
"""

from handoff.bus import Bus
from handoff.clock import Deadline, now_ms, to_iso
from handoff.errors import ConcurrentUpdate
from handoff.outbox import announce
from shop import ids, transitions
from shop.model import Dispute, Order, PaymentState, Refund, RefundState, Status
from shop.order_store import OrderStore
from shop.payments import PaymentFound, RefundFound, Stage, Unavailable
from shop.transitions import OrderTransition

ACTION_FAILED = "authentication_failed"
WRONG_AMOUNT = "held_another_amount"
_MADE_ELSEWHERE = "Refunded by the shop."
_STEPS = 20  # of one order by one look: a merchant rarely does more at once


def reconcile(orders: OrderStore, bus: Bus, order: Order, found: PaymentFound, deadline: Deadline) -> Order:
    """Write the steps that the order lacks, publish their events, and return the order.

    Raises
    ------
    Unavailable
        If more steps are left than one call makes: look again later.
    ConcurrentUpdate
        If the order does not exist anymore.
    TransactionConflict
        If other writers kept changing the same items.
    """
    for _ in range(_STEPS):
        step = next_step(order, found, now_ms())
        if step is None:
            return order
        try:
            order = announce(orders, bus, orders.transition(step, deadline), deadline)
        except ConcurrentUpdate as update:
            if update.current is None:
                raise
            order = update.current
    raise Unavailable("the order lacks more steps than one look makes")


def next_step(order: Order, found: PaymentFound, now: int) -> OrderTransition | None:
    """Return the next step towards the payment as it was found; None if nothing is missing.

    ``found`` can be older than the order. So no step goes back: a decided dispute is not opened again.
    """
    if order.waits_for_customer:
        return after_action(order, found, now)
    if order.status is Status.PLACED and order.payment.state is PaymentState.AUTHORIZED:
        if found.stage is Stage.VOIDED:
            return transitions.hold_lost(order, now)
        if found.stage is Stage.CAPTURED:
            return transitions.captured_elsewhere(order, found.captured, now)
    if not order.is_captured:
        return None
    return _refund_step(order, found, now) or _dispute_step(order, found, now)


def after_action(order: Order, found: PaymentFound, now: int) -> OrderTransition | None:
    """Return the step of an order whose customer had to act; None as long as the customer can still act."""
    match found.stage:
        case Stage.HELD | Stage.CAPTURED if max(found.held, found.captured) == order.total:
            return transitions.placed(order, found.reference, now, found.expires_at)
        case Stage.HELD | Stage.CAPTURED:
            return transitions.declined(order, WRONG_AMOUNT, now)
        case Stage.FAILED | Stage.VOIDED:
            return transitions.declined(order, found.reason or ACTION_FAILED, now)
        case _:
            return None


def _refund_step(order: Order, found: PaymentFound, now: int) -> OrderTransition | None:
    """Return the step for the first refund that the order does not have as it was found."""
    ours = {ids.refund_key(order.order_id, refund_id): refund for refund_id, refund in order.refunds.items()}
    for one in found.refunds:
        refund = ours.get(one.key or "")
        if refund is None:
            changed = _merchants_refund(order, one, now)
            if changed:
                return transitions.refunded_elsewhere(order, changed, now)
        elif refund.state is RefundState.REFUNDED and one.state == "failed":  # banks can return a refund later
            return transitions.refunded_elsewhere(order, _as_found(refund, one), now)
    return None


def _merchants_refund(order: Order, found: RefundFound, now: int) -> Refund | None:
    """Return a refund that was made without us as the order should have it, or None if it has it so."""
    refund_id = ids.refund_elsewhere(order.order_id, found.reference)
    known = order.refunds.get(refund_id)
    if known is None:
        known = Refund(
            refund_id=refund_id,
            amount=found.amount,
            reason=_MADE_ELSEWHERE,
            request_hash="",
            requested_at=to_iso(now),
            elsewhere=True,
        )
    elif found.state == "pending" or known.state in (found.state, RefundState.FAILED):
        return None
    return _as_found(known, found)


def _as_found(refund: Refund, found: RefundFound) -> Refund:
    failure = (found.failure or "failed") if found.state == "failed" else None
    changes = {"state": RefundState(found.state), "reference": found.reference, "failure": failure}
    return refund.model_copy(update=changes)


def _dispute_step(order: Order, found: PaymentFound, now: int) -> OrderTransition | None:
    known, dispute = order.dispute, found.dispute
    if dispute and (
        known is None or known.reference != dispute.reference or (known.state, dispute.state) in _DECISIONS
    ):
        opened_at = known.opened_at if known and known.reference == dispute.reference else to_iso(now)
        made = Dispute(reference=dispute.reference, amount=dispute.amount, state=dispute.state, opened_at=opened_at)
        return transitions.disputed(order, made, now)
    if order.is_held_back_by(transitions.DISPUTED) and known and not known.holds_back:
        return transitions.released_after_dispute(order, now)
    return None


_DECISIONS = {("open", "won"), ("open", "lost")}
