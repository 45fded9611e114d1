"""The search for an order, and its timeline."""

from nicegui import background_tasks, run, ui

from ops.console import lanes, routes, waterfall
from ops.console.errors import ERRORS, describe
from ops.console.figures import Figures
from ops.console.formats import clock
from ops.console.lanes import LaneStep
from ops.console.page import Console
from ops.console.style import ERROR, MUTED, WARNING, heading
from ops.trace.timeline import NoSuchOrder, PendingItem, Timeline, build_timeline
from shop import money

_STEPS, _WATERFALL = "Steps", "Waterfall"


class OrderTimeline:
    """The content of the page: a search field, and the steps or the waterfall of ``order_id`` unless it is empty.

    If the console has a playground, the payment of an order that waits for its customer can be confirmed.
    """

    name = "Order"

    def __init__(self, order_id: str, console: Console) -> None:
        self._deployment = console.deployment
        self._order_id = order_id
        self._view = _STEPS
        self._act = console.playground.act if console.playground else None
        heading("Order timeline", 2)
        with ui.row().classes("w-full items-start gap-2"):
            self._id = ui.input("Order id", placeholder="ord_...", value=order_id).props("outlined dense")
            self._id.classes("grow max-w-xl").on("keydown.enter", self._search)
            ui.button("Search", icon="search", on_click=self._search).props("no-caps unelevated")
        self._result = ui.column().classes("w-full gap-3").props('aria-live=polite data-testid="order"')
        if order_id:
            self._show_text(f"Searching for {order_id} ...", MUTED)
            background_tasks.create(self._read(), name="search")
        else:
            self._show_text("An order id begins with ord_ and is in the response to POST /orders.", MUTED)

    def show(self, _figures: Figures) -> None:
        """Show nothing new: the timeline is read on request."""

    def show_loading(self, *, is_loading: bool) -> None:
        """Show nothing new: the page does not wait for figures."""

    def _choose(self, view: str) -> None:
        """Show the steps or the waterfall, and keep to it when the order is read again."""
        self._view = view
        self._steps.set_visibility(view == _STEPS)
        self._hops.set_visibility(view == _WATERFALL)

    async def _search(self) -> None:
        """Go to the order's own address; read again if it is there already."""
        order_id = (self._id.value or "").strip()
        if not order_id:
            self._show_text("Enter an order id.", MUTED)
        elif order_id == self._order_id:
            await self._read()
        else:
            ui.navigate.to(routes.order(order_id))

    async def _read(self) -> None:
        try:
            found = await run.io_bound(build_timeline, self._deployment, self._order_id)
        except NoSuchOrder as error:
            self._show_text(str(error), ERROR)
        except ERRORS as error:
            self._show_text(f"AWS request failed: {describe(error)}", ERROR)
        else:
            if found is not None:  # None if the console shuts down meanwhile
                self._show(found)

    async def _confirm(self) -> None:
        """Do what the customer does at the bank and the shop's page afterwards; show the order then."""
        try:
            result = await run.io_bound(self._act, self._order_id) if self._act else None
        except ERRORS as error:
            ui.notify(f"The payment was not confirmed: {describe(error)}", type="negative")
        else:
            ui.notify(result or "")
        await self._read()

    def _show_text(self, text: str, style: str) -> None:
        self._result.clear()
        with self._result:
            ui.label(text).classes(f"break-words max-w-full {style}").props("role=alert" if style == ERROR else "")

    def _show(self, found: Timeline) -> None:
        self._result.clear()
        with self._result:
            with ui.card().classes("w-full gap-1 p-3").props('flat bordered tag="section"'):
                self._draw_order(found)
            with ui.row().classes("w-full items-center gap-3"):
                views = ui.toggle(
                    [_STEPS, _WATERFALL], value=self._view, on_change=lambda event: self._choose(event.value)
                )
                views.props('no-caps dense unelevated aria-label="View"')
            self._steps = ui.element("div").classes("w-full")
            with self._steps:
                _draw_steps(found)
            self._hops = ui.element("div").classes("w-full")
            with self._hops:
                waterfall.draw(found)
            self._choose(self._view)
            for note in found.notes:
                ui.label(note).classes(MUTED)

    def _draw_order(self, found: Timeline) -> None:
        with ui.row().classes("items-baseline gap-x-4 gap-y-0"):
            heading(found.order_id, 3).classes("break-all")
            ui.label(f"{found.status}, payment {found.payment}, {money.shown(found.total, found.currency)}")
            ui.label(f"correlation id {found.correlation_id}").classes(f"break-all {MUTED}")
        _draw_amounts(found)
        if found.dispute:
            ui.label(f"dispute {found.dispute}").classes(WARNING)
        if found.action_expires_at:
            ui.label(f"waits for the customer until {found.action_expires_at}")
        if found.mail_problem:
            ui.label(f"mails were not sent: mail to the customer {found.mail_problem}").classes(WARNING)
        for item in found.pending_work:
            _draw_pending(item)
        if self._act and found.action_expires_at:
            confirm = ui.button("Confirm the payment as the customer", icon="verified_user", on_click=self._confirm)
            confirm.props("no-caps unelevated")


def _draw_amounts(found: Timeline) -> None:
    """Draw the amounts that differ from the order's total."""
    captured, refunded, total = (money.shown(n, found.currency) for n in (found.captured, found.refunded, found.total))
    if found.refunded:
        ui.label(f"refunded {refunded} of {captured}")
    if found.captured not in (0, found.total):
        ui.label(f"captured {captured} of {total}").classes(ERROR)


def _draw_pending(item: PendingItem) -> None:
    """Draw pending work: as an error if an operator must act, as a warning if it takes longer than usual."""
    style, icon = (ERROR, "error") if item.remedy else (WARNING, "pending") if item.trouble else (MUTED, "schedule")
    with ui.row().classes(f"items-start gap-2 no-wrap {style}"):
        ui.icon(icon, size="sm").props("aria-hidden=true")
        with ui.column().classes("gap-0 min-w-0"):
            ui.label(f"{item.who}: {item.what}").classes("break-words")
            if item.remedy:
                ui.label(item.remedy).classes("font-mono text-sm break-all")


def _draw_steps(found: Timeline) -> None:
    """Draw the steps in their lanes, below the lanes' names."""
    titles = lanes.names(found.steps)
    with ui.element("section").classes("w-full").style(f"--lanes: {len(titles) - 1}").props('aria-label="Timeline"'):
        with ui.element("div").classes("lane-titles").props("aria-hidden=true"):
            for title in ("Time", "Since last", *titles):
                ui.label(title)
        with ui.element("ol").classes("timeline").props("data-testid=timeline"):
            for step in lanes.lane_steps(found.steps):
                _draw_step(step, titles[step.lane])


def _draw_step(step: LaneStep, lane: str) -> None:
    with ui.element("li"):
        ui.label(clock(step.at))
        ui.label(step.since).classes(MUTED)
        with ui.element("div").classes("step trouble" if step.trouble else "step") as place:
            place.style(f"--column: {step.lane + 3}")
            with ui.row().classes("items-baseline gap-x-2 gap-y-0"):
                ui.label(f"{lane}:").classes("lane")
                ui.label(f"{step.text}{' (problem)' if step.trouble else ''}").classes(ERROR if step.trouble else "")
                if step.detail:
                    ui.label(step.detail).classes(f"break-words min-w-0 {MUTED}")
