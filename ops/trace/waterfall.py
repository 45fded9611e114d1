"""The hops of an order as a waterfall: one bar for each, below the hop that caused it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log1p

import click

from ops import ages
from ops.text import columns, counted
from ops.trace.hops import Hop, Kind

_WIDTH = 40  # characters of the widest bar
_NAMES = {
    Kind.OUTBOX: "outbox, until the sweep",
    Kind.QUEUE: "queue of {who}",
    Kind.RETRY: "{who} backs off",
    Kind.REDRIVE: "dead letter of {who}",
    Kind.SWEEP: "sweeper",
    Kind.CONSUMER: "{who}",
}


@dataclass(frozen=True)
class Bar:
    """A hop as it is drawn: where its bar begins and how long it is, both from 0 to 1, and its texts."""

    hop: Hop
    left: float
    width: float
    name: str
    since: str
    lasted: str
    detail: str


def bars(hops: Sequence[Hop], now: int) -> list[Bar]:
    """Return a bar for each hop; one that is not over lasts until ``now`` (epoch milliseconds).

    The scale is compressed: each span of time in which nothing begins or ends is as wide as the logarithm of its
    duration. So a function's milliseconds can be seen beside a cancel window of ten minutes.
    """
    if not hops:
        return []
    ends = [now if hop.end is None else hop.end for hop in hops]
    times = sorted({*(hop.start for hop in hops), *ends})
    position = {times[0]: 0.0}
    for before, after in pairwise(times):
        position[after] = position[before] + log1p(after - before)
    whole = position[times[-1]] or 1.0
    return [
        Bar(
            hop=hop,
            left=position[hop.start] / whole,
            width=(position[end] - position[hop.start]) / whole,
            name=_NAMES.get(hop.kind, "{what}").format(who=hop.who, what=hop.what),
            since=f"+{_duration(hop.start - times[0])}",
            lasted=_duration(end - hop.start) + (" so far" if hop.end is None else ""),
            detail=_detail(hop),
        )
        for hop, end in zip(hops, ends, strict=True)
    ]


def text(hops: Sequence[Hop], now: int) -> list[str]:
    """Return the waterfall for a terminal; problems are marked, and red."""
    drawn = bars(hops, now)
    letters = dict(zip(dict.fromkeys(hop.trace_id for hop in hops if hop.trace_id), _LETTERS, strict=False))
    cells = [
        (
            f"{'!' if bar.hop.trouble else ' '} {'  ' * bar.hop.depth}{bar.name}",
            *([letters.get(bar.hop.trace_id, "")] if len(letters) > 1 else []),
            bar.since,
            bar.lasted,
            _line(bar),
            bar.detail,
        )
        for bar in drawn
    ]
    lines = zip(hops, columns(cells), strict=True) if cells else ()
    shown = [click.style(line, fg="red") if hop.trouble else line for hop, line in lines]
    return [*shown, "", *traces(hops)]


def traces(hops: Sequence[Hop]) -> list[str]:
    """Return the trace ids of the hops, in words; waits that are not over have none."""
    found = Counter(
        hop.trace_id for hop in hops if not (hop.is_wait and hop.end is None) and hop.kind is not Kind.WRITE
    )
    unknown = found.pop("", 0)
    if len(found) == 1 and not unknown:
        return [f"All hops have the trace id {next(iter(found))}."]
    known = [
        f"Trace {letter}: {trace_id}, {counted(found[trace_id], 'hop')}"
        for trace_id, letter in zip(found, _LETTERS, strict=False)
    ]
    return known + ([f"No trace id is logged for {counted(unknown, 'hop')}."] if unknown else [])


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _line(bar: Bar) -> str:
    """Return a bar of characters: ``#`` for work, ``-`` for a wait, at least one of them."""
    left = min(round(bar.left * _WIDTH), _WIDTH - 1)
    length = max(1, round((bar.left + bar.width) * _WIDTH) - left)
    return (" " * left + ("-" if bar.hop.is_wait else "#") * length).ljust(_WIDTH)


def _detail(hop: Hop) -> str:
    event = hop.what if hop.kind not in {Kind.REQUEST, Kind.WRITE} else ""
    return ", ".join(part for part in (event, hop.outcome) if part)


def _duration(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f} s" if milliseconds < 60_000 else ages.show(milliseconds)
