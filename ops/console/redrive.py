"""Giving dead letters another go: the dialog says what it would do, and does it when that is confirmed."""

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from typing import TypeVar

from nicegui import background_tasks, run, ui

from ops.console.parts import QUIET, heading
from ops.console.watch import ERRORS, said
from ops.dlq import redrive as redriving
from ops.dlq import report as dead_letter_report
from ops.dlq.directory import Filter, directory, find
from ops.stack.deployment import Deployment

_RATE = 10.0  # letters a second, as `handoff dlq redrive` does by default
_SHOW_EVERY = 0.5  # seconds

Answer = TypeVar("Answer")


class Going:
    """A redrive under way: how far it is, and what came of it."""

    def __init__(self, deployment: Deployment, wanted: Filter) -> None:
        self.done = redriving.Outcome()
        self.came_to = ["It ended with the console's own error. What was not redriven is where it was."]
        self._deployment = deployment
        self._wanted = wanted
        self._stop = threading.Event()

    def stop(self) -> None:
        """End it after the letter that it is at."""
        self._stop.set()

    @property
    def so_far(self) -> str:
        """How far it is."""
        return f"{self.done.sent.total()} so far{', stopping ...' if self._stop.is_set() else ''}"

    def run(self) -> None:
        """Redrive until all is done, or it is stopped."""
        cautions, elsewhere = list[str](), Counter[str]()
        try:
            known, sqs = directory(self._deployment), self._deployment.sqs
            found = find(sqs, known, self._wanted, cautions.append, held_elsewhere=elsewhere, stopped=self._stop.is_set)
            with closing(found) as letters:
                for _ in redriving.run(sqs, letters, known, self.done, _RATE):
                    pass
        except ERRORS as error:
            rest = "the others are where they were. Redrive again to go on."
            self.came_to = [said(error), f"{self.done.sent.total()} redriven, {rest}"]
            return
        came_to = [*outcome(self.done, elsewhere, would=False), *cautions]
        if self._stop.is_set():
            came_to.append("Stopped. What was not redriven is where it was; redrive again to go on.")
        self.came_to = came_to


class Desk:
    """What all pages share: one look through dead letters at a time, as each hides letters from the others."""

    def __init__(self) -> None:
        self.going: Going | None = None  # the redrive under way
        self._free = asyncio.Lock()  # a page that waits for it holds up no thread
        self._closed = threading.Event()

    async def look(self, through: Callable[[Callable[[], bool]], Answer]) -> Answer | None:
        """Look in a thread, when it is this look's turn; it is to end when the function that it is given says so.

        Returns None when the console ends meanwhile.
        """
        async with self._free:
            answer = await run.io_bound(through, self._closed.is_set)
            return None if self._closed.is_set() else answer

    def begin(self, going: Going) -> None:
        """Redrive, as no page's task: it goes on when its page is closed, and every page can stop it."""
        self.going = going
        background_tasks.create(self._redrive(going), name="redrive")

    async def _redrive(self, going: Going) -> None:
        """Redrive when all looks before it have ended."""
        try:
            async with self._free:
                await run.io_bound(going.run)
        finally:
            self.going = None

    def close(self) -> None:
        """End what is under way: the process ends only when its threads have."""
        self._closed.set()
        if self.going:
            self.going.stop()


desk = Desk()


def outcome(done: redriving.Outcome, elsewhere: Counter[str], *, would: bool) -> list[str]:
    """What a redrive did, or would do."""
    if done.is_empty and elsewhere:
        return [dead_letter_report.none_visible(elsewhere.total())]
    return dead_letter_report.outcome(done, would=would)


class Redrive:
    """The dialog. ``redriven`` is called when letters were redriven, or may have been."""

    def __init__(self, deployment: Deployment, redriven: Callable[[], Awaitable[None]]) -> None:
        self._deployment = deployment
        self._redriven = redriven
        self._wanted = Filter()
        self._going: Going | None = None  # what the dialog follows
        with ui.dialog() as self._dialog, ui.card().classes("w-full gap-3"):
            self._dialog.props('aria-label="Redrive dead letters"')
            heading("Redrive dead letters", 2)
            self._said = ui.column().classes("gap-1 w-full").props("aria-live=polite")
            self._so_far = ui.label().classes(QUIET)  # not in what is read out: it changes all the time
            with ui.row().classes("w-full justify-end gap-2"):
                self._no = ui.button("Cancel", on_click=self._declined, color=None).props("flat no-caps autofocus")
                self._yes = ui.button("Redrive", on_click=self._confirmed).props("no-caps")
        self._so_far.visible = False
        self._timer = ui.timer(_SHOW_EVERY, self._show, active=False)

    async def ask(self, wanted: Filter) -> None:
        """Say what redriving these letters would do, and ask; or show the redrive that is under way."""
        self._dialog.open()
        self._yes.disable()
        if desk.going:
            self.follow(desk.going)
            return
        self._wanted = wanted
        self._no.text = "Cancel"
        self._say(["Looking what there is ..."])
        cautions, elsewhere = list[str](), Counter[str]()
        try:
            planned = await desk.look(lambda stopped: self._plan(wanted, cautions.append, elsewhere, stopped))
        except ERRORS as error:
            self._say([f"AWS refused, or did not answer: {said(error)}"])
        else:
            if planned and wanted is self._wanted and not self._going:  # it may be about other letters by now
                self._say([*cautions, *outcome(planned, elsewhere, would=True)])
                self._yes.set_enabled(bool(planned.sent))

    def follow(self, going: Going, says: str = "A redrive is under way already.") -> None:
        """Show a redrive, and the button that stops it, until it ends."""
        self._going = going
        self._yes.disable()
        self._dialog.props("persistent")  # it stays, so that it can be stopped
        self._dialog.open()
        self._no.text = "Stop"
        self._say([says])
        self._so_far.text = going.so_far
        self._so_far.visible = True
        self._timer.active = True

    def _declined(self) -> None:
        if self._going:
            self._going.stop()
        else:
            self._dialog.close()

    def _confirmed(self) -> None:
        self._yes.disable()
        if desk.going:
            self.follow(desk.going)
            return
        going = Going(self._deployment, self._wanted)
        desk.begin(going)
        self.follow(going, "Redriving ...")

    async def _show(self) -> None:
        """Show how far it is, and in the end what came of it."""
        if self._going is None:
            return
        self._so_far.text = self._going.so_far
        if self._going is desk.going:
            return
        self._say(self._going.came_to)
        self._going = None
        self._timer.active = False
        self._so_far.visible = False
        self._dialog.props(remove="persistent")
        self._no.text = "Close"
        await self._redriven()

    def _plan(
        self, wanted: Filter, mind: Callable[[str], None], elsewhere: Counter[str], stopped: Callable[[], bool]
    ) -> redriving.Outcome:
        known = directory(self._deployment)
        with closing(
            find(self._deployment.sqs, known, wanted, mind, held_elsewhere=elsewhere, stopped=stopped)
        ) as letters:
            return redriving.plan(letters, known)

    def _say(self, texts: Iterable[str]) -> None:
        self._said.clear()
        with self._said:
            for text in texts:
                ui.label(text).classes("break-words max-w-full")
