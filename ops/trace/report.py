"""A timeline for people, and for scripts."""

from dataclasses import asdict
from typing import Any

import click
from pydantic.alias_generators import to_camel

from handoff.clock import now_ms, to_iso
from ops import ages
from ops.text import columns, plain
from ops.trace import waterfall
from ops.trace.timeline import Timeline
from shop import money


def document(timeline: Timeline) -> dict[str, Any]:
    """Return the timeline for scripts, to be written as JSON."""
    shown = asdict(timeline)
    shown["steps"] = [{**step, "at": to_iso(step["at"])} for step in shown["steps"]]
    for hop in shown["hops"]:
        hop["start"], hop["end"] = to_iso(hop["start"]), None if hop["end"] is None else to_iso(hop["end"])
    return {to_camel(name): _camel(value) for name, value in shown.items()}


def _camel(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [{to_camel(k): v for k, v in part.items()} if isinstance(part, dict) else part for part in value]


def text(timeline: Timeline, *, as_waterfall: bool = False) -> list[str]:
    """Return the timeline for people: the order, its steps or its waterfall, its pending work, and the notes."""
    shown = waterfall.text(timeline.hops, now_ms()) if as_waterfall else _steps(timeline)
    return [*_head(timeline), "", *shown, "", *_pending(timeline), "", *map(plain, timeline.notes)]


def _head(timeline: Timeline) -> list[str]:
    facts = {
        "order": timeline.order_id,
        "status": timeline.status,
        "payment": timeline.payment,
        "total": money.shown(timeline.total, timeline.currency),
        **_amounts(timeline),
        "customer": timeline.user_id,
        "correlation id": timeline.correlation_id,
    }
    return [plain(f"{name:16}{value}") for name, value in facts.items()]


def _amounts(timeline: Timeline) -> dict[str, str]:
    """Return the amounts that differ from the order's, the dispute, the wait for the customer, and unsent mails."""
    total, captured, refunded = (
        money.shown(n, timeline.currency) for n in (timeline.total, timeline.captured, timeline.refunded)
    )
    shown = {}
    if timeline.captured not in (0, timeline.total):
        shown["captured"] = f"{captured} of {total}"
    if timeline.refunded:
        shown["refunded"] = f"{refunded} of {captured}"
    if timeline.dispute:
        shown["dispute"] = timeline.dispute
    if timeline.action_expires_at:
        shown["waits until"] = f"{timeline.action_expires_at} for the customer to confirm the payment"
    if timeline.mail_problem:
        shown["mail problem"] = (
            f"mail to the customer {timeline.mail_problem}, so mails about the order were not sent; "
            "ask the customer to save an address (PUT /me)"
        )
    return shown


def _steps(timeline: Timeline) -> list[str]:
    """Return a line for each step, with the time since the request; problems are marked, and red on a terminal."""
    began = next(step.at for step in timeline.steps if step.who == "order")
    since = [_since(step.at - began) for step in timeline.steps]
    widest = max(map(len, since))
    cells = [
        (f"{'!' if step.trouble else ' '} {to_iso(step.at)}", after.rjust(widest), step.who, step.what, step.detail)
        for step, after in zip(timeline.steps, since, strict=True)
    ]
    lines = zip(timeline.steps, columns(cells), strict=True)
    return [click.style(line, fg="red") if step.trouble else line for step, line in lines]


def _since(milliseconds: int) -> str:
    """Return a duration such as ``+0.250 s``, or ``+5m2s`` from a minute on; negative for earlier times."""
    sign, size = "-" if milliseconds < 0 else "+", abs(milliseconds)
    return f"{sign}{size / 1000:.3f} s" if size < 60_000 else f"{sign}{ages.show(size)}"


def _pending(timeline: Timeline) -> list[str]:
    if not timeline.pending_work:
        return ["Nothing is pending."]
    lines = ["Pending:"]
    for item in timeline.pending_work:
        line = plain(f"  {item.who}: {item.what}")
        lines.append(click.style(line, fg="red") if item.trouble else line)
        if item.remedy:
            lines.append(plain(f"      {item.remedy}"))
    return lines
