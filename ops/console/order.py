"""Searching for an order, and its story as a timeline."""

from nicegui import run, ui

from ops.console.parts import QUIET, TROUBLE, WAITS, clock, heading, milliseconds
from ops.console.watch import ERRORS, said
from ops.stack.deployment import Deployment
from ops.trace.timeline import NoSuchOrder, PendingItem, Step, Timeline, build_timeline
from shop import money


class Order:
    """The search, and what it finds."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        heading("One order's way", 2)
        with ui.row().classes("w-full items-start gap-2"):
            self._id = (
                ui.input("Order id", placeholder="ord_...").props("outlined dense clearable").classes("grow max-w-xl")
            )
            self._id.on("keydown.enter", self._search)
            ui.button("Search", icon="search", on_click=self._search).props("no-caps unelevated")
        self._found = ui.column().classes("w-full gap-3").props('aria-live=polite data-testid="story"')
        with self._found:
            ui.label("An order's id begins with ord_ and is in the answer to whoever placed it.").classes(QUIET)

    async def search(self, order_id: str) -> None:
        """Search for an order."""
        self._id.value = order_id
        await self._search()

    async def _search(self) -> None:
        order_id = (self._id.value or "").strip()
        if not order_id:
            self._say("Type an order's id first.")
            return
        self._say(f"Looking for {order_id} ...")
        try:
            told = await run.io_bound(build_timeline, self._deployment, order_id)
        except NoSuchOrder as error:
            self._say(str(error), trouble=True)
        except ERRORS as error:
            self._say(f"AWS refused, or did not answer: {said(error)}", trouble=True)
        else:
            if told is not None and order_id == (self._id.value or "").strip():
                self._show(told)

    def _say(self, what: str, *, trouble: bool = False) -> None:
        self._found.clear()
        with self._found:
            ui.label(what).classes(f"break-words max-w-full {TROUBLE if trouble else QUIET}")

    def _show(self, told: Timeline) -> None:
        self._found.clear()
        with self._found:
            with ui.card().classes("w-full gap-1 p-3").props('flat bordered tag="section"'):
                heading(told.order_id, 3).classes("break-all")
                ui.label(f"{told.status}, payment {told.payment}, {money.shown(told.total, told.currency)}")
                ui.label(f"correlation id {told.correlation_id}").classes(f"break-all {QUIET}")
                for end in told.pending_work:
                    _open_end(end)
                for note in told.notes:
                    ui.label(note).classes(QUIET)
            with ui.timeline(side="right").classes("w-full").props('data-testid="timeline"'):
                for step in told.steps:
                    _step(step, told.steps[0].at)


def _open_end(end: PendingItem) -> None:
    """What can be mended is trouble; the rest comes by itself."""
    colour, icon = (TROUBLE, "error") if end.remedy else (WAITS, "pending")
    with ui.row().classes(f"items-start gap-2 no-wrap {colour}"):
        ui.icon(icon, size="sm").props("aria-hidden=true")
        with ui.column().classes("gap-0 min-w-0"):
            ui.label(f"{end.who}: {end.what}").classes("break-words")
            if end.remedy:
                ui.label(end.remedy).classes("font-mono text-sm break-all")


def _step(step: Step, begin: int) -> None:
    after = f"after {milliseconds(step.at - begin)}" if step.at > begin else "begin"
    ui.timeline_entry(
        step.detail or None,
        title=f"{step.who}: {step.what}{' (trouble)' if step.trouble else ''}",
        subtitle=f"{clock(step.at)}, {after}",
        icon="warning" if step.trouble else None,
        color="negative" if step.trouble else "primary",
    )
