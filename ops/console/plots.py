"""Plots over time, each with a text for screen readers and a table."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any, Literal

from nicegui import ui

from ops.console.figures import OUTCOMES, PERCENTILES, Figures, Points
from ops.console.formats import clock
from ops.console.style import heading

_HEIGHT = "h-56"
_TABLE_ROWS = 12
_INK = "currentColor"  # of the page's text, light or dark: the plots are SVG
# Lines differ in color, dashes and point shapes, and not in color alone (WCAG 2.2, 1.4.1). The lists differ in length,
# so that their combinations repeat late. The colors have a contrast of 3:1 with both backgrounds (1.4.11).
_COLORS = ("#2b7de1", "#c2620a", "#0f8a6d", "#a855c7", "#d6336c", "#767d85", "#8a7a00")
_DASHES = ("solid", "dashed", "dotted", [8, 3, 2, 3])
_SHAPES = ("circle", "triangle", "rect", "diamond", "pin", "arrow", "roundRect")

Lines = dict[str, Points]


@dataclass
class Plot:
    """One plot. ``lines`` reads its lines, or stacked bars, from the figures."""

    title: str
    unit: str
    lines: Callable[[Figures], Lines]
    kind: Literal["line", "bar"] = "line"
    decimals: int = 0
    _drawn: Lines = field(default_factory=dict)

    def __post_init__(self) -> None:
        with ui.card().classes("w-full gap-1 p-3").props('flat bordered tag="section"'):
            heading(f"{self.title}, {self.unit}", 3)
            self._chart = ui.echart(_options(self.kind), renderer="svg").classes(f"w-full {_HEIGHT}").props("role=img")
            with ui.expansion("Show as table").classes("w-full").props("dense") as self._expansion:
                self._table = ui.table(rows=[], columns=[], row_key="at").classes("w-full").props("flat dense")
        self._expansion.on_value_change(self._fill)

    def show(self, figures: Figures) -> None:
        """Draw the figures. Sends nothing to the browser if they have not changed."""
        lines = {name: _rounded(points, self.decimals) for name, points in self.lines(figures).items()}
        end = figures.begin + (figures.at - figures.begin) // 1000 // figures.period * figures.period * 1000
        if lines == self._drawn and self._chart.options["xAxis"]["max"] == end:
            return
        self._drawn = lines
        self._chart.options["xAxis"] |= {"min": figures.begin, "max": end}
        self._chart.options["series"] = series(lines, self.kind)
        self._chart.options["title"]["show"] = not any(lines.values())
        self._chart.props["aria-label"] = _description(self.title, self.unit, lines)
        self._chart.update()
        self._fill()

    def _fill(self) -> None:
        """Show the newest figures in the table, newest first, if it is open."""
        if not self._expansion.value:
            return
        names = list(self._drawn)
        columns = [("at", "time"), *((name, name) for name in names)]
        self._table.columns = [
            {"name": name, "label": label, "field": name, "align": "left"} for name, label in columns
        ]
        times = sorted({at for points in self._drawn.values() for at, _ in points}, reverse=True)
        by_name = {name: dict(points) for name, points in self._drawn.items()}
        self._table.rows = [
            {"at": clock(at), **{name: by_name[name].get(at, "-") for name in names}}
            for at in islice(times, _TABLE_ROWS)
        ]


def plots() -> list[Plot]:
    """Draw all plots of the page."""
    return [
        Plot("Responses", "orders", lambda figures: {name: figures.requests(name) for name in OUTCOMES}, kind="bar"),
        Plot("Response time", "ms", lambda figures: {name: figures.response_time(name) for name in PERCENTILES}),
        Plot("Queue depth", "messages", _each(Figures.queued)),
        Plot("Lag p99", "s", _each(lambda figures, consumer: _in_seconds(figures.lag(consumer))), decimals=2),
        Plot("Age of oldest message", "s", _each(Figures.oldest)),
        Plot("Failed attempts", "events", _each(Figures.failures), kind="bar"),
    ]


def _each(read: Callable[[Figures, str], Points]) -> Callable[[Figures], Lines]:
    """Return a function that reads a line for each consumer."""
    return lambda figures: {consumer: read(figures, consumer) for consumer in figures.consumers}


def _in_seconds(points: Points) -> Points:
    return [(at, value / 1000) for at, value in points]


def series(lines: Lines, kind: Literal["line", "bar"]) -> list[dict[str, Any]]:
    """Return a chart's series. No two look the same."""
    return [
        {
            "name": name,
            "type": kind,
            "data": points,
            "stack": "all" if kind == "bar" else None,
            "barMaxWidth": 8,
            "symbol": shape,
            "symbolSize": 6,
            "color": color,
            "lineStyle": {"type": dashes, "width": 2},
        }
        for (name, points), color, dashes, shape in zip(
            lines.items(), cycle(_COLORS), cycle(_DASHES), cycle(_SHAPES), strict=False
        )
    ]


def _options(kind: str) -> dict[str, Any]:
    ink = {"color": _INK}
    return {
        "animation": False,
        "grid": {"left": 8, "right": 16, "top": 36, "bottom": 8, "containLabel": True},
        "legend": {
            "type": "scroll",  # one line, also where it is wider than a phone
            "top": 0,
            "left": 0,
            "itemWidth": 18,
            "textStyle": ink,
            "pageTextStyle": ink,
            "pageIconColor": _INK,
        },
        "title": {"text": "No data", "left": "center", "top": "middle", "textStyle": {**ink, "fontSize": 14}},
        "tooltip": {"trigger": "axis", "confine": True},
        "xAxis": {"type": "time", "max": 0, "axisLabel": {**ink, "hideOverlap": True}, "axisLine": {"lineStyle": ink}},
        "yAxis": {
            "type": "value",
            "min": 0,
            "minInterval": 1,
            "axisLabel": ink,
            "splitLine": {"lineStyle": {"opacity": 0.25}},
        },
        "series": [],
    }


def _rounded(points: Points, decimals: int) -> Points:
    return [(at, round(value, decimals)) for at, value in points]


def _description(title: str, unit: str, lines: Lines) -> str:
    """Return the plot in words, for screen readers."""
    parts = [
        f"{name}: {points[-1][1]:g} at {clock(points[-1][0])}, maximum {max(value for _, value in points):g}"
        for name, points in lines.items()
        if points
    ]
    return f"{title}, {unit}. " + ("; ".join(parts) or "No data yet") + "."
