"""A timeline in lanes: one for the order itself, and one for each consumer that did something."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ops.console.formats import milliseconds
from ops.trace.timeline import TimelineStep

ORDER = "order"
# Steps of the order's own record, and of the functions that work for all consumers.
_OWN = {ORDER, "payment", "shipment", "refund", "return", "dispute", "api", "sweeper"}


@dataclass(frozen=True)
class LaneStep:
    """A step in its lane; ``since`` is the time since the previous step of any lane, in words."""

    lane: int
    at: int
    since: str
    text: str
    detail: str
    trouble: bool


def names(steps: Iterable[TimelineStep]) -> list[str]:
    """Return the lanes: the order's, then the consumers' in the order of their first steps."""
    return list(dict.fromkeys([ORDER, *(_lane(step) for step in steps)]))


def lane_steps(steps: Sequence[TimelineStep]) -> list[LaneStep]:
    """Return the steps with their lanes, oldest first."""
    lanes = names(steps)
    before = [steps[0].at, *(step.at for step in steps[:-1])] if steps else []
    return [
        LaneStep(
            lane=lanes.index(_lane(step)),
            at=step.at,
            since=f"+{milliseconds(step.at - previous)}" if number else "start",
            text=step.effect or _text(step),
            detail="" if step.effect else step.detail,
            trouble=step.trouble,
        )
        for number, (step, previous) in enumerate(zip(steps, before, strict=True))
    ]


def _lane(step: TimelineStep) -> str:
    return ORDER if step.who in _OWN else step.who


def _text(step: TimelineStep) -> str:
    """Return what happened; the order's lane has steps of several kinds."""
    return step.what if step.who == ORDER or step.who not in _OWN else f"{step.who}: {step.what}"
