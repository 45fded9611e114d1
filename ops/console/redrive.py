"""The dialog that gives dead letters another go: it says what it would do, and does it when that is confirmed."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing

from nicegui import run, ui

from ops import dead_letter_report, redriving
from ops.console.parts import heading
from ops.console.watch import ERRORS, said
from ops.dead_letter_queues import Wanted, directory, find
from ops.deployment import Deployment

_RATE = 10.0  # letters a second, as `handoff dlq redrive` does by default


class Redrive:
    """The dialog. ``redriven`` is called when letters were redriven, or may have been."""

    def __init__(self, deployment: Deployment, redriven: Callable[[], Awaitable[None]]) -> None:
        self._deployment = deployment
        self._redriven = redriven
        self._wanted = Wanted()
        with ui.dialog() as self._dialog, ui.card().classes("w-full gap-3"):
            self._dialog.props('aria-label="Redrive dead letters"')
            heading("Redrive dead letters", 2)
            self._said = ui.column().classes("gap-1 w-full").props("aria-live=polite")
            with ui.row().classes("w-full justify-end gap-2"):
                self._no = ui.button("Cancel", on_click=self._dialog.close, color=None).props("flat no-caps autofocus")
                self._yes = ui.button("Redrive", on_click=self._confirmed).props("no-caps")

    async def ask(self, wanted: Wanted) -> None:
        """Say what redriving these letters would do, and ask."""
        self._wanted = wanted
        self._no.text = "Cancel"
        self._yes.disable()
        self._say(["Looking what there is ..."])
        self._dialog.open()
        cautions: list[str] = []
        try:
            planned = await run.io_bound(self._plan, wanted, cautions.append)
        except ERRORS as error:
            self._say([f"AWS refused, or did not answer: {said(error)}"])
        else:
            if planned and wanted is self._wanted:  # it may be about other letters by now
                self._say([*cautions, *dead_letter_report.outcome(planned, would=True)])
                self._yes.set_enabled(bool(planned.sent))

    async def _confirmed(self) -> None:
        self._yes.disable()
        self._no.disable()
        self._say(["Redriving ..."])
        done, cautions = redriving.Outcome(), list[str]()
        try:
            await run.io_bound(self._run, self._wanted, done, cautions.append)
            self._say([*dead_letter_report.outcome(done, would=False), *cautions])
        except ERRORS as error:
            rest = "the others are where they were. Redrive again to go on."
            self._say([said(error), f"{done.sent.total()} redriven, {rest}"])
        self._no.text = "Close"
        self._no.enable()
        await self._redriven()

    def _plan(self, wanted: Wanted, mind: Callable[[str], None]) -> redriving.Outcome:
        known = directory(self._deployment)
        with closing(find(self._deployment.sqs, known, wanted, mind)) as letters:
            return redriving.plan(letters, known)

    def _run(self, wanted: Wanted, done: redriving.Outcome, mind: Callable[[str], None]) -> None:
        known = directory(self._deployment)
        with closing(find(self._deployment.sqs, known, wanted, mind)) as letters:
            for _ in redriving.run(self._deployment.sqs, letters, known, done, _RATE):
                pass

    def _say(self, texts: Iterable[str]) -> None:
        self._said.clear()
        with self._said:
            for text in texts:
                ui.label(text).classes("break-words max-w-full")
