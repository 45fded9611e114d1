"""Dead letters: whose they are, and why they died."""

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from nicegui import ui

from handoff.clock import now_ms
from ops import ages
from ops.console.parts import QUIET, TROUBLE, heading
from ops.console.redrive import Going, Redrive, desk
from ops.console.watch import ERRORS, Watch, said
from ops.dlq import report as dead_letter_report
from ops.dlq.directory import Filter, directory, find
from ops.dlq.report import Row
from ops.stack.deployment import Deployment

_SHOWN = 50  # rows; more are not read by anybody, and the command lists all


@dataclass
class Found:
    """What a look through the dead letters has found, and what it could not see."""

    rows: list[Row] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)
    elsewhere: Counter[str] = field(default_factory=Counter)  # letters that somebody else has, by queue

    @property
    def consumers(self) -> dict[str, int]:
        """How many letters each consumer has."""
        counts: Counter[str] = Counter()
        for row in self.rows:
            counts[row.consumer] += row.count
        return counts


class Letters:
    """The list."""

    def __init__(self, deployment: Deployment, watch: Watch, to_order: Callable[[str], object]) -> None:
        self._deployment = deployment
        self._watch = watch
        self._redrive = Redrive(deployment, self._redriven)
        self._to_order = to_order
        with ui.row().classes("w-full items-center justify-between"):
            heading("Dead letters", 2)
            self._again = ui.button("Look again", icon="refresh", on_click=self.look, color=None).props("flat no-caps")
        ui.label(
            "Events that a consumer could not deal with. Mend the cause, then redrive them: "
            "each goes back into its queue. Doing it twice does no harm."
        ).classes(QUIET)
        self._list = ui.column().classes("w-full gap-2").props('data-testid="letters"')

    async def look(self) -> None:
        """Look through all queues of dead letters, and show what is there."""
        if desk.going:
            self._say_going(desk.going)
            return
        self._again.props("loading")
        try:
            found = await desk.look(self._find)
        except ERRORS as error:
            self._say_trouble(f"AWS refused, or did not answer: {said(error)}")
        else:
            if found is not None:  # None when the console ends meanwhile
                self._show(found)
        finally:
            self._again.props(remove="loading")

    async def _redriven(self) -> None:
        """Show what is left."""
        self._watch.look_again()
        await self.look()

    def _find(self, stopped: Callable[[], bool]) -> Found:
        found, known = Found(), directory(self._deployment)
        seen = find(
            self._deployment.sqs,
            known,
            Filter(),
            found.cautions.append,
            held_elsewhere=found.elsewhere,
            stopped=stopped,
        )
        with closing(seen) as letters:
            found.rows = dead_letter_report.rows(letters)
        return found

    def _say_going(self, going: Going) -> None:
        """A redrive has the letters, so that there is nothing to see."""
        self._list.clear()
        with self._list:
            ui.label(f"A redrive is under way, {going.so_far}. Look again when it has ended.")
            ui.button("See it", on_click=lambda: self._redrive.follow(going), color=None).props("outline no-caps")

    def _say_trouble(self, what: str) -> None:
        self._list.clear()
        with self._list:
            ui.label(what).classes(TROUBLE).props("role=alert")

    def _show(self, found: Found) -> None:
        self._list.clear()
        with self._list:
            for caution in found.cautions:
                ui.label(caution).classes(QUIET)
            if not found.rows and found.elsewhere:
                ui.label(dead_letter_report.none_visible(found.elsewhere.total()))
            elif not found.rows:
                with ui.row().classes("items-center gap-2"):
                    ui.icon("check_circle", size="sm").props("aria-hidden=true")
                    ui.label("No dead letters. Nothing was given up.")
            with ui.row().classes("gap-2"):
                for consumer, count in found.consumers.items():
                    self._redrive_button(f"Redrive all of {consumer} ({count})", Filter(consumers=(consumer,)))
            for row in found.rows[:_SHOWN]:
                self._letter(row)
            if len(found.rows) > _SHOWN:
                ui.label(f"{len(found.rows) - _SHOWN} more: handoff dlq list shows all.").classes(QUIET)

    def _letter(self, row: Row) -> None:
        letter = row.newest
        with ui.card().classes("w-full gap-1 p-3").props('flat bordered tag="article"'):
            with ui.row().classes("w-full items-center gap-x-3 gap-y-0"):
                heading(f"{row.consumer}: {letter.event_type or 'unreadable'}", 3)
                ui.label(f"{ages.show(now_ms() - letter.began_at)} ago").classes(QUIET)
            ui.label(letter.reason).classes(f"break-words max-w-full {TROUBLE}").props("data-testid=reason")
            times = f", {row.count} letters" if row.count > 1 else ""
            ui.label(f"event {letter.event_id}{times}").classes(f"break-all {QUIET}")
            with ui.row().classes("gap-2"):
                self._redrive_button("Redrive", Filter(consumers=(row.consumer,), event=letter.event_id))
                if letter.order_id:
                    ui.button("See the order", color=None, on_click=lambda: self._to_order(letter.order_id)).props(
                        "flat no-caps"
                    )

    def _redrive_button(self, text: str, wanted: Filter) -> None:
        ui.button(text, icon="replay", on_click=lambda: self._redrive.ask(wanted), color=None).props("outline no-caps")
