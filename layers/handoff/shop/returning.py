"""A customer's request to return products of a released order."""

from collections.abc import Mapping

from handoff.clock import Deadline, from_iso, now_ms, to_iso
from handoff.telemetry import MetricUnit, metrics
from shop import errors, transitions
from shop.changing import change_order, own_order
from shop.model import Order, ReturnRequest, Units
from shop.placing import Dependencies

_DAY = 86_400_000  # ms


def request_return(
    shop: Dependencies,
    order_id: str,
    user_id: str,
    *,
    quantities: Mapping[str, int],
    reason: str | None,
    return_days: int,
    deadline: Deadline,
) -> Order:
    """Record a user's request to return these quantities by sku, or all that is not refunded if there are none.

    Possible once, from the release of the shipment until ``return_days`` days later.

    Raises
    ------
    errors.RequestError
        `NoSuchOrder`, `NotReleased`, `AlreadyReturned`, `ReturnTooLate`, `TooManyUnits` or `TryLater`.
    """

    def decide(order: Order) -> transitions.OrderTransition:
        _check_time(order, return_days)
        request = ReturnRequest(requested_at=to_iso(now_ms()), lines=units_of(order, quantities), reason=reason)
        return transitions.return_requested(order, request, now_ms())

    order, _ = change_order(shop, own_order(shop, order_id, user_id), decide, deadline)
    metrics.add_metric("ReturnsRequested", MetricUnit.Count, 1)
    return order


def units_of(order: Order, quantities: Mapping[str, int]) -> tuple[Units, ...]:
    """Return these quantities by sku, or all that no refund is for, as units of an order.

    Raises
    ------
    errors.TooManyUnits
        If the order has fewer of a product that no refund is for, or if no units are left.
    """
    left = order.refundable_units
    short = {sku: left.get(sku, 0) for sku, quantity in quantities.items() if quantity > left.get(sku, 0)}
    wanted = quantities or {sku: quantity for sku, quantity in left.items() if quantity}
    if short or not wanted:
        raise errors.TooManyUnits(order.order_id, short or left)
    return tuple(Units(sku=sku, quantity=quantity) for sku, quantity in wanted.items())


def _check_time(order: Order, return_days: int) -> None:
    if order.return_request:
        raise errors.AlreadyReturned(order.order_id, order.return_request.requested_at)
    if order.released is None:
        raise errors.NotReleased(order.order_id, order.status)
    until = from_iso(order.released) + return_days * _DAY
    if now_ms() > until:
        raise errors.ReturnTooLate(order.order_id, to_iso(until))
