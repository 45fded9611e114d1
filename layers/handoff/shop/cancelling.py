"""Cancelling an order, until it is packed."""

from handoff.clock import Deadline, now_ms
from handoff.telemetry import MetricUnit, metrics
from shop import errors, transitions
from shop.changing import any_order, change_order, own_order
from shop.model import Cancellation, Order, Status
from shop.placing import Dependencies, in_progress


def cancel_own_order(shop: Dependencies, order_id: str, user_id: str, deadline: Deadline) -> Order:
    """Cancel a user's order: restock it now, and void its payment soon. Idempotent.

    An order that was never completed is rejected instead, once no request works on it.

    Raises
    ------
    errors.RequestError
        `NoSuchOrder`, `NotCancellable`, `InProgress` or `TryLater`.
    """
    return _cancel(shop, own_order(shop, order_id, user_id), Cancellation(by="customer"), deadline)


def cancel_any_order(shop: Dependencies, order_id: str, reason: str, deadline: Deadline) -> Order:
    """Cancel an order for the shop, with a reason for its customer; otherwise like `cancel_own_order`."""
    return _cancel(shop, any_order(shop, order_id), Cancellation(by="shop", reason=reason), deadline)


def _cancel(shop: Dependencies, order: Order, cancellation: Cancellation, deadline: Deadline) -> Order:
    order, changed = change_order(shop, order, lambda current: _cancelling(current, cancellation), deadline)
    if changed:
        metrics.add_metric("OrdersCancelled", MetricUnit.Count, 1)
    return order


def _cancelling(order: Order, cancellation: Cancellation) -> transitions.OrderTransition | None:
    now = now_ms()
    if order.status is Status.PENDING:
        if order.lease_until > now:
            raise in_progress(order)
        return transitions.abandoned(order, cancellation, now)
    if order.cancellation or order.status is Status.CANCELLED:  # earlier releases stored only the status
        return None
    try:
        return transitions.cancelled(order, cancellation, now)
    except transitions.NotPossible as error:
        raise errors.NotCancellable(order.order_id, order.status) from error
