"""The dialog that says what a redrive would do, and starts it on confirmation."""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from nicegui import ui

from ops.console.coordinator import coordinator
from ops.console.errors import ERRORS, describe
from ops.console.redrive_job import RedriveJob
from ops.console.scan import Scan
from ops.console.style import MUTED, heading
from ops.dlq import redrive
from ops.dlq.directory import Filter
from ops.stack.deployment import Deployment

_REFRESH = 0.5  # seconds


class RedriveDialog:
    """One page's dialog. ``redriven`` is called when a redrive has ended."""

    def __init__(self, deployment: Deployment, redriven: Callable[[], Awaitable[None]]) -> None:
        self._deployment = deployment
        self._redriven = redriven
        self._chosen = Filter()
        self._job: RedriveJob | None = None  # whose progress the dialog shows
        with ui.dialog() as self._dialog, ui.card().classes("w-full gap-3"):
            self._dialog.props('aria-label="Redrive dead letters"')
            heading("Redrive dead letters", 2)
            self._text = ui.column().classes("gap-1 w-full").props("aria-live=polite")
            self._progress = ui.label().classes(MUTED)  # outside the live region: it changes all the time
            with ui.row().classes("w-full justify-end gap-2"):
                self._no = ui.button("Cancel", on_click=self._decline, color=None).props("flat no-caps autofocus")
                self._yes = ui.button("Redrive", on_click=self._confirm).props("no-caps")
        self._progress.visible = False
        self._timer = ui.timer(_REFRESH, self._refresh, active=False)

    async def ask(self, chosen: Filter) -> None:
        """Show what redriving these messages would do, and ask; or show the redrive in progress."""
        self._dialog.open()
        self._yes.disable()
        if coordinator.job:
            self.follow(coordinator.job)
            return
        self._chosen = chosen
        self._no.text = "Cancel"
        self._show(["Scanning the dead-letter queues ..."])
        scan = Scan(self._deployment, chosen)
        try:
            planned = await coordinator.scan(partial(scan.read, redrive.plan))
        except ERRORS as error:
            self._show([f"AWS request failed: {describe(error)}"])
        else:
            if planned and chosen is self._chosen and not self._job:  # the dialog may be about others by now
                self._show([*scan.warnings, *scan.summary(planned, would=True)])
                self._yes.set_enabled(bool(planned.sent))

    def follow(self, job: RedriveJob, text: str = "A redrive is already in progress.") -> None:
        """Show a redrive's progress and a button that stops it, until it ends."""
        self._job = job
        self._yes.disable()
        self._dialog.props("persistent")  # keeps the button that stops it in sight
        self._dialog.open()
        self._no.text = "Stop"
        self._show([text])
        self._progress.text = job.progress
        self._progress.visible = True
        self._timer.active = True

    def _decline(self) -> None:
        if self._job:
            self._job.stop()
        else:
            self._dialog.close()

    def _confirm(self) -> None:
        self._yes.disable()
        if coordinator.job:
            self.follow(coordinator.job)
            return
        job = RedriveJob(self._deployment, self._chosen)
        coordinator.begin(job)
        self.follow(job, "Redriving ...")

    async def _refresh(self) -> None:
        """Show the progress, and in the end the result."""
        if self._job is None:
            return
        self._progress.text = self._job.progress
        if self._job is coordinator.job:
            return
        self._show(self._job.result)
        self._job = None
        self._timer.active = False
        self._progress.visible = False
        self._dialog.props(remove="persistent")
        self._no.text = "Close"
        await self._redriven()

    def _show(self, texts: Iterable[str]) -> None:
        self._text.clear()
        with self._text:
            for text in texts:
                ui.label(text).classes("break-words max-w-full")
