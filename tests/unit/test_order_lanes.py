"""The console's timeline of an order in lanes, and the effects of consumers in words."""

from ops.console import lanes
from ops.trace import effects
from ops.trace.timeline import TimelineStep

AT = 1_764_000_000_000


def test_steps_are_in_the_lane_of_their_consumer() -> None:
    steps = [
        TimelineStep(AT, "order", "PENDING", "requested, stock reserved"),
        TimelineStep(AT + 40, "order", "PLACED", "payment authorized"),
        TimelineStep(AT + 45, "api", "request answered", "POST /orders, status 201"),
        TimelineStep(AT + 300, "loyalty/points", "event handled", "order_placed, done", effect="order placed handled"),
        TimelineStep(AT + 2_300, "emails", "event failed", "order_placed, retried", trouble=True),
        TimelineStep(AT + 2_310, "payment", "captured"),
    ]
    # THEN the order's own steps share a lane, and every other consumer has one, whatever its name
    assert lanes.names(steps) == ["order", "loyalty/points", "emails"]
    shown = lanes.lane_steps(steps)
    assert [step.lane for step in shown] == [0, 0, 0, 1, 2, 0]
    # AND each step has the time since the previous one
    assert [step.since for step in shown] == ["start", "+40 ms", "+5 ms", "+255 ms", "+2.0 s", "+10 ms"]
    # AND an effect replaces the log's words
    assert [step.text for step in shown] == [
        "PENDING",
        "PLACED",
        "api: request answered",
        "order placed handled",
        "event failed",
        "payment: captured",
    ]
    assert [step.detail for step in shown][3:5] == ["", "order_placed, retried"]
    assert [step.trouble for step in shown] == [False, False, False, False, True, False]
    assert lanes.lane_steps([]) == []


def test_effects_are_in_words() -> None:
    assert effects.of("emails", "order_placed") == "confirmation mailed"
    assert effects.of("loyalty/points", "order_placed") == "order placed handled"  # a consumer of another stack
    assert effects.end("points") == "handled"
