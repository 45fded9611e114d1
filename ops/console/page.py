"""The frame of each page: header, navigation, the error of the last read; and how new figures are shown."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nicegui import ui

from ops.console import routes, states
from ops.console.figures import Figures
from ops.console.formats import clock
from ops.console.playground import Playground
from ops.console.poller import Poller, Snapshot
from ops.console.style import CSS, ERROR, heading
from ops.stack.deployment import Deployment
from ops.text import sentences

_logger = logging.getLogger(__name__)
# White text has a contrast of 4.5:1 with both; both have 3:1 with a white page and with a dark one.
_PRIMARY, _NEGATIVE = "#2a70c8", "#d32f2f"
_VIEWS = {"Overview": routes.OVERVIEW, "Dead letters": routes.DEAD_LETTERS, "Order": routes.ORDERS}


@dataclass(frozen=True)
class Console:
    """State that all pages share."""

    deployment: Deployment
    where: str
    poller: Poller
    playground: Playground | None = None


class View(Protocol):
    """The content of a page."""

    name: str  # one of the navigation's

    def show(self, figures: Figures) -> None:
        """Show new figures."""

    def show_loading(self, *, is_loading: bool) -> None:
        """Show whether the first figures are awaited."""


class Page:
    """A page in one browser tab. ``draw`` draws its content."""

    def __init__(self, console: Console, draw: Callable[[Console], View]) -> None:
        self._console = console
        ui.add_css(CSS)
        ui.colors(primary=_PRIMARY, negative=_NEGATIVE)
        header = ui.header(fixed=False).classes("items-center gap-x-4 gap-y-1 px-4 py-2")
        with ui.element("div").classes("w-full max-w-[1560px] mx-auto flex flex-col gap-3") as content:
            self._error = ui.label().classes(f"w-full break-words {ERROR}").props('role=alert data-testid="error"')
            self._view = draw(console)
        with header:
            self._draw_header()
        ui.page_title(f"{self._view.name} · Handoff")
        ui.skip_link("Skip to content", target=content)
        console.poller.changed.subscribe(self._show)
        self._show()

    def _draw_header(self) -> None:
        heading("Handoff", 1)
        with ui.element("nav").props('aria-label="Pages"').classes("flex flex-wrap gap-1"):
            for name, address in _VIEWS.items():
                link = ui.link(target=address).props("aria-current=page" if name == self._view.name else "")
                with link, ui.row().classes("items-center gap-2 no-wrap"):
                    ui.label(name)
                    if address == routes.DEAD_LETTERS:
                        self._badge = ui.label().classes("badge").props("data-testid=dead-letters")
        ui.label(self._console.where).classes("text-sm grow min-w-0 break-words text-right max-md:text-left")
        self._state = ui.label().classes("text-sm").props('data-testid="page-state"')

    def _show(self) -> None:
        """Show the poller's snapshot."""
        snapshot, figures = self._console.poller.snapshot, self._console.poller.snapshot.figures
        problem = self._problem(snapshot)
        self._view.show_loading(is_loading=figures is None and not problem)
        self._error.visible = bool(problem)
        self._error.text = problem
        self._state.text = snapshot.state
        self._badge.visible = bool(figures and figures.dead_letters)
        if figures is None:
            return
        self._badge.text = f"{figures.dead_letters}"
        self._badge.props["aria-label"] = states.dead_letters_text(figures.dead_letters)
        try:
            self._view.show(figures)
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
