"""Cancelling an order, until it is packed."""

from math import ceil

from handoff.clock import Deadline, now_ms
from handoff.errors import ConcurrentUpdate, TransactionConflict
from handoff.telemetry import MetricUnit, metrics
from shop import errors, transitions
from shop.model import Order, Status
from shop.placing import BUSY, Dependencies, in_progress, publish

_SWEEP = 60_000  # ms: the sweeper, which expires orders, runs once a minute


def cancel_order(shop: Dependencies, order_id: str, user_id: str, deadline: Deadline) -> Order:
    """Cancel a user's order: restock it now, and void its payment soon. Idempotent.

    Raises
    ------
    errors.RequestError
        `NoSuchOrder`, `NotCancellable`, `InProgress` or `TryLater`.
    """
    order = own_order(shop, order_id, user_id)
    if order.status is Status.CANCELLED:
        return order
    try:
        order = shop.orders.transition(transitions.cancelled(order, now_ms()), deadline)
    except transitions.NotPossible as error:
        raise _refusal(order) from error
    except ConcurrentUpdate as overtaken:
        current: Order = overtaken.current or order
        if current.status is Status.CANCELLED:
            return current
        raise _refusal(current) from overtaken
    except TransactionConflict as error:
        raise errors.TryLater(order_id, BUSY) from error
    metrics.add_metric("OrdersCancelled", MetricUnit.Count, 1)
    publish(shop, order, deadline)
    return order


def own_order(shop: Dependencies, order_id: str, user_id: str) -> Order:
    """Return the user's order; raise `NoSuchOrder` if it does not exist or belongs to another user."""
    order = shop.orders.get(order_id)
    if order is None or order.user_id != user_id:
        raise errors.NoSuchOrder()
    return order


def _refusal(order: Order) -> errors.RequestError:
    if order.status is not Status.PENDING:
        return errors.NotCancellable(order.order_id, order.status)
    now = now_ms()
    if order.lease_until > now:
        return in_progress(order)
    expires_in = max(order.expires_at - now, 0) + _SWEEP
    return errors.InProgress(order.order_id, ceil(expires_in / 1000), abandoned=True)
