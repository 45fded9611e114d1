"""The timeline of one order, from its record, the functions' log lines and its dead letters."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from handoff.clock import now_ms, to_iso
from ops.dlq import report as dead_letter_report
from ops.dlq.directory import Directory, Filter, directory, find
from ops.dlq.report import Row
from ops.stack.deployment import Deployment
from ops.stack.observe import depth
from ops.trace import effects, history, hops, log_lines, pending
from ops.trace.history import TimelineStep
from ops.trace.hops import Hop
from ops.trace.log_lines import LogLine
from ops.trace.order_record import NoSuchOrder, OrderItem, read_order, read_shipment
from ops.trace.pending import Delivery, PendingItem
from shop.events import DetailType

__all__ = ["NoSuchOrder", "PendingItem", "Timeline", "TimelineStep", "build_timeline"]

_MARGIN = 60_000  # ms: clocks differ, and an earlier try with the same key may have left a line
_USUALLY_DONE = 3_600_000  # ms after an order's last step


@dataclass(frozen=True)
class Timeline:
    """An order and its history: steps oldest first, amounts in minor units of its currency.

    ``action_expires_at`` is until when the customer has to confirm the payment, if the order waits for that.

    ``mail_problem`` is why a mail about the order was not sent.

    ``hops`` are the same history as work and waits, each after the one that caused it.

    ``notes`` say which logs were searched, and what could not be seen.
    """

    order_id: str
    user_id: str
    status: str
    payment: str
    total: int
    captured: int
    refunded: int
    currency: str
    dispute: str | None
    action_expires_at: str | None
    mail_problem: str | None
    correlation_id: str
    steps: list[TimelineStep]
    pending_work: list[PendingItem]
    notes: list[str]
    hops: list[Hop]


def build_timeline(deployment: Deployment, order_id: str, *, whole: bool = False) -> Timeline:
    """Return the timeline of an order.

    Logs are searched until an hour after the order's last step, and until now for consumers that had not finished by
    then; with ``whole``, until now for all.

    Raises
    ------
    NoSuchOrder
        If it does not exist, cannot be read, or its id has the wrong form; the text says which.
    """
    order = read_order(deployment, order_id, OrderItem)
    shipment = read_shipment(deployment, order_id)
    known = directory(deployment)
    notes: list[str] = []
    lines, waiting = _search_logs(deployment, order, known, notes, whole=whole)
    owners = {delivery.consumer for delivery in waiting if pending.is_dead_lettered(delivery, lines)}
    dead_letters = _dead_letters(deployment, order, known, notes, owners)
    # The sort is stable: steps of the same millisecond stay in this order.
    steps = sorted(
        [*history.of_order(order), *history.of_shipment(shipment), *_logged(order, lines)], key=lambda step: step.at
    )
    return Timeline(
        order_id=order_id,
        user_id=order.user_id,
        status=order.status,
        payment=order.payment.state + (f", {order.payment.reason}" if order.payment.reason else ""),
        total=order.total,
        captured=order.order.captured,
        refunded=order.order.refunded,
        currency=order.currency,
        dispute=order.dispute.state if order.dispute else None,
        action_expires_at=to_iso(order.expires_at) if order.order.waits_for_customer else None,
        mail_problem=order.mail_problem,
        correlation_id=order.correlation_id,
        steps=steps,
        pending_work=[
            *pending.of_order(order, shipment, deployment.options),
            *_pending_events(deployment, lines, waiting, dead_letters),
        ],
        notes=notes,
        hops=hops.of_order(order, lines, waiting),
    )


def _logged(order: OrderItem, lines: Iterable[LogLine]) -> Iterator[TimelineStep]:
    """Yield the functions' log lines, without those of requests that only read the order."""
    types = {event.event_id: str(event.type) for event in order.events.values()}
    for line in lines:
        if line.is_read_request:
            continue
        other = line.correlation_id if line.correlation_id != order.correlation_id else ""
        event = types.get(line.event_id, "")
        facts = [event or line.event_id, *line.facts, f"correlation id {other}" if other else ""]
        effect = effects.of(line.who, event) if event and line.outcome == pending.DONE else ""
        yield TimelineStep(line.at, line.who, line.message, ", ".join(filter(None, facts)), line.trouble, effect)


def _search_logs(
    deployment: Deployment, order: OrderItem, known: Directory, notes: list[str], *, whole: bool
) -> tuple[list[LogLine], list[Delivery]]:
    """Return the log lines, oldest first, and the events that are not handled according to them."""
    groups = log_lines.groups(deployment, known.queues)
    subscribed = pending.subscribed(deployment, known)
    consumers = {consumer: types for consumer, types in subscribed.items() if consumer in groups}
    start, now = order.created_at - _MARGIN, now_ms() + _MARGIN
    end = now if whole else min(now, order.last_step_at + _USUALLY_DONE)
    lines = list(log_lines.search(deployment.logs, groups, order.order_id, start=start, end=end))
    waiting = _still_logged(deployment, pending.unfinished(order, consumers, lines), notes)
    late = {"sweeper", *(delivery.consumer for delivery in waiting)} if waiting or order.is_unfinished else set()
    if late and end < now:
        chosen = {who: group for who, group in groups.items() if who in late}
        lines += log_lines.search(deployment.logs, chosen, order.order_id, start=end + 1, end=now)
        unfinished = pending.unfinished(order, consumers, lines)
        waiting = [delivery for delivery in waiting if delivery in unfinished]
    notes.append(_searched(groups, start, end, late, now))
    return sorted(lines, key=lambda line: line.at), _with_outcome(waiting, lines, notes)


def _searched(groups: Collection[str], start: int, end: int, late: Collection[str], now: int) -> str:
    """Return a note on which logs were searched, and for which period."""
    searched = f"Searched the logs of {', '.join(groups)} from {to_iso(start)} to "
    if end == now:
        return f"{searched}now."
    later = f", those of {', '.join(who for who in groups if who in late)} to now" if late else ""
    return f"{searched}{to_iso(end)}{later}. --all searches all of them to now."


def _still_logged(deployment: Deployment, waiting: list[Delivery], notes: list[str]) -> list[Delivery]:
    """Return the deliveries whose log lines would not have expired yet."""
    days = int(deployment.parameters["LogDays"])
    known = [delivery for delivery in waiting if delivery.event.at > now_ms() - days * 86_400_000]
    if len(known) < len(waiting):
        notes.append(f"Logs are kept for {days} days, so it is unknown whether older events were handled.")
    return known


def _with_outcome(waiting: list[Delivery], lines: list[LogLine], notes: list[str]) -> list[Delivery]:
    """Return the deliveries without those that were logged but without an outcome; these are named in the notes."""
    unknown = [delivery for delivery in waiting if pending.has_unknown_outcome(delivery, lines)]
    notes += [
        f"{delivery.consumer} logged {delivery.event.type} without an outcome, as earlier releases did; see its lines."
        for delivery in unknown
    ]
    return [delivery for delivery in waiting if delivery not in unknown]


def _dead_letters(
    deployment: Deployment, order: OrderItem, known: Directory, notes: list[str], owners: Collection[str]
) -> list[Row]:
    """Return the order's dead letters. A scan takes a second: skip empty queues, unless their owner logged one."""
    dead = {url: owner for url, owner in known.dead.items() if owner in owners or depth(deployment, url).total}
    chosen = Filter(order=order.order_id)
    with closing(find(deployment.sqs, replace(known, dead=dead), chosen, notes.append)) as matches:
        return dead_letter_report.rows(matches)


def _pending_events(
    deployment: Deployment, lines: list[LogLine], waiting: Iterable[Delivery], dead_letters: Iterable[Row]
) -> Iterator[PendingItem]:
    """Yield the dead letters and the deliveries of the order's events."""
    dead = set()
    for row in dead_letters:
        dead.add((row.consumer, row.newest.event_id))
        yield pending.of_dead_letter(row, deployment.options)
    for delivery in waiting:
        if delivery.event.published and (delivery.consumer, delivery.event.event_id) not in dead:
            yield pending.of_delivery(delivery, lines, _delivered_at(deployment, delivery))


def _delivered_at(deployment: Deployment, delivery: Delivery) -> int:
    """Return when the queue delivers an event, in epoch milliseconds: fulfillment's waits for the cancel window."""
    is_delayed = delivery.consumer == "fulfillment" and delivery.event.type is DetailType.ORDER_PLACED
    return delivery.event.at + 1000 * int(deployment.parameters.get("PackAfter", 0)) if is_delayed else 0
