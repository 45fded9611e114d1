"""ECharts options of the plots over time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Literal

from ops.console.figures import Points
from ops.console.formats import clock
from ops.console.recent import FaultPeriod

# Lines differ in color, dashes and point shapes, and not in color alone (WCAG 2.2, 1.4.1). The lists differ in length,
# so that their combinations repeat late. The colors have a contrast of 3:1 with both backgrounds (1.4.11).
_COLORS = ("#2b7de1", "#c2620a", "#0f8a6d", "#a855c7", "#d6336c", "#767d85", "#8a7a00")
_DASHES = ((), (7, 4), (2, 3), (8, 3, 2, 3))
_SHAPES = ("circle", "triangle", "rect", "diamond", "roundRect")
_INK = "currentColor"  # of the page's text, light or dark: the plots are SVG
_SHADE = {"color": "#d32f2f", "opacity": 0.16}  # periods with a fault

Kind = Literal["line", "bar"]
Lines = Mapping[str, Points]


@dataclass(frozen=True)
class Look:
    """How a line is drawn: in the plots, in their legends and in the sparklines."""

    color: str
    dashes: tuple[int, ...]
    shape: str


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return a look for each name; no two are the same."""
    return {
        name: Look(color, dashes, shape)
        for name, color, dashes, shape in zip(names, cycle(_COLORS), cycle(_DASHES), cycle(_SHAPES), strict=False)
    }


def options(unit: str) -> dict[str, Any]:
    """Return a chart's options without data. The legend is beside the chart, where it cannot cover the axes."""
    ink = {"color": _INK}
    return {
        "animation": False,
        "grid": {"left": 8, "right": 16, "top": 26, "bottom": 4, "containLabel": True},
        "title": {"text": "No data", "left": "center", "top": "middle", "textStyle": {**ink, "fontSize": 14}},
        "tooltip": {"trigger": "axis", "confine": True},
        "xAxis": {"type": "time", "max": 0, "axisLabel": {**ink, "hideOverlap": True}, "axisLine": {"lineStyle": ink}},
        "yAxis": {
            "type": "value",
            "min": 0,
            "minInterval": 1,
            "name": unit,
            "nameGap": 10,
            "nameTextStyle": {**ink, "align": "left"},
            "axisLabel": ink,
            "splitNumber": 4,
            "splitLine": {"lineStyle": {"opacity": 0.25}},
        },
        "series": [],
    }


def series(lines: Lines, kind: Kind, period: int) -> list[dict[str, Any]]:
    """Return a chart's series; ``period`` (seconds) is the time between two points. No two look the same."""
    return [
        {
            "name": name,
            "type": kind,
            "data": with_gaps(lines[name], period) if kind == "line" else lines[name],
            "stack": "all" if kind == "bar" else None,
            "barMaxWidth": 8,
            "symbol": look.shape,
            "symbolSize": 5,
            "color": look.color,
            "lineStyle": {"type": list(look.dashes) or "solid", "width": 2},
        }
        for name, look in looks(lines).items()
    ]


def with_gaps(points: Points, period: int) -> list[tuple[int, float | None]]:
    """Return the points with an empty one in each gap, so that no line joins the points around it."""
    shown: list[tuple[int, float | None]] = []
    for at, value in points:
        if shown and at - shown[-1][0] > period * 1000:
            shown.append((shown[-1][0] + period * 1000, None))
        shown.append((at, value))
    return shown


def shades(periods: Iterable[FaultPeriod], begin: int, end: int) -> list[dict[str, Any]]:
    """Return a series without a line that shades the periods with a fault; none without such periods."""
    areas = [
        [{"xAxis": max(begin, period.begin)}, {"xAxis": min(end, end if period.end is None else period.end)}]
        for period in periods
    ]
    if not areas:
        return []
    return [
        {
            "name": "fault",
            "type": "line",
            "data": [(begin, 0), (end, 0)],
            "symbol": "none",
            "lineStyle": {"opacity": 0},
            "tooltip": {"show": False},
            "silent": True,
            "markArea": {"silent": True, "itemStyle": _SHADE, "data": areas},
        }
    ]


def description(title: str, unit: str, lines: Lines, faults: Iterable[str] = ()) -> str:
    """Return a plot in words, for screen readers."""
    parts = [
        f"{name}: {points[-1][1]:g} at {clock(points[-1][0])}, maximum {max(value for _, value in points):g}"
        for name, points in lines.items()
        if points
    ]
    shaded = f" Faults on: {', '.join(faults)}." if faults else ""
    return f"{title}, {unit}. " + ("; ".join(parts) or "No data yet") + "." + shaded
