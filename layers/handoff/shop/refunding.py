"""Requesting a refund. The money is moved afterwards, by `shop.settlement`."""

from collections.abc import Mapping
from dataclasses import dataclass

from handoff.clock import Deadline, now_ms, to_iso
from handoff.telemetry import MetricUnit, metrics
from shop import errors, ids, transitions
from shop.changing import any_order, change_order
from shop.fingerprint import Fingerprint
from shop.model import MAX_REFUNDS, Order, Refund, Status
from shop.placing import Dependencies
from shop.returning import units_of


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """A validated request for a refund: of ``quantities`` by sku, of an ``amount``, or of everything that is left.

    ``amount`` in minor units. ``restock`` returns the units to the stock; an amount alone has none.
    """

    order_id: str
    idempotency_key: str
    quantities: Mapping[str, int]
    amount: int | None
    reason: str
    restock: bool
    fingerprint: Fingerprint

    @property
    def refund_id(self) -> str:
        """The id of the refund that comes of it."""
        return ids.refund_id(self.order_id, self.idempotency_key)


def request_refund(shop: Dependencies, request: RefundRequest, deadline: Deadline) -> tuple[Order, Refund]:
    """Record a refund as due, unless the idempotency key has recorded it before; return the order and the refund.

    The refunds of an order never exceed the captured amount: each is decided on the refunds before it.

    Raises
    ------
    errors.RequestError
        `NoSuchOrder`, `KeyReused`, `NotCaptured`, `AlreadyRestocked`, `RefundTooLarge`, `TooManyUnits`,
        `TooManyRefunds` or `TryLater`.
    """

    def decide(order: Order) -> transitions.OrderTransition | None:
        earlier = order.refunds.get(request.refund_id)
        if earlier is None:
            now = now_ms()
            return transitions.refund_requested(order, _refund(order, request, now), now)
        if not request.fingerprint.matches(earlier):
            raise errors.KeyReused()
        return None

    order, changed = change_order(shop, any_order(shop, request.order_id), decide, deadline)
    if changed:
        metrics.add_metric("RefundsRequested", MetricUnit.Count, 1)
    return order, order.refunds[request.refund_id]


def _refund(order: Order, request: RefundRequest, now: int) -> Refund:
    if not order.is_captured:
        raise errors.NotCaptured(order.order_id, order.status)
    if len(order.refunds) >= MAX_REFUNDS:
        raise errors.TooManyRefunds(order.order_id, MAX_REFUNDS)
    if request.restock and order.status is not Status.PREPARED:
        raise errors.AlreadyRestocked(order.order_id, order.status)
    left = order.refundable
    lines = units_of(order, request.quantities) if request.quantities else ()
    prices = {line.sku: line.unit_price for line in order.lines}
    amount = request.amount
    if lines:
        amount = sum(units.quantity * prices[units.sku] for units in lines)
    if amount is None:  # everything that is left
        amount = left
        lines = units_of(order, {}) if any(order.refundable_units.values()) else ()
    if not 0 < amount <= left:
        raise errors.RefundTooLarge(order.order_id, left, order.currency)
    return Refund(
        refund_id=request.refund_id,
        amount=amount,
        lines=lines,
        reason=request.reason,
        restock=request.restock,
        request_hash=request.fingerprint.legacy,
        fingerprint=request.fingerprint.value,
        requested_at=to_iso(now),
    )
