"""The page: its header, its three tabs, and how it shows new figures."""

import logging
from dataclasses import dataclass

from nicegui import background_tasks, ui

from ops.console.dead_letters import DeadLetters
from ops.console.figures import Figures
from ops.console.formats import clock
from ops.console.order_timeline import OrderTimeline
from ops.console.pipeline import Pipeline
from ops.console.playground import Playground
from ops.console.playground_panel import PlaygroundPanel
from ops.console.plots import Plot, plots
from ops.console.poller import Poller, Snapshot
from ops.console.style import CSS, ERROR, MUTED, heading
from ops.stack.deployment import Deployment
from ops.text import sentences

_logger = logging.getLogger(__name__)
# White text has a contrast of 4.5:1 with both; both have 3:1 with a white page and with a dark one.
_PRIMARY, _NEGATIVE = "#2a70c8", "#d32f2f"
OVERVIEW, DEAD_LETTERS, ORDER = "Overview", "Dead letters", "Order"


@dataclass(frozen=True)
class Console:
    """State that all pages share."""

    deployment: Deployment
    where: str
    poller: Poller
    playground: Playground | None = None


class Page:
    """The page in one browser tab."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pipeline: Pipeline | None = None
        self._plots: list[Plot] = []
        self._playground: PlaygroundPanel | None = None
        ui.add_css(CSS)
        ui.colors(primary=_PRIMARY, negative=_NEGATIVE)
        self._draw_header()
        with ui.element("main").classes("w-full max-w-screen-xl mx-auto") as main:
            self._draw_tabs()
        ui.skip_link("Skip to content", target=main)
        console.poller.changed.subscribe(self._show)
        self._show()

    def _draw_header(self) -> None:
        with ui.header(fixed=False).classes("items-center gap-x-4 gap-y-0 px-4 py-2"):
            heading("Handoff", 1)
            ui.label(self._console.where).classes("text-sm grow min-w-0 break-words")
            self._state = ui.label().classes("text-sm").props('data-testid="state"')

    def _draw_tabs(self) -> None:
        with ui.tabs().props("no-caps inline-label align=left").classes("w-full") as self._tabs:
            ui.tab(OVERVIEW, icon="dashboard")
            dead_letters_tab = ui.tab(DEAD_LETTERS, icon="mail_lock")
            ui.tab(ORDER, icon="search")
        with dead_letters_tab:
            self._badge = ui.badge(color="negative").classes("ml-2").props("aria-hidden=true")
        self._error = ui.label().classes(f"w-full p-3 break-words {ERROR}").props('role=alert data-testid="error"')
        with ui.tab_panels(self._tabs, value=OVERVIEW, animated=False).classes("w-full bg-transparent"):
            with ui.tab_panel(OVERVIEW).classes("p-2 gap-3"):
                self._draw_overview()
            with ui.tab_panel(DEAD_LETTERS).classes("p-2 gap-3"):
                self._dead_letters = DeadLetters(self._console.deployment, self._console.poller, self._to_order)
            with ui.tab_panel(ORDER).classes("p-2 gap-3"):
                playground = self._console.playground
                self._order = OrderTimeline(self._console.deployment, playground.act if playground else None)
        self._tabs.on_value_change(self._tab_changed)

    def _draw_overview(self) -> None:
        self._loading = ui.column().classes("w-full gap-3").props('data-testid="loading"')
        with self._loading:
            ui.label("Reading queues and metrics ...").classes(MUTED)
            ui.skeleton(height="14rem").classes("w-full").props("aria-hidden=true")
        self._empty = ui.label().classes("w-full p-3").props('data-testid="empty"')
        self._pipeline_place = ui.column().classes("w-full gap-3")
        if self._console.playground:
            self._playground = PlaygroundPanel(self._console.poller, self._console.playground, self._to_order)
        self._plots_place = ui.element("section").classes("w-full grid gap-3 grid-cols-1 md:grid-cols-2")

    def _show(self) -> None:
        """Show the poller's snapshot."""
        snapshot, figures = self._console.poller.snapshot, self._console.poller.snapshot.figures
        problem = self._problem(snapshot)
        self._loading.visible = figures is None and not problem
        self._error.visible = bool(problem)
        self._error.text = problem
        self._state.text = snapshot.state
        if figures is None:
            return
        try:
            self._show_figures(figures)
        except Exception as error:  # a bug in the console: a page that is half updated must not look live
            _logger.exception("The figures cannot be shown")
            self._state.text = f"stale, {clock(figures.at)}"
            self._error.visible = True
            self._error.text = f"Cannot show all data: internal console error {type(error).__name__}."

    def _problem(self, snapshot: Snapshot) -> str:
        """Return why the figures are not current, and how old they are; empty if they are current."""
        age = [f"The page shows data from {clock(snapshot.figures.at)}"] if snapshot.figures else []
        if snapshot.error:
            retry = f"Retrying every {self._console.poller.interval:g} s"
            return sentences(f"Cannot read the stack: {snapshot.error}", retry, *age)
        if snapshot.silent_since is not None:
            return sentences(f"The stack has not answered since {clock(snapshot.silent_since)}. Still waiting", *age)
        return ""

    def _show_figures(self, figures: Figures) -> None:
        if self._pipeline is None or self._pipeline.consumers != figures.consumers:  # a deployment may add one
            self._pipeline_place.clear()
            with self._pipeline_place:
                self._pipeline = Pipeline(figures.consumers, self._to_dead_letters)
        if not self._plots:
            with self._plots_place:
                self._plots = plots()
        self._pipeline.show(figures)
        for plot in self._plots:
            plot.show(figures)
        self._empty.visible = figures.is_empty
        hint = "Place one below." if self._console.playground else "New orders appear within two minutes."
        self._empty.text = f"No orders in the last {round((figures.at - figures.begin) / 60_000)} minutes. {hint}"
        self._badge.text = f"{figures.dead_letters}"
        self._badge.visible = bool(figures.dead_letters)
        if self._playground:
            self._playground.show(figures)

    async def _tab_changed(self) -> None:
        if self._tabs.value == DEAD_LETTERS:
            await self._dead_letters.refresh()

    def _to_dead_letters(self) -> None:
        self._to(DEAD_LETTERS)

    def _to_order(self, order_id: str) -> None:
        self._to(ORDER)
        background_tasks.create(self._order.search(order_id), name="search")

    def _to(self, tab: str) -> None:
        """Show a tab from its top: on a phone, the overview is long."""
        self._tabs.set_value(tab)
        ui.navigate.to(self._tabs)
