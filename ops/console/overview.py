"""The overview: fault switches, plots and the pipeline on one screen; more plots below."""

from nicegui import ui

from ops.console.figures import Figures
from ops.console.page import Console
from ops.console.pipeline import Pipeline
from ops.console.playground_panel import PlaygroundPanel
from ops.console.plots import Plot, main_plots, more_plots
from ops.console.style import MUTED


class Overview:
    """The content of the first page."""

    name = "Overview"

    def __init__(self, console: Console) -> None:
        self._console = console
        playground = console.playground
        self._faults = {name: switch.label for name, switch in playground.faults.known.items()} if playground else {}
        self._pipeline: Pipeline | None = None
        self._plots: list[Plot] = []
        self._playground: PlaygroundPanel | None = None
        with ui.element("div").classes("top with-playground" if playground else "top") as self._top:
            if playground:
                self._playground = PlaygroundPanel(console.poller, playground)
        self._loading = ui.column().classes("w-full gap-3").props('data-testid="loading"')
        with self._loading:
            ui.label("Reading queues and metrics ...").classes(MUTED)
            ui.skeleton(height="14rem").classes("w-full").props("aria-hidden=true")
        self._empty = ui.label().classes("w-full").props('data-testid="empty"')
        self._empty.visible = False
        self._pipeline_place = ui.element("div").classes("w-full")
        self._more = ui.element("div").classes("plots")

    def show_loading(self, *, is_loading: bool) -> None:
        """Show whether the first figures are awaited."""
        self._loading.visible = is_loading

    def show(self, figures: Figures) -> None:
        """Show these figures."""
        if self._pipeline is None or self._pipeline.consumers != figures.consumers:  # a deployment may add one
            self._pipeline_place.clear()
            with self._pipeline_place:
                self._pipeline = Pipeline(figures.consumers)
        if not self._plots:
            with self._top:
                self._plots = main_plots(self._faults)
            with self._more:
                self._plots += more_plots(self._faults)
        self._pipeline.show(figures)
        for plot in self._plots:
            plot.show(figures)
        self._empty.visible = figures.is_empty
        hint = "Place one above." if self._console.playground else "New orders appear within two minutes."
        self._empty.text = f"No orders in the last {round((figures.at - figures.begin) / 60_000)} minutes. {hint}"
        if self._playground:
            self._playground.show(figures)
