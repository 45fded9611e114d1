"""What the local stack alone has: sample orders, and the fault proxy's switches."""

import math
from collections.abc import Callable
from functools import partial

import httpx
from nicegui import run, ui
from nicegui.events import ValueChangeEventArguments

from handoff.clock import now_ms
from ops.console.figures import Figures
from ops.console.parts import QUIET, SMALL_BUTTON, TROUBLE, heading, milliseconds
from ops.console.playground import KEPT, FaultSwitches, Playground, SampleOrder
from ops.console.watch import Watch, said


class TryIt:
    """Orders to place and faults to cause."""

    def __init__(self, watch: Watch, playground: Playground, to_order: Callable[[str], object]) -> None:
        self._watch = watch
        self._orders = playground.orders
        self._turned_at = 0.0  # ms; what was seen before tells nothing of the switches
        self._switches: dict[str, ui.switch] = {}
        with ui.card().classes("w-full gap-2 p-3").props('flat bordered tag="section"'):
            heading("Try it, on this local stack", 2)
            with ui.row().classes("items-center gap-x-4 gap-y-2"):
                ui.button("Place a sample order", icon="add_shopping_cart", on_click=self._order).props(
                    "no-caps unelevated"
                )
                self._goes_on = ui.switch("one every second", on_change=self._go_on)
            with ui.column().classes("gap-1").props('aria-live=polite data-testid="bought"'):
                self._trouble = ui.label().classes(TROUBLE)
                self._lines = [_Line(to_order) for _ in range(KEPT)]
            self._show_bought()
            self._draw_switches(playground.faults)

    def show(self, figures: Figures) -> None:
        """Show what others have switched and bought, too."""
        self._goes_on.set_value(self._orders.repeats)
        self._show_bought()
        if figures.at > self._turned_at:
            for name, switch in self._switches.items():
                switch.set_value(name in figures.faults)

    def _draw_switches(self, faults: FaultSwitches) -> None:
        heading("Break something, and watch the answers stay fast", 3)
        with ui.element("div").classes("grid gap-3 grid-cols-1 md:grid-cols-3 w-full"):
            for name, known in faults.known.items():
                with ui.column().classes("gap-0"):
                    switch = ui.switch(known.label, on_change=partial(self._turn, faults, name))
                    self._switches[name] = switch.props(f'color=negative data-testid="switch-{name}"')
                    ui.label(known.hint).classes(QUIET)

    async def _turn(self, faults: FaultSwitches, name: str, event: ValueChangeEventArguments[bool | None]) -> None:
        self._turned_at = math.inf
        try:
            await run.io_bound(faults.turn, name, on=bool(event.value))
        except httpx.HTTPError as error:
            ui.notify(f"The fault proxy does not answer: {said(error)}", type="negative")
        self._turned_at = now_ms()
        self._watch.look_again()

    def _go_on(self, event: ValueChangeEventArguments[bool | None]) -> None:
        self._orders.repeats = bool(event.value)

    async def _order(self) -> None:
        await self._orders.place()
        self._show_bought()
        self._watch.look_again()

    def _show_bought(self) -> None:
        """Show the last purchases, newest first."""
        trouble = self._orders.error
        self._trouble.text = f"No answer: {trouble}" if trouble else ""
        self._trouble.visible = bool(trouble)
        for line, bought in zip(self._lines, [*self._orders.placed, *[None] * KEPT], strict=False):
            line.show(bought)


class _Line:
    """A line for a purchase. It stays when others move up to it: a click or the focus on a new one would be lost."""

    def __init__(self, to_order: Callable[[str], object]) -> None:
        self._order_id = ""
        with ui.row().classes("items-center gap-x-3 gap-y-0") as self._row:
            self._answer = ui.label()
            self._way = ui.button("See its way", on_click=lambda: to_order(self._order_id), color=None)
            self._way.props(SMALL_BUTTON)

    def show(self, bought: tuple[int, SampleOrder] | None) -> None:
        self._row.visible = bought is not None
        if bought:
            number, order = bought
            self._answer.text = f"{number}. answered {order.status} in {milliseconds(order.milliseconds)}"
            self._order_id = order.order_id
            self._way.visible = bool(order.order_id)
