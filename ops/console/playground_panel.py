"""The panel with sample orders and fault switches."""

import math
from collections.abc import Callable
from functools import partial

import httpx
from nicegui import run, ui
from nicegui.events import ValueChangeEventArguments

from handoff.clock import now_ms
from ops.console.errors import describe
from ops.console.figures import Figures
from ops.console.formats import milliseconds
from ops.console.playground import KEPT, FaultSwitches, Playground, SampleOrder
from ops.console.poller import Poller
from ops.console.style import ERROR, MUTED, heading

Toggled = ValueChangeEventArguments[bool | None]


class PlaygroundPanel:
    """One page's panel. ``to_order`` shows an order's timeline."""

    def __init__(self, poller: Poller, playground: Playground, to_order: Callable[[str], object]) -> None:
        self._poller = poller
        self._orders = playground.orders
        self._turned_at = 0.0  # ms; figures from before do not show the switches as they are now
        self._switches: dict[str, ui.switch] = {}
        with ui.card().classes("w-full gap-2 p-3").props('flat bordered tag="section"'):
            heading("Try it on this local stack", 2)
            with ui.row().classes("items-center gap-x-4 gap-y-2"):
                ui.button("Place a sample order", icon="add_shopping_cart", on_click=self._place).props(
                    "no-caps unelevated"
                )
                self._repeats = ui.switch("One every second", on_change=self._repeat)
            with ui.column().classes("gap-1").props('aria-live=polite data-testid="sample-orders"'):
                self._error = ui.label().classes(ERROR)
                self._lines = [_Line(to_order) for _ in range(KEPT)]
            self._show_orders()
            self._draw_switches(playground.faults)

    def show(self, figures: Figures) -> None:
        """Show changes that other pages made, too."""
        self._repeats.set_value(self._orders.repeats)
        self._show_orders()
        if figures.at > self._turned_at:
            for name, switch in self._switches.items():
                switch.set_value(name in figures.faults)

    def _draw_switches(self, faults: FaultSwitches) -> None:
        heading("Inject a fault and watch response times stay low", 3)
        with ui.element("div").classes("grid gap-3 grid-cols-1 md:grid-cols-3 w-full"):
            for name, known in faults.known.items():
                with ui.column().classes("gap-0"):
                    switch = ui.switch(known.label, on_change=partial(self._turn, faults, name))
                    self._switches[name] = switch.props(f'color=negative data-testid="switch-{name}"')
                    ui.label(known.hint).classes(MUTED)

    async def _turn(self, faults: FaultSwitches, name: str, event: Toggled) -> None:
        self._turned_at = math.inf
        try:
            await run.io_bound(faults.turn, name, on=bool(event.value))
        except httpx.HTTPError as error:
            ui.notify(f"The fault proxy did not respond: {describe(error)}", type="negative")
        self._turned_at = now_ms()
        self._poller.poll_now()

    def _repeat(self, event: Toggled) -> None:
        self._orders.repeats = bool(event.value)

    async def _place(self) -> None:
        await self._orders.place()
        self._show_orders()
        self._poller.poll_now()

    def _show_orders(self) -> None:
        """Show the last responses, newest first."""
        error = self._orders.error
        self._error.text = f"Order failed: {error}" if error else ""
        self._error.visible = bool(error)
        for line, placed in zip(self._lines, [*self._orders.placed, *[None] * KEPT], strict=False):
            line.show(placed)


class _Line:
    """A line for a response. New responses reuse it: replacing the elements would lose focus and clicks."""

    def __init__(self, to_order: Callable[[str], object]) -> None:
        self._order_id = ""
        with ui.row().classes("items-center gap-x-3 gap-y-0") as self._row:
            self._response = ui.label()
            self._button = ui.button("View timeline", on_click=lambda: to_order(self._order_id), color=None)
            self._button.classes("underline").props("flat dense no-caps")

    def show(self, placed: tuple[int, SampleOrder] | None) -> None:
        self._row.visible = placed is not None
        if placed:
            number, order = placed
            self._response.text = f"Request {number}: {order.status} in {milliseconds(order.milliseconds)}"
            self._order_id = order.order_id
            self._button.visible = bool(order.order_id)
