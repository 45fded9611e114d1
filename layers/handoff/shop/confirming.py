"""Finishing an order whose customer had to act at the payment provider, such as with 3-D Secure.

Four can find out how it went: the page that calls `confirm_order`, a repeated request to place the order, the
provider's event, and the sweeper. Each looks the payment up and writes the same step, so one of them places the order.
"""

from handoff.clock import Deadline, now_ms
from handoff.errors import ConcurrentUpdate, TransactionConflict
from handoff.store import LONGEST_CALL
from handoff.telemetry import MetricUnit, logger, metrics
from shop import errors, payments
from shop.changing import own_order
from shop.model import Order, Status
from shop.payments import PaymentFound, ProviderError, Stage
from shop.placing import BUSY, NO_ANSWER, ActionNeeded, Dependencies, in_progress, publish, replay_response
from shop.reconciling import after_action


def confirm_own_order(shop: Dependencies, order_id: str, user_id: str, deadline: Deadline) -> Order:
    """Place a user's order if the customer's action has succeeded. Idempotent.

    Raises
    ------
    ActionNeeded
        If the customer still has to act.
    errors.RequestError
        `NoSuchOrder`, `PaymentDeclined`, `OrderExpired`, `OrderAbandoned`, `InProgress` or `TryLater`.
    """
    return confirm(shop, own_order(shop, order_id, user_id), deadline)


def confirm(shop: Dependencies, order: Order, deadline: Deadline) -> Order:
    """Return the order as it is after its customer's action; otherwise like `confirm_own_order`."""
    if order.status is Status.PENDING and not order.waits_for_customer:
        raise in_progress(order)
    if order.waits_for_customer:
        order = _act(shop, order, _found(shop, order, deadline), deadline)
    return replay_response(order)


def _found(shop: Dependencies, order: Order, deadline: Deadline) -> PaymentFound:
    """Return the payment as the provider has it, if the deadline leaves time for that and a write."""
    if deadline.remaining() < payments.LONGEST_CALL + LONGEST_CALL:
        raise errors.TryLater(order.order_id, NO_ANSWER)
    try:
        found = shop.payments.look_up(order.payment.reference or "")
    except ProviderError as error:
        logger.warning("payment provider gave no answer", order_id=order.order_id, exc_info=error)
        raise errors.TryLater(order.order_id, NO_ANSWER) from error
    if found is None or found.stage is Stage.PROCESSING:
        raise errors.TryLater(order.order_id, "The payment provider has no result yet.")
    return found


def _act(shop: Dependencies, order: Order, found: PaymentFound, deadline: Deadline) -> Order:
    step = after_action(order, found, now_ms())
    if step is None:
        raise ActionNeeded(order, found.client_secret or "")
    try:
        changed = shop.orders.transition(step, deadline)
    except ConcurrentUpdate as overtaken:  # one of the other three was faster, or the customer has cancelled
        current: Order | None = overtaken.current
        if current is None or current.status is Status.PENDING:
            raise errors.TryLater(order.order_id, BUSY) from overtaken
        return current
    except TransactionConflict as error:
        raise errors.TryLater(order.order_id, BUSY) from error
    if changed.status is Status.PLACED:
        metrics.add_metric("ActionsCompleted", MetricUnit.Count, 1)
        metrics.add_metric("Revenue", MetricUnit.NoUnit, changed.total)
    publish(shop, changed, deadline)
    return changed
