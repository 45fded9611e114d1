"""A state on the page: an icon and a word."""

from nicegui import ui

from ops.console.states import State


class StateBadge:
    """A state as an icon and a word."""

    def __init__(self) -> None:
        with ui.row().classes("items-center gap-1 no-wrap") as self._badge:
            self._icon = ui.icon("help").props("aria-hidden=true")
            self._word = ui.label().props("data-testid=state")

    def show(self, state: State) -> None:
        """Show a state."""
        self._word.text = state.word
        self._icon.name = state.icon
        self._badge.classes(replace=f"row items-center gap-1 no-wrap whitespace-nowrap {state.style}")
