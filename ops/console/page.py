"""The page: what stands at its top, and its three parts."""

import logging
from dataclasses import dataclass

from nicegui import background_tasks, ui

from ops.console.figures import Figures
from ops.console.letters import Letters
from ops.console.order import Order
from ops.console.parts import QUIET, TROUBLE, clock, heading
from ops.console.playground import Playground
from ops.console.plots import Plot, plots
from ops.console.road import Road
from ops.console.try_it import TryIt
from ops.console.watch import Watch
from ops.stack.deployment import Deployment

_logger = logging.getLogger(__name__)
# White text stands out 4.5 to one on both; both stand out three to one on a white page and on a dark one.
_PRIMARY, _NEGATIVE = "#2a70c8", "#d32f2f"
# Quasar hides the mark of the focus, in a layer of its own with !important: only an earlier layer is stronger.
_FOCUS = "@layer base { :focus-visible { outline: 3px solid currentColor !important; outline-offset: 2px } }"
ROAD, LETTERS, ORDER = "Road", "Dead letters", "Order"


@dataclass(frozen=True)
class Console:
    """State that all pages share."""

    deployment: Deployment
    where: str
    watch: Watch
    playground: Playground | None = None


class Page:
    """One browser's page."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._road: Road | None = None
        self._plots: list[Plot] = []
        self._try_it: TryIt | None = None
        ui.add_css(_FOCUS)
        ui.colors(primary=_PRIMARY, negative=_NEGATIVE)
        self._draw_header()
        with ui.element("main").classes("w-full max-w-screen-xl mx-auto") as main:
            self._draw_tabs()
        ui.skip_link("Skip to the content", target=main)
        console.watch.changed.subscribe(self._show)
        self._show()

    def _draw_header(self) -> None:
        with ui.header(fixed=False).classes("items-center gap-x-4 gap-y-0 px-4 py-2"):
            heading("Handoff", 1)
            ui.label(self._console.where).classes("text-sm grow min-w-0 break-words")
            self._state = ui.label().classes("text-sm").props('data-testid="state"')

    def _draw_tabs(self) -> None:
        with ui.tabs().props("no-caps inline-label align=left").classes("w-full") as self._tabs:
            ui.tab(ROAD, icon="route")
            letters_tab = ui.tab(LETTERS, icon="mail_lock")
            ui.tab(ORDER, icon="search")
        with letters_tab:
            self._badge = ui.badge(color="negative").props("floating aria-hidden=true")
        self._trouble = (
            ui.label().classes(f"w-full p-3 break-words {TROUBLE}").props('role=alert data-testid="trouble"')
        )
        with ui.tab_panels(self._tabs, value=ROAD, animated=False).classes("w-full bg-transparent"):
            with ui.tab_panel(ROAD).classes("p-2 gap-3"):
                self._draw_road()
            with ui.tab_panel(LETTERS).classes("p-2 gap-3"):
                self._letters = Letters(self._console.deployment, self._console.watch, self._to_order)
            with ui.tab_panel(ORDER).classes("p-2 gap-3"):
                self._order = Order(self._console.deployment)
        self._tabs.on_value_change(self._tab_changed)

    def _draw_road(self) -> None:
        self._loading = ui.column().classes("w-full gap-3").props('data-testid="loading"')
        with self._loading:
            ui.label("Looking at the queues and metrics ...").classes(QUIET)
            ui.skeleton(height="14rem").classes("w-full").props("aria-hidden=true")
        self._empty = ui.label().classes("w-full p-3").props('data-testid="empty"')
        self._road_place = ui.column().classes("w-full gap-3")
        if self._console.playground:
            self._try_it = TryIt(self._console.watch, self._console.playground, self._to_order)
        self._plots_place = ui.element("section").classes("w-full grid gap-3 grid-cols-1 md:grid-cols-2")

    def _show(self) -> None:
        """Show what the watch has seen."""
        sight = self._console.watch.sight
        every = f"{self._console.watch.every:g} s"
        self._loading.visible = sight.figures is None and not sight.trouble
        self._trouble.visible = bool(sight.trouble)
        if sight.trouble:
            kept = f" What is shown is of {clock(sight.figures.at)}." if sight.figures else ""
            self._trouble.text = f"Can't look: {sight.trouble}. Trying again every {every}.{kept}"
        if sight.figures is None:
            self._state.text = "no answer" if sight.trouble else "looking ..."
            return
        self._state.text = f"{'stopped' if sight.trouble else 'live'}, {clock(sight.figures.at)}"
        try:
            self._show_figures(sight.figures)
        except Exception as error:  # a mistake of ours: nobody is to take what is half drawn for the present
            _logger.exception("Figures can't be shown")
            self._state.text = f"stopped, {clock(sight.figures.at)}"
            self._trouble.visible = True
            self._trouble.text = f"Can't show all that was seen: the console's own error, {type(error).__name__}."

    def _show_figures(self, figures: Figures) -> None:
        if self._road is None or self._road.consumers != figures.consumers:  # a deployment may add one
            self._road_place.clear()
            with self._road_place:
                self._road = Road(figures.consumers, self._to_letters)
        if not self._plots:
            with self._plots_place:
                self._plots = plots()
        self._road.show(figures)
        for plot in self._plots:
            plot.show(figures)
        self._empty.visible = figures.is_empty
        ask = "place one below" if self._console.playground else "they show up here within two minutes"
        self._empty.text = f"No orders in the last {round((figures.at - figures.begin) / 60_000)} minutes: {ask}."
        self._badge.text = f"{figures.dead_letters}"
        self._badge.visible = bool(figures.dead_letters)
        if self._try_it:
            self._try_it.show(figures)

    async def _tab_changed(self) -> None:
        if self._tabs.value == LETTERS:
            await self._letters.look()

    def _to_letters(self) -> None:
        self._to(LETTERS)

    def _to_order(self, order_id: str) -> None:
        self._to(ORDER)
        background_tasks.create(self._order.search(order_id), name="search")

    def _to(self, tab: str) -> None:
        """Show a tab from its top on: the road is long on a phone."""
        self._tabs.set_value(tab)
        ui.navigate.to(self._tabs)
