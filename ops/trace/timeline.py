"""One order's whole story: from its own record, the functions' log lines and its dead letters."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from handoff.clock import from_iso, now_ms, to_iso
from ops.dlq import report as dead_letter_report
from ops.dlq.directory import Directory, Filter, directory, find
from ops.dlq.report import Row
from ops.stack.deployment import Deployment
from ops.stack.observe import depth
from ops.trace import log_lines as order_lines
from ops.trace import pending as open_ends
from ops.trace.log_lines import Line
from ops.trace.order_record import NoSuchOrder, OrderItem, ShipmentItem, read_order, read_shipment
from ops.trace.pending import Delivery, OpenEnd
from shop import transitions
from shop.model import Status

__all__ = ["NoSuchOrder", "OpenEnd", "Step", "Story", "tell"]

_MARGIN = 60_000  # ms: clocks differ, and an earlier try with the order's key may have left a line
_USUALLY_DONE = 3_600_000  # ms after an order's last step
_MEANS = {
    Status.PENDING: "requested, stock reserved",
    Status.PLACED: "payment authorised",
    Status.PREPARED: "shipment packed",
    Status.CANCELLED: "stock given back",
    Status.REJECTED: "stock given back",
}


@dataclass(frozen=True)
class Step:
    """Something that happened; ``at`` in epoch milliseconds. ``trouble``: it should not have."""

    at: int
    who: str
    what: str
    detail: str = ""
    trouble: bool = False


@dataclass(frozen=True)
class Story:
    """An order and what has become of it: steps oldest first, the total in minor units of its currency.

    ``notes`` say where was looked, and what could not be seen.
    """

    order_id: str
    user_id: str
    status: str
    payment: str
    total: int
    currency: str
    correlation_id: str
    steps: list[Step]
    open_ends: list[OpenEnd]
    notes: list[str]


def tell(deployment: Deployment, order_id: str, *, whole: bool = False) -> Story:
    """The story of an order.

    Log lines are looked for until an hour after the order's last step, and until now with the consumers that have not
    finished by then; if ``whole``, until now with all.

    Raises
    ------
    NoSuchOrder
        If there is none; the text says so if the id can't be one.
    """
    order = read_order(deployment, order_id)
    shipment = read_shipment(deployment, order_id)
    known = directory(deployment)
    notes: list[str] = []
    lines, waiting = _search(deployment, order, known, notes, whole=whole)
    givers_up = {delivery.consumer for delivery in waiting if open_ends.gave_up(delivery, lines)}
    letters = _letters(deployment, order, known, notes, givers_up)
    # What happened in the same millisecond stays in this order.
    steps = sorted([*_history(order), *_packed(shipment), *_said(order, lines)], key=lambda step: step.at)
    return Story(
        order_id=order_id,
        user_id=order.user_id,
        status=order.status,
        payment=order.payment.state + (f", {order.payment.reason}" if order.payment.reason else ""),
        total=order.total,
        currency=order.currency,
        correlation_id=order.correlation_id,
        steps=steps,
        open_ends=list(_open_ends(deployment, order, lines, waiting, letters)),
        notes=notes,
    )


def _history(order: OrderItem) -> Iterator[Step]:
    """The steps that the order's record has, and what became of the events that tell of them."""
    events = order.events
    for entry in order.history:
        event = events.get(entry.sequence)
        told = f"{event.type} {'published' if event.published else 'not published yet'}" if event else ""
        detail = ", ".join(filter(None, [entry.reason, _MEANS[Status(entry.status)], told]))
        yield Step(from_iso(entry.at), "order", entry.status, detail, entry.reason == transitions.EXPIRED)


def _packed(shipment: ShipmentItem | None) -> Iterator[Step]:
    if shipment:
        released = "released for dispatch" if shipment.state == "released" else "not released: not paid yet"
        yield Step(from_iso(shipment.prepared_at), "shipment", "Packed", f"now {released}")


def _said(order: OrderItem, lines: Iterable[Line]) -> Iterator[Step]:
    """What the functions have logged, but for customers who only looked."""
    types = {event.event_id: str(event.type) for event in order.events.values()}
    for line in lines:
        if line.is_look:
            continue
        other = line.correlation_id if line.correlation_id != order.correlation_id else ""
        facts = [types.get(line.event_id, line.event_id), *line.facts, f"correlation id {other}" if other else ""]
        yield Step(line.at, line.who, line.message, ", ".join(filter(None, facts)), line.trouble)


def _search(
    deployment: Deployment, order: OrderItem, known: Directory, notes: list[str], *, whole: bool
) -> tuple[list[Line], list[Delivery]]:
    """The log lines, oldest first, and what is still to be dealt with, going by them."""
    groups = order_lines.groups(deployment)
    subscribed = open_ends.subscribed(deployment, known)
    consumers = {consumer: types for consumer, types in subscribed.items() if consumer in groups}
    start, now = order.created_at - _MARGIN, now_ms() + _MARGIN
    end = now if whole else min(now, order.last_step_at + _USUALLY_DONE)
    lines = list(order_lines.search(deployment.logs, groups, order.order_id, start=start, end=end))
    waiting = _known_of(deployment, open_ends.unfinished(order, consumers, lines), notes)
    late = {"sweeper", *(delivery.consumer for delivery in waiting)} if waiting or order.is_unfinished else set()
    if late and end < now:
        chosen = {who: group for who, group in groups.items() if who in late}
        lines += order_lines.search(deployment.logs, chosen, order.order_id, start=end + 1, end=now)
        unfinished = open_ends.unfinished(order, consumers, lines)
        waiting = [delivery for delivery in waiting if delivery in unfinished]
    notes.append(_searched(groups, start, end, late, now))
    return sorted(lines, key=lambda line: line.at), _with_outcome(waiting, lines, notes)


def _searched(groups: Collection[str], start: int, end: int, late: Collection[str], now: int) -> str:
    """In which logs was looked, and of what time."""
    looked = f"Searched: the logs of {', '.join(groups)} from {to_iso(start)} to "
    if end == now:
        return f"{looked}now."
    later = f"; of {', '.join(who for who in groups if who in late)} to now" if late else ""
    return f"{looked}{to_iso(end)}{later}. With --all, everything to now."


def _known_of(deployment: Deployment, waiting: list[Delivery], notes: list[str]) -> list[Delivery]:
    """Those of which there would still be log lines, had they been dealt with."""
    days = int(deployment.parameters["LogDays"])
    known = [delivery for delivery in waiting if delivery.event.at > now_ms() - days * 86_400_000]
    if len(known) < len(waiting):
        notes.append(f"Logs are kept for {days} days: whether everybody has dealt with older events is not known.")
    return known


def _with_outcome(waiting: list[Delivery], lines: list[Line], notes: list[str]) -> list[Delivery]:
    """The deliveries without those that a consumer has logged but no outcome of; these are named in the notes."""
    unknown = [delivery for delivery in waiting if open_ends.has_unknown_outcome(delivery, lines)]
    notes += [
        f"{delivery.consumer} logged {delivery.event.type} without an outcome, as earlier releases did; see its lines."
        for delivery in unknown
    ]
    return [delivery for delivery in waiting if delivery not in unknown]


def _letters(
    deployment: Deployment, order: OrderItem, known: Directory, notes: list[str], givers_up: Collection[str]
) -> list[Row]:
    """The order's dead letters. A look takes a second: into queues that nobody speaks of, only if they hold any."""
    dead = {url: owner for url, owner in known.dead.items() if owner in givers_up or depth(deployment, url).total}
    chosen = Filter(order=order.order_id)
    with closing(find(deployment.sqs, replace(known, dead=dead), chosen, notes.append)) as found:
        return dead_letter_report.rows(found)


def _open_ends(
    deployment: Deployment, order: OrderItem, lines: list[Line], waiting: Iterable[Delivery], letters: Iterable[Row]
) -> Iterator[OpenEnd]:
    """What has not come to its end, each thing once."""
    target = " --local" if deployment.endpoint else ""
    target += f" --stack {deployment.stack}" if deployment.stack != "handoff" else ""
    yield from open_ends.of_order(order)
    dead = set()
    for row in letters:
        dead.add((row.consumer, row.newest.event_id))
        yield open_ends.of_letter(row, target)
    for delivery in waiting:
        if delivery.event.published and (delivery.consumer, delivery.event.event_id) not in dead:
            yield open_ends.of_delivery(delivery, lines)
