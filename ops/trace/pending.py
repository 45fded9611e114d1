"""What of an order has not come to its end: with itself, and with each consumer that is to hear of it."""

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
    from ops.trace.log_lines import Line

# Outcomes of an event in a consumer's log, see handoff.consumer.
HANDLED = {"done", "repeated", "skipped"}
_RETRIED, _DEAD_LETTERED = "retried", "dead_lettered"


@dataclass(frozen=True)
class OpenEnd:
    """Something that has not come to its end, whose it is, and the command that mends it, if there is one.

    ``event_id`` is empty if it is not about an event.
    """

    who: str
    event_id: str
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that a consumer is to deal with."""

    consumer: str
    event: Event


def subscribed(deployment: "Deployment", known: "Directory") -> dict[str, set[str]]:
    """The types of events that come into each consumer's queue, by its rule."""
    pages = deployment.events.get_paginator("list_rules").paginate(EventBusName=deployment.resource("Bus"))
    patterns = {rule["Name"]: rule["EventPattern"] for page in pages for rule in page["Rules"]}
    return {
        consumer: set(json.loads(patterns[rule]).get("detail-type", ()))
        for rule, consumer in known.rules.items()
        if consumer in known.queues and rule in patterns
    }


def unfinished(order: OrderItem, consumers: Mapping[str, Collection[str]], lines: Sequence["Line"]) -> list[Delivery]:
    """The events that consumers have not said to be done, nor the order shows to be."""
    failed = {(line.who, line.event_id) for line in lines if line.outcome in {_RETRIED, _DEAD_LETTERED}}
    handled = {(line.who, line.event_id) for line in lines if line.outcome in HANDLED}
    return [
        Delivery(consumer, event)
        for event in order.events.values()
        for consumer, types in consumers.items()
        if event.type in types
        and (consumer, event.event_id) not in handled
        and ((consumer, event.event_id) in failed or not _shows(order, consumer, event))
    ]


def gave_up(delivery: Delivery, lines: Sequence["Line"]) -> bool:
    """Whether the last that a consumer said of an event is that it gave it up."""
    failed = _last_failure(delivery, lines)
    return failed is not None and failed.outcome == _DEAD_LETTERED


def _last_failure(delivery: Delivery, lines: Sequence["Line"]) -> "Line | None":
    failures = [line for line in _lines_about(delivery, lines) if line.outcome in {_RETRIED, _DEAD_LETTERED}]
    return max(failures, key=lambda line: line.at, default=None)


def has_unknown_outcome(delivery: Delivery, lines: Sequence["Line"]) -> bool:
    """Whether a consumer has logged an event but never an outcome of it, as releases before this key did."""
    about = _lines_about(delivery, lines)
    return bool(about) and not any(line.outcome for line in about)


def _lines_about(delivery: Delivery, lines: Sequence["Line"]) -> list["Line"]:
    about = delivery.consumer, delivery.event.event_id
    return [line for line in lines if (line.who, line.event_id) == about]


def _shows(order: OrderItem, consumer: str, event: Event) -> bool:
    """Whether an order shows that a consumer has dealt with an event: fulfillment leaves its mark on it."""
    if consumer != "fulfillment":
        return False
    return order.status is not Status.PLACED if event.type is DetailType.ORDER_PLACED else order.payment_due is None


def of_order(order: OrderItem) -> Iterator[OpenEnd]:
    """What the order itself has left to do."""
    look = f"the sweeper looks at it from {to_iso(order.due_at)} on" if order.due_at else "the sweeper does not see it"
    if order.status is Status.PENDING:
        yield OpenEnd("order", "", f"not placed yet, and given up at {to_iso(order.expires_at)}; {look}")
    for event in order.events.values():
        if not event.published:
            yield OpenEnd("order", event.event_id, f"{event.type} is not published yet; {look}")
    if order.payment_due:
        due = order.payment_due
        yield OpenEnd("order", "", f"the {due.action} of the payment is due since {to_iso(due.since)}; {look}")


def of_letter(row: "Row", target: str) -> OpenEnd:
    """An event that is a consumer's dead letter; ``target`` are the options that name the stack."""
    letter = row.newest
    since = f" since {to_iso(letter.died_at)}" if letter.died_at else ""
    what = f"{letter.event_type} is a dead letter{since}: {letter.reason}"
    remedy = f"handoff dlq redrive {row.consumer} --event {letter.event_id}{target}"
    return OpenEnd(row.consumer, letter.event_id, what, remedy)


def of_delivery(delivery: Delivery, lines: Sequence["Line"]) -> OpenEnd:
    """An event that a consumer has not finished, and that is no dead letter, going by the last that it said of it."""
    event = delivery.event
    failed = _last_failure(delivery, lines)
    if failed is None:
        what = f"no word of {event.type} yet: it is waiting, being worked on, or crashes its function"
    elif failed.outcome == _RETRIED:
        again = failed.at + BACKOFF[min(failed.receives, len(BACKOFF)) - 1] * 1000
        what = f"{event.type} has failed at receive {failed.receives}: {failed.reason}; tried again by {to_iso(again)}"
    else:
        what = f"{event.type} failed for good and is no dead letter any more: redriven, or deleted"
    return OpenEnd(delivery.consumer, event.event_id, what)
