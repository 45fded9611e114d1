"""The panel with sample orders, fault switches and poison messages."""

import math
from functools import partial

import httpx
from nicegui import run, ui
from nicegui.events import ValueChangeEventArguments

from handoff.clock import now_ms
from ops.console import routes
from ops.console.errors import ERRORS, describe
from ops.console.figures import Figures
from ops.console.formats import milliseconds
from ops.console.playground import KEPT, FaultSwitches, Playground, SampleOrder
from ops.console.poller import Poller
from ops.console.style import ERROR, MUTED, heading

Toggled = ValueChangeEventArguments[bool | None]


class PlaygroundPanel:
    """One page's panel."""

    def __init__(self, poller: Poller, playground: Playground) -> None:
        self._poller = poller
        self._orders = playground.orders
        self._poison_message = playground.poison
        self._turned_at = 0.0  # ms; figures from before do not show the switches as they are now
        self._switches: dict[str, ui.switch] = {}
        with ui.card().classes("w-full gap-1 p-3 playground").props('flat bordered tag="section"'):
            heading("Try it on this local stack", 2)
            with ui.row().classes("w-full items-center gap-x-2 gap-y-0"):
                ui.button("Place a sample order", on_click=self._place).props('no-caps unelevated padding="xs sm"')
                self._repeats = ui.switch("One every second", on_change=self._repeat).props("dense")
            with ui.column().classes("gap-0").props('aria-live=polite data-testid="sample-orders"'):
                self._error = ui.label().classes(ERROR)
                self._lines = [_Line() for _ in range(KEPT)]
            self._show_orders()
            self._draw_switches(playground.faults)
            self._draw_poison()

    def show(self, figures: Figures) -> None:
        """Show changes that other pages made, too."""
        self._repeats.set_value(self._orders.repeats)
        self._show_orders()
        self._show_consumers(figures.consumers)
        if figures.at > self._turned_at:
            for name, switch in self._switches.items():
                switch.set_value(name in figures.faults)

    def _draw_switches(self, faults: FaultSwitches) -> None:
        for name, known in faults.known.items():
            with ui.column().classes("gap-0"):
                switch = ui.switch(known.label, on_change=partial(self._turn, faults, name))
                self._switches[name] = switch.props(f'dense color=negative data-testid="switch-{name}"')
                ui.label(known.hint).classes(MUTED)

    def _draw_poison(self) -> None:
        with ui.row().classes("w-full items-center gap-2 no-wrap"):
            self._consumer = ui.select([], label="Consumer").props("outlined dense options-dense").classes("grow")
            ui.button("Send poison", icon="science", on_click=self._poison, color=None).props(
                'outline no-caps padding="xs sm"'
            ).tooltip("Sends a message that the consumer rejects, so that it becomes a dead letter")

    def _show_consumers(self, consumers: list[str]) -> None:
        if self._consumer.options != consumers:
            self._consumer.set_options(consumers, value=self._consumer.value or next(iter(consumers), None))

    async def _poison(self) -> None:
        consumer = self._consumer.value
        if not consumer:
            return
        try:
            await run.io_bound(self._poison_message, consumer)
        except ERRORS as error:
            ui.notify(f"The message was not sent: {describe(error)}", type="negative")
        else:
            ui.notify(f"Sent. It will be a dead letter of {consumer} in a moment.")
        self._poller.poll_now()

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

    def __init__(self) -> None:
        with ui.row().classes("items-center gap-x-3 gap-y-0 text-sm") as self._row:
            self._response = ui.label()
            self._link = ui.link("View timeline").props('aria-label="View timeline"')

    def show(self, placed: tuple[int, SampleOrder] | None) -> None:
        self._row.visible = placed is not None
        if placed:
            number, order = placed
            self._response.text = f"Request {number}: {order.status} in {milliseconds(order.milliseconds)}"
            self._link.props["href"] = routes.order(order.order_id)
            self._link.visible = bool(order.order_id)
            self._link.update()
