"""The states that the console's overview shows, and how it sees a backlog grow."""

import math

import pytest

from ops.console import states
from ops.console.recent import FaultPeriod, Recent
from ops.console.style import INFO, WARNING
from ops.lag import report
from ops.lag.measure import Lag
from ops.stack.outboxes import Waiting
from tests.unit.test_console_figures import lag

AT = 1_764_000_000_000


@pytest.mark.parametrize(
    ("known", "is_growing", "word"),
    [
        ({}, False, "idle"),
        ({"waiting": 1, "oldest": 2.0}, False, "working"),
        ({"in_flight": 1, "oldest": None}, False, "working"),
        ({"waiting": 1, "oldest": 61.0}, False, "behind"),
        ({"waiting": 4, "oldest": 2.0}, True, "growing"),
        ({"waiting": 4, "oldest": 2.0, "drain": math.inf}, False, "growing"),
        ({"waiting": 0, "drain": 0.0}, True, "idle"),
        ({"dead_letters": 1}, False, "idle"),  # they have a column of their own
    ],
)
def test_state_of_a_consumer(known: dict[str, float], is_growing: bool, word: str) -> None:
    assert states.of_consumer(lag("emails", **known), is_growing=is_growing).word == word


def test_a_backlog_that_never_drains_is_amber_and_not_blue() -> None:
    state = states.of_consumer(lag("emails", waiting=5, drain=math.inf), is_growing=False)
    assert state.style == WARNING != INFO
    assert state.tone == "tone-warning"


@pytest.mark.parametrize(
    ("waiting", "word", "text"),
    [
        (None, "unknown", "no permission to read the outboxes: dynamodb:DescribeTable, Query, BatchGetItem"),
        (Waiting(), "delivering", "no event waits in an outbox"),
        (Waiting(1, 0.4), "delivering", "1 event waits in an outbox, the oldest for 0.4 s"),
        (Waiting(1, 4.0), "events wait", "1 event waits in an outbox, the oldest for 4.0 s"),
        (Waiting(12, 30.0), "events wait", "12 events wait in outboxes, the oldest for 30 s"),
        (
            Waiting(500, 240.0, is_partial=True),
            "not delivering",
            "500 events or more wait in outboxes, the oldest for 4 min",
        ),
    ],
)
def test_state_of_the_event_bus(waiting: Waiting | None, word: str, text: str) -> None:
    assert states.of_bus(waiting).word == word
    assert states.waiting_text(waiting) == text


def test_one_dead_letter_is_in_the_singular() -> None:
    assert [states.dead_letters_text(count) for count in (0, 1, 2)] == [
        "no dead letters",
        "1 dead letter",
        "2 dead letters",
    ]
    assert report.notes([], {"audit": 1}, 5)[1:] == ["1 dead letter of audit; see handoff dlq list"]


def growing(*backlogs: int, step: int = 2_000) -> bool:
    recent = Recent(interval=2)
    for n, backlog in enumerate(backlogs):
        recent.add(AT + n * step, [lag("loyalty/points", waiting=backlog)], ())
    return "loyalty/points" in recent.growing


def test_a_backlog_that_grows_is_seen_after_three_reads() -> None:
    assert growing(0, 1, 2, 4)
    assert growing(1, 1, 2)
    # Neither a burst after an empty queue, nor a queue that is about as full as before
    for backlogs in ((4,), (2, 4), (0, 5, 9), (3, 3, 3), (4, 2, 5), (5, 6, 5)):
        assert not growing(*backlogs), backlogs
    # AND reads from before a pause say nothing
    assert not growing(1, 2, 3, step=60_000)


def test_a_consumer_that_was_added_later_is_watched_too() -> None:
    recent = Recent(interval=2)
    for n, lags in enumerate([[lag("emails")], *([lag("emails"), lag("points", waiting=k)] for k in (1, 2, 3))]):
        recent.add(AT + n * 2_000, lags, ())
    assert recent.growing == {"points"}


def test_periods_with_a_fault_are_remembered() -> None:
    recent, lags = Recent(interval=2), list[Lag]()
    # WHEN a switch is turned on, another one too, and the first off
    for at, faults in ((1, ()), (2, {"mail"}), (3, {"mail", "bus"}), (4, {"bus"}), (5, {"bus"})):
        recent.add(AT + at, lags, faults)
    # THEN both periods are known, and the second has not ended
    assert recent.fault_periods(AT) == (FaultPeriod("mail", AT + 2, AT + 4), FaultPeriod("bus", AT + 3))
    # AND one that ended before the time span is forgotten
    assert recent.fault_periods(AT + 4) == (FaultPeriod("bus", AT + 3),)
