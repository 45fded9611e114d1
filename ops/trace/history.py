"""The steps of an order's history and of its shipment, as the timeline shows them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from handoff.clock import from_iso, to_iso
from ops.trace.order_record import OrderItem, ShipmentItem
from shop import money, transitions
from shop.model import OrderStep, PaymentState, Refund, RefundState, Status, Units, status_changes

_MEANINGS = {
    Status.PENDING: "requested, stock reserved",
    Status.PLACED: "payment authorized",
    Status.PREPARED: "shipment packed",
    Status.CANCELLED: "stock given back",
    Status.REJECTED: "stock given back",
}


@dataclass(frozen=True)
class TimelineStep:
    """Something that happened; ``at`` in epoch milliseconds. ``trouble``: it is a problem.

    ``effect`` says in words what a consumer has done about an event; it is empty for other steps.
    """

    at: int
    who: str
    what: str
    detail: str = ""
    trouble: bool = False
    effect: str = ""


def of_order(order: OrderItem) -> Iterator[TimelineStep]:
    """Yield the entries of the order's history, and whether their events are published."""
    events = order.events
    changes = status_changes(order.history)
    for entry in order.history:
        event = events.get(entry.sequence)
        published = f"{event.type} {'published' if event.published else 'not published yet'}" if event else ""
        if entry in changes:
            detail = _joined(entry.reason, _meaning(order, entry), published)
            yield TimelineStep(from_iso(entry.at), "order", entry.status, detail, entry.reason == transitions.EXPIRED)
        else:
            yield from _other_step(order, entry, published)


def _other_step(order: OrderItem, entry: OrderStep, published: str) -> Iterator[TimelineStep]:
    """Yield a step that keeps the status: of the payment, of a refund, of both, of a dispute, or of a return."""
    at = from_iso(entry.at)
    if entry.payment is PaymentState.ACTION_REQUIRED:
        yield TimelineStep(at, "payment", entry.payment, _wait(order))
    elif entry.payment:
        event = "" if entry.refund_id else published
        yield TimelineStep(at, "payment", entry.payment, _joined(entry.reason, event), _is_trouble(entry))
    if entry.dispute:
        amount = money.shown(order.dispute.amount, order.currency) if order.dispute else ""
        yield TimelineStep(at, "dispute", entry.dispute, _joined(amount, published), entry.dispute != "won")
    if entry.refund and entry.refund_id:
        refund = order.refunds.get(entry.refund_id)
        detail = _joined(_refund_text(order, refund, entry.refund) if refund else entry.refund_id, published)
        what = "requested" if entry.refund is RefundState.DUE else str(entry.refund)
        yield TimelineStep(at, "refund", what, detail, entry.refund is RefundState.FAILED)
    if entry.returns:
        units = _units(order.return_request.lines) if order.return_request else ""
        yield TimelineStep(at, "return", "requested", _joined(units, published))


def _wait(order: OrderItem) -> str:
    """Return until when the customer has to confirm the payment, if the order still waits for that."""
    until = f" until {to_iso(order.expires_at)}" if order.order.waits_for_customer else ""
    return f"the customer has to confirm it{until}"


def _is_trouble(entry: OrderStep) -> bool:
    """Return whether a step of the payment has a reason that an operator has to know."""
    return entry.reason not in (None, transitions.CAPTURED_ELSEWHERE)


def _meaning(order: OrderItem, entry: OrderStep) -> str:
    """Return the effect of a new status, and who cancelled the order, with the shop's reason."""
    by = order.cancellation
    if not by or entry.status not in {Status.CANCELLED, Status.REJECTED}:
        return _MEANINGS[Status(entry.status)]
    return _joined(f"by the {by.by}" + (f": {by.reason}" if by.reason else ""), _MEANINGS[Status(entry.status)])


def _refund_text(order: OrderItem, refund: Refund, state: RefundState) -> str:
    """Return a refund's amount and units, and the news of this state."""
    new = {
        RefundState.DUE: refund.reason,
        RefundState.REFUNDED: "units back in stock" if refund.restock and refund.lines else "",
        RefundState.FAILED: refund.failure,
    }
    return _joined(money.shown(refund.amount, order.currency), _units(refund.lines), new.get(state), refund.refund_id)


def _units(lines: Iterable[Units]) -> str:
    return ", ".join(f"{line.quantity} x {line.sku}" for line in lines)


def _joined(*parts: str | None) -> str:
    return ", ".join(filter(None, parts))


def of_shipment(shipment: ShipmentItem | None) -> Iterator[TimelineStep]:
    """Yield when the shipment was opened for the warehouse, and when it was packed."""
    if shipment and shipment.open_since:
        yield TimelineStep(from_iso(shipment.open_since), "shipment", "Open", "waits to be packed")
    if shipment and shipment.prepared_at:
        released = "released for dispatch" if shipment.state == "released" else "not released: not paid yet"
        yield TimelineStep(from_iso(shipment.prepared_at), "shipment", "Packed", f"now {released}")
