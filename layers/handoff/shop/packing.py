"""Packing an order: it can no longer be cancelled then, and its payment has to be captured."""

from math import ceil

from handoff.clock import Deadline, from_iso, now_ms
from shop import errors, transitions
from shop.changing import any_order, change_order
from shop.model import Order, Status
from shop.placing import Dependencies


def pack_order(shop: Dependencies, order_id: str, pack_after: int, deadline: Deadline) -> Order:
    """Record that a warehouse has packed an order, at the earliest ``pack_after`` seconds after it was placed.

    Idempotent.

    Raises
    ------
    errors.RequestError
        `NoSuchOrder`, `CancelWindowOpen`, `NotPackable` or `TryLater`.
    """
    order = any_order(shop, order_id)
    return change_order(shop, order, lambda current: _packing(current, pack_after), deadline)[0]


def _packing(order: Order, pack_after: int) -> transitions.OrderTransition | None:
    if order.status is Status.PREPARED:
        return None
    now = now_ms()
    if order.status is Status.PLACED and order.placed_at:
        left = from_iso(order.placed_at) + pack_after * 1000 - now
        if left > 0:
            raise errors.CancelWindowOpen(order.order_id, retry_after=ceil(left / 1000))
    try:
        return transitions.prepared(order, now)
    except transitions.NotPossible as error:
        raise errors.NotPackable(order.order_id, order.status) from error
