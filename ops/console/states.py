"""The states that the overview shows, each as a word, an icon and a text style."""

import math
from typing import NamedTuple

from ops.console.formats import seconds
from ops.console.style import ERROR, INFO, SUCCESS, WARNING
from ops.lag.measure import Lag
from ops.stack.outboxes import Waiting
from ops.text import counted

_BEHIND = 60.0  # seconds; a queue whose oldest message is older is behind
# Seconds until an event that was stored counts as waiting: a request publishes its own event within 1.2 s.
_PUBLISHED_WITHIN = 3.0
_SWEPT_WITHIN = 180.0  # seconds; by then the sweeper has tried at least once


class State(NamedTuple):
    """The state of a part of the pipeline."""

    word: str
    icon: str
    style: str

    @property
    def tone(self) -> str:
        """The class of a row or card in this state."""
        return {WARNING: "tone-warning", ERROR: "tone-error"}.get(self.style, "")


IDLE = State("idle", "check_circle", SUCCESS)
WORKING = State("working", "autorenew", INFO)
GROWING = State("growing", "trending_up", WARNING)
BEHIND = State("behind", "hourglass_bottom", WARNING)


def of_consumer(lag: Lag, *, is_growing: bool) -> State:
    """Return the state of a consumer's queue; ``is_growing``: its backlog has grown in the last reads.

    A backlog that never drains at the current rates is growing too, though a batch has just left the queue.
    """
    if not lag.backlog:
        return IDLE
    if is_growing or is_endless(lag):
        return GROWING
    return BEHIND if (lag.oldest or 0) > _BEHIND else WORKING


def is_endless(lag: Lag) -> bool:
    """Return whether the backlog does not shrink at the current rates."""
    return lag.drain is not None and math.isinf(lag.drain)


def of_bus(waiting: Waiting | None) -> State:
    """Return the state of the event bus, by the events that wait in outboxes; None: they cannot be read."""
    if waiting is None:
        return State("unknown", "help", INFO)
    if waiting.oldest < _PUBLISHED_WITHIN:
        return State("delivering", "check_circle", SUCCESS)
    if waiting.oldest < _SWEPT_WITHIN:
        return State("events wait", "hourglass_bottom", WARNING)
    return State("not delivering", "error", ERROR)


def waiting_text(waiting: Waiting | None) -> str:
    """Return how many events wait in outboxes, and for how long."""
    if waiting is None:
        return "no permission to read the outboxes: dynamodb:DescribeTable, Query, BatchGetItem"
    if not waiting.events:
        return "no event waits in an outbox"
    more = " or more" if waiting.is_partial else ""
    verb = "waits in an outbox" if waiting.events == 1 and not more else "wait in outboxes"
    return f"{counted(waiting.events, 'event')}{more} {verb}, the oldest for {seconds(waiting.oldest)}"


def dead_letters_text(count: int) -> str:
    """Return a number of dead letters in words."""
    return counted(count, "dead letter") if count else "no dead letters"
