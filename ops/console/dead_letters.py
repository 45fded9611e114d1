"""The list of dead letters: their consumers, their reasons, and buttons to redrive them."""

from collections import Counter
from functools import partial

from nicegui import background_tasks, ui

from handoff.clock import now_ms
from ops import ages
from ops.console import routes, states
from ops.console.coordinator import coordinator
from ops.console.errors import ERRORS, describe
from ops.console.figures import Figures
from ops.console.page import Console
from ops.console.redrive_dialog import RedriveDialog
from ops.console.redrive_job import RedriveJob
from ops.console.scan import Scan
from ops.console.style import ERROR, MUTED, SUCCESS, heading
from ops.dlq import report
from ops.dlq.directory import Filter, NoSuchConsumer
from ops.dlq.report import Row
from ops.text import counted

_SHOWN = 50  # rows; the command line lists all


class DeadLetters:
    """The content of the page: the dead letters of one consumer, or of all if ``consumer`` is empty."""

    name = "Dead letters"

    def __init__(self, consumer: str, console: Console) -> None:
        self._console = console
        self._chosen = Filter(consumers=(consumer,) if consumer else ())
        self._dialog = RedriveDialog(console.deployment, self._redriven)
        with ui.row().classes("w-full items-center justify-between"):
            heading(f"Dead letters of {consumer}" if consumer else "Dead letters", 2)
            with ui.row().classes("items-center gap-3"):
                if consumer:
                    ui.link("Show all consumers", routes.dead_letters())
                self._refresh = ui.button("Refresh", icon="refresh", on_click=self.refresh, color=None)
                self._refresh.props("flat no-caps")
        ui.label(
            "Events that a consumer could not process. Fix the cause, then redrive them: "
            "each returns to its consumer's queue. Redriving an event twice is safe."
        ).classes(MUTED)
        self._list = ui.column().classes("w-full gap-2").props('aria-live=polite data-testid="dead-letter-list"')
        with self._list:
            ui.label("Reading the dead-letter queues ...").classes(MUTED)
        background_tasks.create(self.refresh(), name="scan")

    def show(self, _figures: Figures) -> None:
        """Show nothing new: a scan hides messages from other receivers, so only a person starts one."""

    def show_loading(self, *, is_loading: bool) -> None:
        """Show nothing new: the page does not wait for figures."""

    async def refresh(self) -> None:
        """Scan the dead-letter queues and show the result."""
        if coordinator.job:
            self._show_job(coordinator.job)
            return
        self._refresh.props("loading")
        scan = Scan(self._console.deployment, self._chosen)
        try:
            rows = await coordinator.scan(partial(scan.read, lambda dead_letters, _: report.rows(dead_letters)))
        except NoSuchConsumer as error:
            self._show_error(str(error))
        except ERRORS as error:
            self._show_error(f"AWS request failed: {describe(error)}")
        else:
            if rows is not None:  # None if the console shuts down meanwhile
                self._show_rows(rows, scan)
        finally:
            self._refresh.props(remove="loading")

    async def _redriven(self) -> None:
        self._console.poller.poll_now()
        await self.refresh()

    def _show_job(self, job: RedriveJob) -> None:
        """Show the redrive in progress: it holds the messages, so that a scan would see none."""
        self._list.clear()
        with self._list:
            ui.label(f"A redrive is in progress ({job.progress}). Refresh when it has ended.")
            ui.button("View progress", on_click=lambda: self._dialog.follow(job), color=None).props("outline no-caps")

    def _show_error(self, text: str) -> None:
        self._list.clear()
        with self._list:
            ui.label(text).classes(ERROR).props("role=alert")

    def _show_rows(self, rows: list[Row], scan: Scan) -> None:
        self._list.clear()
        with self._list:
            for warning in scan.warnings:
                ui.label(warning).classes(MUTED)
            if not rows:
                _draw_none(scan)
            with ui.row().classes("gap-2"):
                for consumer, count in _counts(rows).items():
                    self._redrive_button(f"Redrive all of {consumer} ({count})", Filter(consumers=(consumer,)))
            for row in rows[:_SHOWN]:
                self._draw(row)
            if len(rows) > _SHOWN:
                ui.label(f"{len(rows) - _SHOWN} more. To list all: handoff dlq list").classes(MUTED)

    def _draw(self, row: Row) -> None:
        dead_letter = row.newest
        with ui.card().classes("w-full gap-1 p-3").props('flat bordered tag="article"'):
            with ui.row().classes("w-full items-center gap-x-3 gap-y-0"):
                heading(f"{row.consumer}: {dead_letter.event_type or 'unreadable'}", 3)
                ui.label(f"{ages.show(now_ms() - dead_letter.began_at)} ago").classes(MUTED)
            ui.label(dead_letter.reason).classes(f"break-words max-w-full {ERROR}").props("data-testid=reason")
            count = f", {counted(row.count, 'message')}" if row.count > 1 else ""
            ui.label(f"event {dead_letter.event_id}{count}").classes(f"break-all {MUTED}")
            with ui.row().classes("items-center gap-3"):
                self._redrive_button("Redrive", Filter(consumers=(row.consumer,), event=dead_letter.event_id))
                if dead_letter.order_id:
                    ui.link("View timeline", routes.order(dead_letter.order_id))

    def _redrive_button(self, text: str, chosen: Filter) -> None:
        ui.button(text, icon="replay", on_click=lambda: self._dialog.ask(chosen), color=None).props("outline no-caps")


def _draw_none(scan: Scan) -> None:
    """Draw that there is no dead letter: as a success only if the scan saw everything."""
    with ui.row().classes("items-center gap-2"):
        if scan.is_complete:
            ui.icon(states.IDLE.icon, size="sm").classes(SUCCESS).props("aria-hidden=true")
        ui.label(scan.none_found())


def _counts(rows: list[Row]) -> Counter[str]:
    """Return the number of dead letters by consumer."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row.consumer] += row.count
    return counts
