"""Plots over time, each with a legend, a text for screen readers and a table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from nicegui import ui

from ops.console import chart
from ops.console.chart import Kind, Lines, Look
from ops.console.figures import OUTCOMES, PERCENTILES, Figures, Points
from ops.console.formats import clock
from ops.console.style import MUTED, heading

_TABLE_ROWS = 12
_MARKS = {"triangle": "0,-4 4,4 -4,4", "diamond": "0,-5 5,0 0,5 -5,0", "rect": "-4,-4 4,-4 4,4 -4,4"}


@dataclass
class Plot:
    """One plot. ``lines`` reads its lines, or stacked bars, from the figures; ``faults`` are the switches' labels."""

    title: str
    unit: str
    lines: Callable[[Figures], Lines]
    kind: Kind = "line"
    decimals: int = 0
    faults: Mapping[str, str] = field(default_factory=dict)
    _drawn: dict[str, Points] = field(default_factory=dict)
    _names: list[str] = field(default_factory=list)  # in the legend

    def __post_init__(self) -> None:
        with ui.card().classes("w-full gap-1 p-3 plot").props('flat bordered tag="section"'):
            with ui.row().classes("w-full items-baseline justify-between gap-x-3 gap-y-0"):
                heading(f"{self.title}, {self.unit}", 2)
                with ui.row().classes("items-center gap-1 no-wrap").props("aria-hidden=true") as self._shaded:
                    ui.element("span").classes("fault-swatch")
                    self._faults_on = ui.label().classes(MUTED)
            self._legend = ui.row().classes("gap-x-3 gap-y-0 text-sm").props("aria-hidden=true data-testid=legend")
            self._chart = ui.echart(chart.options(self.unit), renderer="svg")
            self._chart.classes("w-full plot-chart").props("role=img")
            with ui.expansion("Show as table").classes("w-full").props("dense") as self._expansion:
                self._table = ui.table(rows=[], columns=[], row_key="at").classes("w-full").props("flat dense")
        self._expansion.on_value_change(self._fill)

    def show(self, figures: Figures) -> None:
        """Draw the figures. Sends nothing to the browser if they have not changed."""
        lines = {name: _rounded(points, self.decimals) for name, points in self.lines(figures).items()}
        end = figures.begin + (figures.at - figures.begin) // 1000 // figures.period * figures.period * 1000
        on = [self.faults.get(period.name, period.name) for period in figures.fault_periods]
        faults = list(dict.fromkeys(on))
        self._draw_legend([*lines])
        self._shaded.visible = bool(faults)
        self._faults_on.text = f"fault on: {', '.join(faults)}"
        if lines == self._drawn and self._chart.options["xAxis"]["max"] == end:
            return
        self._drawn = lines
        self._chart.options["xAxis"] |= {"min": figures.begin, "max": end}
        shaded = chart.shades(figures.fault_periods, figures.begin, end)
        self._chart.options["series"] = chart.series(lines, self.kind, figures.period) + shaded
        self._chart.options["title"]["show"] = not any(lines.values())
        self._chart.props["aria-label"] = chart.description(self.title, self.unit, lines, faults)
        self._chart.update()
        self._fill()

    def _draw_legend(self, names: list[str]) -> None:
        if self._names == names:
            return
        self._names = names
        self._legend.clear()
        with self._legend:
            for name, look in chart.looks(names).items():
                with ui.row().classes("items-center gap-1 no-wrap"):
                    _swatch(look, self.kind)
                    ui.label(name)

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


def main_plots(faults: Mapping[str, str]) -> list[Plot]:
    """Draw the plots that tell the story: answers stay fast while a backlog grows."""
    return [
        Plot(
            "Response time",
            "ms",
            lambda figures: {name: figures.response_time(name) for name in PERCENTILES},
            faults=faults,
        ),
        Plot("Backlog", "events", _each(Figures.queued), faults=faults),
    ]


def more_plots(faults: Mapping[str, str]) -> list[Plot]:
    """Draw the other plots."""
    return [
        Plot(
            "Responses",
            "orders",
            lambda figures: {name: figures.requests(name) for name in OUTCOMES},
            kind="bar",
            faults=faults,
        ),
        Plot(
            "Lag p99",
            "s",
            _each(lambda figures, consumer: _in_seconds(figures.lag(consumer))),
            decimals=2,
            faults=faults,
        ),
        Plot("Age of oldest message", "s", _each(Figures.oldest), faults=faults),
        Plot("Failed attempts", "events", _each(Figures.failures), kind="bar", faults=faults),
    ]


def _each(read: Callable[[Figures, str], Points]) -> Callable[[Figures], Lines]:
    """Return a function that reads a line for each consumer."""
    return lambda figures: {consumer: read(figures, consumer) for consumer in figures.consumers}


def _swatch(look: Look, kind: Kind) -> None:
    """Draw a piece of a line as the plot shows it, or a bar's color."""
    with ui.element("svg").props('viewBox="0 0 26 12" width=26 height=12 aria-hidden=true'):
        if kind == "bar":
            ui.element("rect").props(f'x=8 y=1 width=10 height=10 fill="{look.color}"')
            return
        dashes = " ".join(map(str, look.dashes))
        line = ui.element("line").props(f'x1=0 y1=6 x2=26 y2=6 stroke="{look.color}" stroke-width=2')
        line.props(f'stroke-dasharray="{dashes}"')
        with ui.element("g").props('transform="translate(13 6)"'):
            if look.shape in _MARKS:
                ui.element("polygon").props(f'points="{_MARKS[look.shape]}" fill="{look.color}"')
            else:
                ui.element("circle").props(f'r=3.5 fill="{look.color}"')


def _in_seconds(points: Points) -> Points:
    return [(at, value / 1000) for at, value in points]


def _rounded(points: Points, decimals: int) -> Points:
    return [(at, round(value, decimals)) for at, value in points]
