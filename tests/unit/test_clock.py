"""Clock and deadlines."""

import pytest

from dev.simulated.clock import START, standing
from handoff.clock import Deadline, Stopwatch, from_iso, now_ms, to_iso


def test_now_is_in_milliseconds():
    with standing() as clock:
        clock.forward(1.5)
        assert now_ms() == START.timestamp() * 1000 + 1500


@pytest.mark.parametrize(
    ("epoch_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (1_795_428_000_123, "2026-11-23T10:00:00.123Z"),
        (1_795_428_000_999, "2026-11-23T10:00:00.999Z"),
    ],
)
def test_iso_times_round_trip(epoch_ms, text):
    assert to_iso(epoch_ms) == text
    assert from_iso(text) == epoch_ms


def test_iso_times_sort_as_text():
    times = [999, 1000, 1001, 60_000, 3_600_000, 10**12]

    assert sorted(map(to_iso, times)) == [to_iso(time) for time in times]


def test_any_offset_is_parsed():
    assert from_iso("2026-11-23T11:00:00+01:00") == from_iso("2026-11-23T10:00:00Z")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-23T10:00:00", "2026-13-01T00:00:00Z"])
def test_an_invalid_time_is_rejected(text):
    with pytest.raises(ValueError, match=r".+"):
        from_iso(text)


def test_a_deadline_expires():
    with standing() as clock:
        deadline = Deadline(20)
        assert deadline.remaining() == 20
        clock.forward(21)
        assert deadline.remaining() == -1


def test_a_deadline_does_not_count_a_correction_of_the_time(clock):
    deadline = Deadline(20)
    clock.freeze(3600)  # only the wall clock moves

    assert deadline.remaining() == 20


def test_a_stopwatch_counts_while_the_environment_is_frozen(frozen_for):
    stopwatch = Stopwatch()
    stopwatch.restart()
    frozen_for(21.5)

    assert stopwatch.seconds() == 21.5
    stopwatch.restart()
    assert stopwatch.seconds() == 0


def test_a_stopwatch_that_never_started_shows_the_longest_time():
    assert Stopwatch().seconds() == float("inf")


def test_a_clock_that_was_set_back_counts_as_the_longest_time():
    stopwatch = Stopwatch()
    stopwatch.restart()
    with standing():  # some days ago
        assert stopwatch.seconds() == float("inf")
