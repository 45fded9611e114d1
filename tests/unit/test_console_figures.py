"""Figures and formats of the console."""

import math
from dataclasses import replace

import pytest

from ops.console.figures import Figures, metrics, sum_series
from ops.console.formats import milliseconds, rate, seconds
from ops.lag.measure import Lag
from ops.stack.outboxes import Waiting

AT = 1_764_000_123_456


def figures(**points: list[tuple[int, float]]) -> Figures:
    names = ("OrdersPlaced", "OrdersRepeated", "OrdersDeclined", "OrdersOutOfStock", "OrdersRefused")
    names += ("OrdersLimited", "OrdersActionRequired", "OrdersUnavailable", "OrdersFailed", "p50", "p99", "unfinished")
    lags = [lag("emails"), lag("analytics", dead_letters=2)]
    return Figures(
        at=AT,
        begin=AT - 600_000,
        period=10,
        lags=lags,
        other_dead_letters=3,
        points={name: points.get(name, []) for name in names},
        faults=frozenset(),
        waiting=Waiting(),
        growing=frozenset(),
        fault_periods=(),
    )


def lag(consumer: str, **known: float) -> Lag:
    nothing = {"waiting": 0, "in_flight": 0, "oldest": 0.0, "p50": None, "p99": None, "rate_in": None}
    return Lag(consumer, **(nothing | {"rate_out": None, "drain": 0.0, "dead_letters": 0} | known))


def test_series_are_summed_by_period() -> None:
    assert sum_series([[(1, 2.0), (3, 1.0)], [], [(0, 1.0), (3, 4.0)]]) == [(0, 1.0), (1, 2.0), (3, 5.0)]


def test_order_requests_are_counted_by_outcome() -> None:
    # GIVEN some orders in the last minute, and an older one
    seen = figures(
        OrdersPlaced=[(AT - 300_000, 1.0), (AT - 20_000, 4.0)],
        OrdersDeclined=[(AT - 20_000, 2.0)],
        OrdersOutOfStock=[(AT - 10_000, 1.0)],
    )
    # THEN they are counted by outcome, and those of the last minute together
    assert seen.requests("placed") == [(AT - 300_000, 1.0), (AT - 20_000, 4.0)]
    assert seen.requests("rejected") == [(AT - 20_000, 2.0), (AT - 10_000, 1.0)]
    assert seen.requests("failed") == []
    assert seen.last_minute() == (AT - AT % 10_000 - 10_000, 6)
    assert not seen.is_empty
    assert figures().is_empty


def test_the_age_of_a_delayed_queue_counts_from_the_end_of_its_delay() -> None:
    points = {"emails oldest": [(AT - 20_000, 590.0), (AT - 10_000, 640.0)], "analytics oldest": [(AT, 5.0)]}
    delayed = replace(figures(), lags=[lag("emails", delay=600), lag("analytics")], points=points)
    assert delayed.oldest("emails") == [(AT - 20_000, 0.0), (AT - 10_000, 40.0)]
    assert delayed.oldest("analytics") == [(AT, 5.0)]


def test_metrics_of_a_consumer_of_another_stack_are_of_that_stack() -> None:
    found = metrics("shop", {"emails": "https://sqs/emails", "loyalty/points": "https://sqs/loyalty-PointsQueue"})
    assert found["emails lag"].dimensions == (("service", "shop"), ("consumer", "emails"))
    for name in ("lag", "done", "retried", "failed"):
        assert found[f"loyalty/points {name}"].dimensions == (("service", "loyalty"), ("consumer", "points"))
    assert found["loyalty/points oldest"].dimensions == (("QueueName", "loyalty-PointsQueue"),)


@pytest.mark.parametrize("second", [0, 1, 15, 59])
def test_the_last_minute_is_a_complete_one(second: int) -> None:
    # GIVEN an order a second, as CloudWatch returns them: by minute, a minute late, the current minute in part
    minute = AT - AT % 60_000
    known = [(minute - 60_000 * ago, 60.0) for ago in (1, 2, 3)] + ([(minute, float(second))] if second else [])
    seen = replace(figures(OrdersPlaced=known), at=minute + second * 1000, period=60)
    # THEN the result is the last complete minute at any time
    assert seen.last_minute() == (minute - 60_000, 60.0)


def test_old_points_are_not_current() -> None:
    seen = figures(p50=[(AT - 400_000, 50.0)], unfinished=[(AT - 60_000, 12.0)])
    assert seen.newest(seen.response_time("p50")) is None
    assert seen.unfinished == 12.0
    assert figures().unfinished is None


def test_events_done_are_counted_in_the_whole_time_span() -> None:
    points = {"emails done": [(AT - 500_000, 3.0), (AT - 10_000, 4.0)]}
    assert replace(figures(), points=points).done("emails") == 7


def test_dead_letters_without_a_queue_count_too() -> None:
    assert figures().dead_letters == 5


def test_durations_are_in_the_unit_that_fits() -> None:
    shown = [seconds(value) for value in (None, 0.0, 0.24, 9.9, 59.0, 150.0, 10_000.0, math.inf)]
    assert shown == ["-", "0 s", "0.2 s", "9.9 s", "59 s", "2 min", "3 h", "never"]
    assert [milliseconds(value) for value in (None, 12.3, 999.0, 1500.0)] == ["-", "12 ms", "999 ms", "1.5 s"]
    assert [rate(value) for value in (None, 0.25)] == ["-", "0.2/s"]
