"""The search for an order, and its timeline."""

from collections.abc import Callable

from nicegui import run, ui

from ops.console.errors import ERRORS, describe
from ops.console.formats import clock, milliseconds
from ops.console.style import ERROR, MUTED, WARNING, heading
from ops.stack.deployment import Deployment
from ops.trace.timeline import NoSuchOrder, PendingItem, Timeline, TimelineStep, build_timeline
from shop import money


class OrderTimeline:
    """A search field, and the timeline of the order that was found.

    With ``act``, the payment of an order that waits for its customer can be confirmed; see `Playground`.
    """

    def __init__(self, deployment: Deployment, act: Callable[[str], str] | None = None) -> None:
        self._deployment = deployment
        self._act = act
        heading("Order timeline", 2)
        with ui.row().classes("w-full items-start gap-2"):
            self._id = (
                ui.input("Order id", placeholder="ord_...").props("outlined dense clearable").classes("grow max-w-xl")
            )
            self._id.on("keydown.enter", self._search)
            ui.button("Search", icon="search", on_click=self._search).props("no-caps unelevated")
        self._result = ui.column().classes("w-full gap-3").props('aria-live=polite data-testid="order"')
        with self._result:
            ui.label("An order id begins with ord_ and is in the response to POST /orders.").classes(MUTED)

    async def search(self, order_id: str) -> None:
        """Search for an order."""
        self._id.value = order_id
        await self._search()

    async def _search(self) -> None:
        order_id = (self._id.value or "").strip()
        if not order_id:
            self._show_text("Enter an order id.", MUTED)
            return
        self._show_text(f"Searching for {order_id} ...", MUTED)
        try:
            found = await run.io_bound(build_timeline, self._deployment, order_id)
        except NoSuchOrder as error:
            self._show_text(str(error), ERROR)
        except ERRORS as error:
            self._show_text(f"AWS request failed: {describe(error)}", ERROR)
        else:
            if found is not None and order_id == (self._id.value or "").strip():
                self._show(found)

    async def _confirm(self) -> None:
        """Do what the customer does at the bank and the shop's page afterwards; show the order then."""
        order_id = (self._id.value or "").strip()
        try:
            result = await run.io_bound(self._act, order_id) if self._act else None
        except ERRORS as error:
            ui.notify(f"The payment was not confirmed: {describe(error)}", type="negative")
        else:
            ui.notify(result or "")
        await self._search()

    def _show_text(self, text: str, style: str) -> None:
        self._result.clear()
        with self._result:
            ui.label(text).classes(f"break-words max-w-full {style}")

    def _show(self, found: Timeline) -> None:
        self._result.clear()
        with self._result:
            with ui.card().classes("w-full gap-1 p-3").props('flat bordered tag="section"'):
                heading(found.order_id, 3).classes("break-all")
                ui.label(f"{found.status}, payment {found.payment}, {money.shown(found.total, found.currency)}")
                if found.refunded:
                    refunded, captured = (money.shown(n, found.currency) for n in (found.refunded, found.captured))
                    ui.label(f"refunded {refunded} of {captured}")
                if found.captured not in (0, found.total):
                    parts = (money.shown(n, found.currency) for n in (found.captured, found.total))
                    ui.label("captured {} of {}".format(*parts)).classes(ERROR)
                if found.dispute:
                    ui.label(f"dispute {found.dispute}").classes(WARNING)
                if found.action_expires_at:
                    ui.label(f"waits for the customer until {found.action_expires_at}")
                if found.mail_problem:
                    ui.label(f"mails were not sent: mail to the customer {found.mail_problem}").classes(WARNING)
                ui.label(f"correlation id {found.correlation_id}").classes(f"break-all {MUTED}")
                for item in found.pending_work:
                    _draw_pending(item)
                if self._act and found.action_expires_at:
                    ui.button(
                        "Confirm the payment as the customer", icon="verified_user", on_click=self._confirm
                    ).props("no-caps unelevated")
                for note in found.notes:
                    ui.label(note).classes(MUTED)
            with ui.timeline(side="right").classes("w-full").props('data-testid="timeline"'):
                for step in found.steps:
                    _draw_step(step, found.steps[0].at)


def _draw_pending(item: PendingItem) -> None:
    """Draw pending work: as an error if an operator must act, as a warning if Handoff finishes it."""
    style, icon = (ERROR, "error") if item.remedy else (WARNING, "pending") if item.trouble else (MUTED, "schedule")
    with ui.row().classes(f"items-start gap-2 no-wrap {style}"):
        ui.icon(icon, size="sm").props("aria-hidden=true")
        with ui.column().classes("gap-0 min-w-0"):
            ui.label(f"{item.who}: {item.what}").classes("break-words")
            if item.remedy:
                ui.label(item.remedy).classes("font-mono text-sm break-all")


def _draw_step(step: TimelineStep, start: int) -> None:
    after = f"after {milliseconds(step.at - start)}" if step.at > start else "start"
    ui.timeline_entry(
        step.detail or None,
        title=f"{step.who}: {step.what}{' (problem)' if step.trouble else ''}",
        subtitle=f"{clock(step.at)}, {after}",
        icon="warning" if step.trouble else None,
        color="negative" if step.trouble else "primary",
    )
