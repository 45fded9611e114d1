"""Plots over time, each with its figures in words and as a table."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any, Literal

from nicegui import ui

from ops.console.figures import ANSWERS, TIMES, Figures, Points
from ops.console.parts import clock, heading

_HEIGHT = "h-56"
_TABLE_ROWS = 12
_INK = "currentColor"  # of the page's text, light or dark: the plots are SVG
# Each line is told from the others by its colour, by its dashes and by the shape of its points, beginning anew where
# there are more lines. The colours stand out three to one against both backgrounds.
_COLOURS = ("#2b7de1", "#c2620a", "#0f8a6d", "#a855c7", "#d6336c", "#767d85", "#8a7a00")
_DASHES = ("solid", "dashed", "dotted", [8, 3, 2, 3])
_SHAPES = ("circle", "triangle", "rect", "diamond", "pin", "arrow", "roundRect")

Look = Callable[[Figures], dict[str, Points]]


@dataclass
class Plot:
    """One plot; ``of`` finds its lines, or stacked bars, in the figures. ``show`` draws them."""

    title: str
    unit: str
    of: Look
    kind: Literal["line", "bar"] = "line"
    decimals: int = 0
    _drawn: dict[str, Points] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with ui.card().classes("w-full gap-1 p-3").props('flat bordered tag="section"'):
            heading(f"{self.title}, {self.unit}" if self.unit else self.title, 3)
            self._chart = ui.echart(_options(self.kind), renderer="svg").classes(f"w-full {_HEIGHT}").props("role=img")
            with ui.expansion("As a table").classes("w-full").props("dense") as self._table_of:
                self._table = ui.table(rows=[], columns=[], row_key="at").classes("w-full").props("flat dense")
        self._table_of.on_value_change(self._fill)

    def show(self, figures: Figures) -> None:
        """Draw the figures; nothing is sent to the page if they are the same as before."""
        lines = {name: _rounded(points, self.decimals) for name, points in self.of(figures).items()}
        end = figures.begin + (figures.at - figures.begin) // 1000 // figures.period * figures.period * 1000
        if lines == self._drawn and self._chart.options["xAxis"]["max"] == end:
            return
        self._drawn = lines
        self._chart.options["xAxis"] |= {"min": figures.begin, "max": end}
        self._chart.options["series"] = drawn(lines, self.kind)
        self._chart.props["aria-label"] = _in_words(self.title, self.unit, lines)
        self._chart.update()
        self._fill()

    def _fill(self) -> None:
        """The newest figures, newest first, if the table is open."""
        if not self._table_of.value:
            return
        names = list(self._drawn)
        columns = [("at", "from"), *((name, name) for name in names)]
        self._table.columns = [
            {"name": name, "label": label, "field": name, "align": "left"} for name, label in columns
        ]
        moments = sorted({at for points in self._drawn.values() for at, _ in points}, reverse=True)
        by_name = {name: dict(points) for name, points in self._drawn.items()}
        self._table.rows = [
            {"at": clock(at), **{name: by_name[name].get(at, "-") for name in names}}
            for at in islice(moments, _TABLE_ROWS)
        ]


def plots() -> list[Plot]:
    """All plots of the page."""
    return [
        Plot("Answers", "orders", _answers, kind="bar"),
        Plot("Time to answer", "ms", lambda figures: {name: figures.answer_time(name) for name in TIMES}),
        Plot("In the queues", "messages", _each(Figures.queued)),
        Plot("Lag p99", "s", _each(lambda figures, consumer: _in_seconds(figures.lag(consumer))), decimals=2),
        Plot("Oldest message", "s", _each(Figures.oldest)),
        Plot("Failed tries", "events", _each(Figures.failures), kind="bar"),
    ]


def _answers(figures: Figures) -> dict[str, Points]:
    return {answer: figures.answers(answer) for answer in ANSWERS}


def _each(look: Callable[[Figures, str], Points]) -> Callable[[Figures], dict[str, Points]]:
    """A line for each consumer."""
    return lambda figures: {consumer: look(figures, consumer) for consumer in figures.consumers}


def _in_seconds(points: Points) -> Points:
    return [(at, value / 1000) for at, value in points]


def drawn(lines: dict[str, Points], kind: Literal["line", "bar"]) -> list[dict[str, Any]]:
    """The series of a chart, each told from the others, however many consumers there are."""
    return [
        {
            "name": name,
            "type": kind,
            "data": points,
            "stack": "all" if kind == "bar" else None,
            "barMaxWidth": 8,
            "symbol": shape,
            "symbolSize": 6,
            "color": colour,
            "lineStyle": {"type": dashes, "width": 2},
        }
        for (name, points), colour, dashes, shape in zip(
            lines.items(), cycle(_COLOURS), cycle(_DASHES), cycle(_SHAPES), strict=False
        )
    ]


def _options(kind: str) -> dict[str, Any]:
    ink = {"color": _INK}
    return {
        "animation": False,
        "grid": {"left": 8, "right": 16, "top": 36, "bottom": 8, "containLabel": True},
        "legend": {"top": 0, "left": 0, "textStyle": ink, "icon": None},
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


def _in_words(title: str, unit: str, lines: dict[str, Points]) -> str:
    parts = [
        f"{name}: {points[-1][1]:g} at {clock(points[-1][0])}, at most {max(value for _, value in points):g}"
        for name, points in lines.items()
        if points
    ]
    return f"{title}, {unit}. " + ("; ".join(parts) or "Nothing yet") + "."
