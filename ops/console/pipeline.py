"""The order pipeline as a picture: from the orders over the event bus to what each consumer has done."""

from nicegui import ui

from ops.console import routes, states
from ops.console.chart import looks
from ops.console.consumer_row import ConsumerRow, draw_titles
from ops.console.figures import PERCENTILES, Figures
from ops.console.formats import clock, milliseconds, seconds
from ops.console.state_badge import StateBadge
from ops.console.style import MUTED, heading

_STATION = "gap-0 p-3 w-full"


class Pipeline:
    """The picture, with a row for each of these consumers, whatever their names."""

    def __init__(self, consumers: list[str]) -> None:
        self.consumers = consumers
        with ui.element("section").props('aria-label="Order pipeline"').classes("pipeline"):
            with ui.element("div").classes("stations"):
                self._draw_orders()
                _arrow()
                self._draw_bus()
            _arrow("pipeline-arrow")
            with ui.element("div").classes("min-w-0 grow"):
                self._draw_consumers(consumers)

    def show(self, figures: Figures) -> None:
        """Show these figures."""
        newest = {name: figures.newest(figures.response_time(name)) for name in PERCENTILES}
        for name, point in newest.items():
            self._times[name].text = milliseconds(point[1] if point else None)
        end, responses = figures.last_minute()
        self._rate.text = f"{responses:.0f} responses in the minute to {clock(end)}"
        bus = states.of_bus(figures.waiting)
        self._bus.show(bus)
        self._bus_card.classes(replace=f"{_STATION} {bus.tone}")
        self._waiting.text = states.waiting_text(figures.waiting)
        self._unfinished.text = f"oldest unfinished work: {seconds(figures.unfinished)}"
        most = max([10, *(lag.backlog for lag in figures.lags)])
        for row, lag in zip(self._rows, figures.lags, strict=True):
            row.show(lag, figures, most)
        minutes = round((figures.at - figures.begin) / 60_000)
        self._note.text = (
            f"Backlog trend and done: the last {minutes} min. Lag: from the event to its effect, over 5 min."
        )
        others = figures.other_dead_letters
        self._others.text = f"{states.dead_letters_text(others)} of events without a queue"
        self._others.visible = bool(others)

    def _draw_orders(self) -> None:
        with _station("Orders", "storefront"):
            with ui.element("dl").classes("flex gap-x-4"):
                self._times = {name: _fact(name) for name in PERCENTILES}
            self._rate = ui.label().classes("text-sm").props("data-testid=rate")

    def _draw_bus(self) -> None:
        with _station("Event bus", "hub").props("data-testid=bus") as self._bus_card:
            self._bus = StateBadge()
            self._waiting = ui.label().classes("text-sm").props("data-testid=outboxes")
            self._unfinished = ui.label().classes(MUTED).props("data-testid=unfinished")

    def _draw_consumers(self, consumers: list[str]) -> None:
        with ui.element("table").classes("consumers").props('aria-label="Consumers"'):
            draw_titles()
            with ui.element("tbody"):
                self._rows = [ConsumerRow(name, look.color) for name, look in looks(consumers).items()]
        with ui.row().classes("w-full justify-between gap-x-4 gap-y-0"):
            self._note = ui.label().classes(MUTED)
            self._others = ui.link(target=routes.dead_letters())


def _fact(name: str) -> ui.label:
    with ui.element("div"):
        with ui.element("dt").classes(MUTED):
            ui.label(name)
        with ui.element("dd").classes("m-0"):
            return ui.label("-").classes("text-base").props(f'data-testid="{name}"')


def _station(name: str, icon: str) -> ui.card:
    card = ui.card().classes(_STATION).props('flat bordered tag="section"')
    with card, ui.row().classes("items-center gap-2"):
        ui.icon(icon).props("aria-hidden=true")
        heading(name, 2)
    return card


def _arrow(style: str = "") -> None:
    ui.icon("arrow_forward" if style else "arrow_downward", size="sm").classes(f"self-center {style}").props(
        "aria-hidden=true"
    )
