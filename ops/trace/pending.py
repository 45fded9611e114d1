"""The pending work of an order: its own, and the events that consumers still have to handle."""

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handoff.clock import from_iso, now_ms, to_iso
from handoff.consumer import BACKOFF
from handoff.unfinished import SWEEP_AFTER
from ops.stack.deployment import event_types_by_rule
from ops.trace.order_record import Event, OrderItem, ShipmentItem
from shop import money
from shop.events import DetailType
from shop.model import Dispute, Refund, RefundState, Status

if TYPE_CHECKING:
    from ops.dlq.directory import Directory
    from ops.dlq.report import Row
    from ops.stack.deployment import Deployment
    from ops.trace.log_lines import LogLine

# Outcomes of an event in a consumer's log, see handoff.consumer.
DONE = "done"
HANDLED = {DONE, "repeated", "skipped"}
RETRIED, DEAD_LETTERED = "retried", "dead_lettered"
_ORDINARY = 2 * SWEEP_AFTER  # ms that pending work may take before it is a problem: by then the sweeper has tried once


@dataclass(frozen=True)
class PendingItem:
    """Something unfinished: whose it is, and the command that fixes it, if there is one.

    ``event_id`` is empty if it is not about an event. ``trouble``: it is not an ordinary wait.
    """

    who: str
    event_id: str
    what: str
    remedy: str = ""
    trouble: bool = True


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that a consumer has to handle."""

    consumer: str
    event: Event


def subscribed(deployment: "Deployment", known: "Directory") -> dict[str, set[str]]:
    """Return the event types that each consumer's rule delivers to its queue, as far as the rule names them."""
    types = event_types_by_rule(deployment)
    return {
        consumer: types[rule] for rule, consumer in known.rules.items() if consumer in known.queues and rule in types
    }


def unfinished(
    order: OrderItem, consumers: Mapping[str, Collection[str]], lines: Sequence["LogLine"]
) -> list[Delivery]:
    """Return the events that neither a consumer's log nor the order shows as handled.

    Consumers of other stacks have them only if their log shows a failure: without a line it is unknown whether the
    stack existed at that time, or how long it keeps its logs.
    """
    failed = {(line.who, line.event_id) for line in lines if line.outcome in {RETRIED, DEAD_LETTERED}}
    handled = {(line.who, line.event_id) for line in lines if line.outcome in HANDLED}
    return [
        Delivery(consumer, event)
        for event in order.events.values()
        for consumer, types in consumers.items()
        if event.type in types
        and (consumer, event.event_id) not in handled
        and ((consumer, event.event_id) in failed or not ("/" in consumer or _shows(order, consumer, event)))
    ]


def is_dead_lettered(delivery: Delivery, lines: Sequence["LogLine"]) -> bool:
    """Return whether the last failure that a consumer logged made the event a dead letter."""
    failed = _last_failure(delivery, lines)
    return failed is not None and failed.outcome == DEAD_LETTERED


def _last_failure(delivery: Delivery, lines: Sequence["LogLine"]) -> "LogLine | None":
    failures = [line for line in _lines_about(delivery, lines) if line.outcome in {RETRIED, DEAD_LETTERED}]
    return max(failures, key=lambda line: line.at, default=None)


def has_unknown_outcome(delivery: Delivery, lines: Sequence["LogLine"]) -> bool:
    """Return whether a consumer logged an event but never an outcome, as releases before this key did."""
    about = _lines_about(delivery, lines)
    return bool(about) and not any(line.outcome for line in about)


def _lines_about(delivery: Delivery, lines: Sequence["LogLine"]) -> list["LogLine"]:
    about = delivery.consumer, delivery.event.event_id
    return [line for line in lines if (line.who, line.event_id) == about]


def _shows(order: OrderItem, consumer: str, event: Event) -> bool:
    """Return whether the order itself shows that a consumer handled an event: two of them change it."""
    if consumer == "fulfillment":
        return event.type is not DetailType.ORDER_PLACED or order.status is not Status.PLACED
    if consumer != "settlement":
        return False
    if event.type is DetailType.REFUND_REQUESTED:
        refund = order.refund_of(event)
        return refund is None or refund.state is not RefundState.DUE
    return order.payment_due is None or order.payment_due.action == "refund"


def of_order(order: OrderItem, shipment: ShipmentItem | None, options: str) -> Iterator[PendingItem]:
    """Yield the order's own unfinished work; ``options`` name the stack."""
    sweep = f"the sweeper checks it from {to_iso(order.due_at)}" if order.due_at else "the sweeper does not see it"
    if order.order.waits_for_customer:
        what = f"has to confirm the payment until {to_iso(order.expires_at)}, or else the order is rejected; {sweep}"
        yield PendingItem("customer", "", what, trouble=False)
    elif order.status is Status.PENDING:
        what = f"not placed yet, expires at {to_iso(order.expires_at)}; {sweep}"
        yield PendingItem("order", "", what, trouble=_is_late(order.created_at))
    for event in order.events.values():
        if not event.published:
            what = f"{event.type} is not published yet; {sweep}"
            yield PendingItem("order", event.event_id, what, trouble=_is_late(event.at))
    due = order.payment_due
    if due and due.action != "refund":
        what = f"the {due.action} of the payment is due since {to_iso(due.since)}; {sweep}"
        yield PendingItem("order", "", what, trouble=_is_late(due.since))
    for refund in order.refunds.values():
        yield from _of_refund(order, refund, sweep, options)
    yield from _of_difference(order, options)
    if order.dispute and order.dispute.state == "open":
        yield _of_dispute(order, order.dispute)
    if shipment and shipment.open_since:
        yield _of_open_shipment(order.order_id, shipment)


def _is_late(since: int) -> bool:
    """Return whether work that is pending since then takes longer than usual."""
    return now_ms() - since > _ORDINARY


def _of_difference(order: OrderItem, options: str) -> Iterator[PendingItem]:
    """Yield a payment that was captured in part, until what was captured is refunded."""
    captured, refundable = order.order.captured, order.order.refundable
    if not captured or captured == order.total or not refundable:
        return
    amounts = f"{money.shown(captured, order.currency)} of {money.shown(order.total, order.currency)} was captured"
    what = f"{amounts} at the provider, which captures a hold only once. The shipment is not released"
    if order.status is Status.PLACED:
        remedy = f"handoff orders cancel {order.order_id} --reason 'Charged in part.'{options}"
        yield PendingItem("payment", "", f"{what}. Cancel the order, which refunds the amount", remedy)
    elif order.status is Status.PREPARED and order.released_at is None:
        advice = "Refund it and let the customer order again, or collect the rest and send the goods by hand"
        remedy = f"handoff orders refund {order.order_id} --reason 'Charged in part.' --restock{options}"
        yield PendingItem("payment", "", f"{what}. {advice}", remedy)


def _of_dispute(order: OrderItem, dispute: Dispute) -> PendingItem:
    goods = "the goods are sent" if order.released_at else "the shipment is not released unless the dispute is won"
    amount = money.shown(dispute.amount, order.currency)
    what = f"{amount} disputed since {dispute.opened_at}: answer at the provider before its deadline; {goods}"
    return PendingItem("dispute", "", what)


def _of_refund(order: OrderItem, refund: Refund, sweep: str, options: str) -> Iterator[PendingItem]:
    """Yield a refund that has no result, or that failed and was not requested again."""
    name = f"the refund {refund.refund_id} of {money.shown(refund.amount, order.currency)}"
    if refund.state is RefundState.DUE:
        what = f"{name} is due since {refund.requested_at}; {sweep}"
        yield PendingItem("refund", "", what, trouble=_is_late(from_iso(refund.requested_at)))
    elif refund.state is RefundState.PENDING:
        waits = f"{name} is pending since {refund.requested_at}: the provider has no result yet"
        yield PendingItem("refund", "", f"{waits}; {sweep}")
    elif refund.state is RefundState.FAILED and not _requested_again(order, refund):
        what = f"{name} failed: {refund.failure}. Find the cause at the provider, then request it again"
        yield PendingItem("refund", "", what, _refund_command(order, refund) + options)


def _requested_again(order: OrderItem, failed: Refund) -> bool:
    """Return whether a refund was requested after another one had failed."""
    return any(refund.requested_at > (failed.completed_at or "") for refund in order.refunds.values())


def _refund_command(order: OrderItem, refund: Refund) -> str:
    """Return the command that requests a refund; without units and amount, it is for everything that is left."""
    parts = ["handoff orders refund", order.order_id]
    if refund.amount != order.order.refundable:
        units = [f"--line {shlex.quote(f'{line.sku}={line.quantity}')}" for line in refund.lines]
        parts += units or [f"--amount {refund.amount}"]
    parts.append(f"--reason {shlex.quote(refund.reason)}")
    # The units of a refund that was completed before it failed are in the stock already.
    restocks = refund.restock and not any(
        entry.refund_id == refund.refund_id and entry.refund is RefundState.REFUNDED for entry in order.history
    )
    return " ".join([*parts, *(["--restock"] if restocks else [])])


def _of_open_shipment(order_id: str, shipment: ShipmentItem) -> PendingItem:
    half = f": half of the hold's life is over at {to_iso(shipment.pack_by)}" if shipment.pack_by else ""
    what = f"waits to be packed since {shipment.open_since}{half}"
    packed = f"the warehouse reports it with POST /shipments/{order_id}/packed"
    return PendingItem("shipment", "", f"{what}; {packed}")


def of_dead_letter(row: "Row", options: str) -> PendingItem:
    """Return a consumer's dead letter; ``options`` name the stack."""
    newest = row.newest
    since = f" since {to_iso(newest.died_at)}" if newest.died_at else ""
    what = f"{newest.event_type} is a dead letter{since}: {newest.reason}"
    remedy = f"handoff dlq redrive {row.consumer} --event {newest.event_id}{options}"
    return PendingItem(row.consumer, newest.event_id, what, remedy)


def of_delivery(delivery: Delivery, lines: Sequence["LogLine"], delayed_until: int = 0) -> PendingItem:
    """Return an event that a consumer has not handled and that is not a dead letter, with the last logged failure.

    ``delayed_until`` is when the queue delivers it, in epoch milliseconds.
    """
    event, trouble = delivery.event, True
    failed = _last_failure(delivery, lines)
    if failed is None and delayed_until > now_ms():
        what = f"{event.type} waits until {to_iso(delayed_until)}: until then, the order can be cancelled"
        trouble = False
    elif failed is None:
        trouble = _is_late(max(event.at, delayed_until))
        what = f"nothing logged about {event.type} yet: it waits, is in progress, or crashes the function"
    elif failed.outcome == RETRIED:
        # A consumer backs off for a little less, to spread its tries, or for longer if another system asked for that.
        pause = max(BACKOFF[min(failed.receives, len(BACKOFF)) - 1], failed.retry_in)
        retry_at = failed.at + pause * 1000
        what = f"{event.type} failed at receive {failed.receives}: {failed.reason}; retry by {to_iso(retry_at)}"
    else:
        what = f"{event.type} failed permanently and is no longer a dead letter: it was redriven or deleted"
    return PendingItem(delivery.consumer, event.event_id, what, trouble=trouble)
