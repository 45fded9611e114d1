"""Changing an order that exists: decide on its current state, write, publish, and decide again if it has changed."""

from collections.abc import Callable

from handoff.clock import Deadline
from handoff.errors import ConcurrentUpdate, TransactionConflict
from shop import errors
from shop.model import Order
from shop.placing import BUSY, Dependencies, publish
from shop.transitions import OrderTransition

_TRIES = 20  # every failed one means that another writer has succeeded


def change_order(
    shop: Dependencies, order: Order, decide: Callable[[Order], OrderTransition | None], deadline: Deadline
) -> tuple[Order, bool]:
    """Write the transition that ``decide`` returns for the order as it is, and publish its event.

    ``decide`` returns None if nothing is to be done, or raises what the caller gets to see. Returns the order, and
    whether this call has changed it.

    Raises
    ------
    errors.NoSuchOrder
        If the order does not exist anymore.
    errors.TryLater
        If other writers kept changing it, or no time is left.
    """
    for _ in range(_TRIES):
        step = decide(order)
        if step is None:
            return order, False
        try:
            changed = shop.orders.transition(step, deadline)
        except ConcurrentUpdate as overtaken:
            current: Order | None = overtaken.current
            if current is None:
                raise errors.NoSuchOrder() from overtaken
            order = current
        except TransactionConflict as error:
            raise errors.TryLater(order.order_id, BUSY) from error
        else:
            publish(shop, changed, deadline)
            return changed, True
    raise errors.TryLater(order.order_id, BUSY)


def any_order(shop: Dependencies, order_id: str) -> Order:
    """Return an order, for a program; raise `NoSuchOrder` if it does not exist."""
    order = shop.orders.get(order_id)
    if order is None:
        raise errors.NoSuchOrder()
    return order


def own_order(shop: Dependencies, order_id: str, user_id: str) -> Order:
    """Return the user's order; raise `NoSuchOrder` if it does not exist or belongs to another user."""
    order = any_order(shop, order_id)
    if order.user_id != user_id:
        raise errors.NoSuchOrder()
    return order
