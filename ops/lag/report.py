"""The consumers' lag for people, and for scripts."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ops import ages
from ops.dlq.directory import UNOWNED
from ops.lag.measure import Lag
from ops.text import counted

UNKNOWN = "-"
_TITLES = ("WAITING", "IN FLIGHT", "OLDEST", "P50", "P99", "IN/S", "OUT/S", "DRAIN", "DEAD")


class Report:
    """A table; where that is too wide, a line for each value."""

    def __init__(self, lags: Sequence[Lag], others: Mapping[str, int], minutes: int) -> None:
        self._lags = lags
        self._notes = notes(lags, others, minutes)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = _wide(self._lags)
        fits = Measurement.get(console, options.update(width=1000), table).maximum <= options.max_width
        yield table if fits else _narrow(self._lags)
        yield Text("\n".join(self._notes))


def notes(lags: Sequence[Lag], others: Mapping[str, int], minutes: int) -> list[str]:
    """Return what the values mean, and which are missing."""
    lines = [f"P50 and P99: time from the event to its effect. They and the rates: the last {minutes} min with data."]
    if any(UNKNOWN in cells(lag) for lag in lags):
        lines.append(f"{UNKNOWN}: no data. Nothing happened, or CloudWatch has not published it yet (a few minutes).")
    lines += [
        f"{lag.consumer}: {lag.delayed} events are not due yet. "
        f"Each is delayed for {ages.show(lag.delay * 1000)}, which is in no lag and no age."
        for lag in lags
        if lag.delayed
    ]
    lines += [
        f"{counted(count, 'dead letter')} of "
        f"{'undelivered events' if owner == UNOWNED else owner}; see handoff dlq list"
        for owner, count in sorted(others.items())
        if count
    ]
    return lines


def cells(lag: Lag) -> tuple[str, ...]:
    """Return a consumer's row, in the order of the titles."""
    return (
        str(lag.waiting),
        str(lag.in_flight),
        seconds(lag.oldest),
        milliseconds(lag.p50),
        milliseconds(lag.p99),
        _rate(lag.rate_in),
        _rate(lag.rate_out),
        "never" if lag.drain == math.inf else seconds(lag.drain),
        str(lag.dead_letters),
    )


def seconds(value: float | None) -> str:
    """Return an age for people."""
    return UNKNOWN if value is None else ages.show(round(value * 1000))


def milliseconds(value: float | None) -> str:
    """Return a lag for people, with a decimal below ten seconds."""
    if value is None:
        return UNKNOWN
    if value < 1000:
        return f"{value:.0f}ms"
    return f"{value / 1000:.1f}s" if value < 9950 else ages.show(round(value))


def document(lags: Sequence[Lag], others: Mapping[str, int], minutes: int) -> dict[str, Any]:
    """Return the lag for scripts, to be written as JSON. Null: CloudWatch has no data."""
    return {
        "minutes": minutes,
        "consumers": [
            {
                "consumer": lag.consumer,
                "waiting": lag.waiting,
                "inFlight": lag.in_flight,
                "oldestSeconds": lag.oldest,
                "lagP50Ms": lag.p50,
                "lagP99Ms": lag.p99,
                "inPerSecond": lag.rate_in,
                "outPerSecond": lag.rate_out,
                "drainSeconds": "never" if lag.drain == math.inf else lag.drain,
                "deadLetters": lag.dead_letters,
                "delayed": lag.delayed,
                "delaySeconds": lag.delay,
            }
            for lag in lags
        ],
        "otherDeadLetters": dict(others),
    }


def over(lags: Sequence[Lag], limit: int) -> list[str]:
    """Return a line for each consumer whose oldest message or p99 lag exceeds a limit in milliseconds."""
    return [
        f"{lag.consumer}: {what} is {shown}, over {ages.show(limit)}"
        for lag in lags
        for what, value, shown in (
            ("the oldest message", None if lag.oldest is None else lag.oldest * 1000, seconds(lag.oldest)),
            ("the p99 lag", lag.p99, milliseconds(lag.p99)),
        )
        if value is not None and value > limit
    ]


def unknown(lags: Sequence[Lag]) -> list[str]:
    """Return a line for each consumer whose events wait for an unknown time."""
    return [
        f"{lag.consumer}: {lag.backlog} events wait; CloudWatch has not published their age yet"
        for lag in lags
        if lag.oldest is None
    ]


def _wide(lags: Sequence[Lag]) -> Table:
    table = Table("CONSUMER", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in _TITLES:
        table.add_column(title, justify="right", no_wrap=True)
    for lag in lags:
        table.add_row(lag.consumer, *cells(lag), style=_style(lag))
    return table


def _narrow(lags: Sequence[Lag]) -> Table:
    table = Table("CONSUMER", "", "", box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for lag in lags:
        for n, (title, cell) in enumerate(zip(_TITLES, cells(lag), strict=True)):
            table.add_row("" if n else lag.consumer, title.lower(), cell, style=_style(lag))
    return table


def _style(lag: Lag) -> str:
    """Dead letters and a backlog that does not shrink are red."""
    return "red" if lag.dead_letters or lag.drain == math.inf else ""


def _rate(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"
