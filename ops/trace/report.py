"""An order's story as a person reads it, and for scripts."""

from dataclasses import asdict
from typing import Any

import click
from pydantic.alias_generators import to_camel

from handoff.clock import to_iso
from ops import ages
from ops.dlq.report import plain
from ops.trace.timeline import Story


def document(story: Story) -> dict[str, Any]:
    """For scripts."""
    shown = asdict(story)
    shown["steps"] = [{**step, "at": to_iso(step["at"])} for step in shown["steps"]]
    return {to_camel(name): _camel(value) for name, value in shown.items()}


def _camel(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [{to_camel(k): v for k, v in part.items()} if isinstance(part, dict) else part for part in value]


def text(story: Story) -> list[str]:
    """For people: what the order is, what happened, and what has not come to its end."""
    return [*_head(story), "", *_timeline(story), "", *_open_ends(story), "", *map(plain, story.notes)]


def _head(story: Story) -> list[str]:
    facts = {
        "order": story.order_id,
        "status": story.status,
        "payment": story.payment,
        "total": f"{story.total} minor units of {story.currency}",
        "customer": story.user_id,
        "correlation id": story.correlation_id,
    }
    return [plain(f"{name:16}{value}") for name, value in facts.items()]


def _timeline(story: Story) -> list[str]:
    """A line for each step, with the time since the request; trouble has a mark, and is red on a terminal."""
    began = next(step.at for step in story.steps if step.who == "order")
    cells = [
        ("!" if step.trouble else " ", to_iso(step.at), _since(step.at - began), step.who, step.what, step.detail)
        for step in story.steps
    ]
    widths = [max(len(line[n]) for line in cells) for n in range(5)]
    lines = []
    for step, line in zip(story.steps, cells, strict=True):
        mark, at, since, *texts = line
        padded = [cell.ljust(width) for cell, width in zip(texts, widths[3:], strict=False)]
        whole = plain("  ".join([f"{mark} {at}", since.rjust(widths[2]), *padded, texts[-1]])).rstrip()
        lines.append(click.style(whole, fg="red") if step.trouble else whole)
    return lines


def _since(milliseconds: int) -> str:
    """Such as ``+0.250 s``, or ``+5m2s`` from a minute on; what came before has a minus."""
    sign, size = "-" if milliseconds < 0 else "+", abs(milliseconds)
    return f"{sign}{size / 1000:.3f} s" if size < 60_000 else f"{sign}{ages.show(size)}"


def _open_ends(story: Story) -> list[str]:
    if not story.open_ends:
        return ["Nothing is open."]
    lines = ["Open:"]
    for end in story.open_ends:
        lines.append(click.style(plain(f"  {end.who}: {end.what}"), fg="red"))
        if end.remedy:
            lines.append(plain(f"      {end.remedy}"))
    return lines
