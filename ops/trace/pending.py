"""The pending work of an order: its own, and the events that consumers still have to handle."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handoff.clock import to_iso
from handoff.consumer import BACKOFF
from ops.trace.order_record import Event, OrderItem
from shop.events import DetailType
from shop.model import Status

if TYPE_CHECKING:
    from ops.dlq.directory import Directory
    from ops.dlq.report import Row
    from ops.stack.deployment import Deployment
    from ops.trace.log_lines import LogLine

# Outcomes of an event in a consumer's log, see handoff.consumer.
HANDLED = {"done", "repeated", "skipped"}
_RETRIED, _DEAD_LETTERED = "retried", "dead_lettered"


@dataclass(frozen=True)
class PendingItem:
    """Something unfinished: whose it is, and the command that fixes it, if there is one.

    ``event_id`` is empty if it is not about an event.
    """

    who: str
    event_id: str
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that a consumer has to handle."""

    consumer: str
    event: Event


def subscribed(deployment: "Deployment", known: "Directory") -> dict[str, set[str]]:
    """Return the event types that each consumer's rule delivers to its queue, as far as the rule names them."""
    pages = deployment.events.get_paginator("list_rules").paginate(EventBusName=deployment.resource("Bus"))
    patterns = {rule["Name"]: rule["EventPattern"] for page in pages for rule in page["Rules"]}
    return {
        consumer: {named for named in json.loads(patterns[rule]).get("detail-type", ()) if isinstance(named, str)}
        for rule, consumer in known.rules.items()
        if consumer in known.queues and rule in patterns
    }


def unfinished(
    order: OrderItem, consumers: Mapping[str, Collection[str]], lines: Sequence["LogLine"]
) -> list[Delivery]:
    """Return the events that neither a consumer's log nor the order shows as handled.

    Consumers of other stacks have them only if their log shows a failure: without a line it is unknown whether the
    stack existed at that time, or how long it keeps its logs.
    """
    failed = {(line.who, line.event_id) for line in lines if line.outcome in {_RETRIED, _DEAD_LETTERED}}
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
    return failed is not None and failed.outcome == _DEAD_LETTERED


def _last_failure(delivery: Delivery, lines: Sequence["LogLine"]) -> "LogLine | None":
    failures = [line for line in _lines_about(delivery, lines) if line.outcome in {_RETRIED, _DEAD_LETTERED}]
    return max(failures, key=lambda line: line.at, default=None)


def has_unknown_outcome(delivery: Delivery, lines: Sequence["LogLine"]) -> bool:
    """Return whether a consumer logged an event but never an outcome, as releases before this key did."""
    about = _lines_about(delivery, lines)
    return bool(about) and not any(line.outcome for line in about)


def _lines_about(delivery: Delivery, lines: Sequence["LogLine"]) -> list["LogLine"]:
    about = delivery.consumer, delivery.event.event_id
    return [line for line in lines if (line.who, line.event_id) == about]


def _shows(order: OrderItem, consumer: str, event: Event) -> bool:
    """Return whether the order itself shows that a consumer handled an event: fulfillment changes it."""
    if consumer != "fulfillment":
        return False
    return order.status is not Status.PLACED if event.type is DetailType.ORDER_PLACED else order.payment_due is None


def of_order(order: OrderItem) -> Iterator[PendingItem]:
    """Yield the order's own unfinished work."""
    sweep = f"the sweeper checks it from {to_iso(order.due_at)}" if order.due_at else "the sweeper does not see it"
    if order.status is Status.PENDING:
        yield PendingItem("order", "", f"not placed yet, expires at {to_iso(order.expires_at)}; {sweep}")
    for event in order.events.values():
        if not event.published:
            yield PendingItem("order", event.event_id, f"{event.type} is not published yet; {sweep}")
    if order.payment_due:
        due = order.payment_due
        yield PendingItem("order", "", f"the {due.action} of the payment is due since {to_iso(due.since)}; {sweep}")


def of_dead_letter(row: "Row", options: str) -> PendingItem:
    """Return a consumer's dead letter; ``options`` name the stack."""
    newest = row.newest
    since = f" since {to_iso(newest.died_at)}" if newest.died_at else ""
    what = f"{newest.event_type} is a dead letter{since}: {newest.reason}"
    remedy = f"handoff dlq redrive {row.consumer} --event {newest.event_id}{options}"
    return PendingItem(row.consumer, newest.event_id, what, remedy)


def of_delivery(delivery: Delivery, lines: Sequence["LogLine"]) -> PendingItem:
    """Return an event that a consumer has not handled and that is not a dead letter, with the last logged failure."""
    event = delivery.event
    failed = _last_failure(delivery, lines)
    if failed is None:
        what = f"nothing logged about {event.type} yet: it waits, is in progress, or crashes the function"
    elif failed.outcome == _RETRIED:
        retry_at = failed.at + BACKOFF[min(failed.receives, len(BACKOFF)) - 1] * 1000
        what = f"{event.type} failed at receive {failed.receives}: {failed.reason}; retry by {to_iso(retry_at)}"
    else:
        what = f"{event.type} failed permanently and is no longer a dead letter: it was redriven or deleted"
    return PendingItem(delivery.consumer, event.event_id, what)
