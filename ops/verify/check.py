"""A check of a deployed stack: its description and cost, its outcome, and its clean-up."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from handoff import aws
from ops.smoke_order import CheckFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ops.smoke_order import SmokeOrder
    from ops.stack.deployment import Deployment
    from ops.verify.answers import Answer, Answers


class NotAvailable(Exception):
    """The check cannot run on this deployment; the text says why. It has not passed."""


class Skipped(Exception):
    """The options exclude the check; the text names the option. It has not passed."""


class Outcome(StrEnum):
    """The outcome of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_AVAILABLE = "not available here"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"
    NOT_RUN = "not run"


@dataclass
class Situation:
    """What all checks of one run share: the deployment, the options, and the order that was placed."""

    deployment: "Deployment"
    token: str = ""
    idle_minutes: float = 10.0
    within: float = 120.0  # seconds that consumers may take
    canary: bool = False
    order: "SmokeOrder | None" = None  # once it is placed

    @property
    def is_local(self) -> bool:
        """Whether this is the local stack."""
        return self.deployment.endpoint is not None


def _nothing(_: Situation) -> str:
    return ""


@dataclass(frozen=True)
class Check:
    """A check: ``key`` names it in options; ``costs`` are at most so many units of `ops.prices`.

    ``run`` returns its finding, or raises `ops.smoke_order.CheckFailed`, `NotAvailable` or `Skipped`. ``obstacle``
    returns why it cannot run here, or an empty text; ``warning`` whom else it affects.
    """

    key: str
    name: str
    does: str
    takes: str
    needs: str  # permissions, besides reading the stack
    costs: "Mapping[str, float]"
    run: "Callable[[Attempt], str]"
    obstacle: Callable[[Situation], str] = _nothing
    warning: Callable[[Situation], str] = _nothing


@dataclass(frozen=True)
class Result:
    """The outcome of a check. ``left`` names what could not be cleaned up."""

    name: str
    outcome: Outcome
    seen: str
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    answers: "tuple[Answer, ...]" = ()


@dataclass
class Attempt:
    """One run of a check."""

    situation: Situation
    answers: "Answers"
    show: Callable[[str], None]
    notes: list[str] = field(default_factory=list)
    others: list[Result] = field(default_factory=list)
    interrupt: KeyboardInterrupt | None = None  # that ended it
    _undo: list[tuple[str, Callable[[], object]]] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Show a text, and keep it for the report."""
        self.show(text)
        self.notes.append(text)

    def also(self, name: str, outcome: Outcome, seen: str) -> None:
        """Add a second outcome, of a part that can have another one than the check itself."""
        self.others.append(Result(name, outcome, seen))

    def undo(self, what: str, call: Callable[[], object]) -> None:
        """Register a call that cleans up; it is made in all cases.

        ``what`` names what stays if it fails with an error of AWS or `ops.smoke_order.CheckFailed`.
        """
        self._undo.append((what, call))

    def clean_up(self) -> tuple[str, ...]:
        """Make all registered calls, last one first; return what stays, and why.

        Ctrl-C ends the current call only. The others are made nevertheless.
        """
        left = []
        while self._undo:
            what, call = self._undo.pop()
            try:
                call()
            except (CheckFailed, *aws.ERRORS) as error:
                left.append(f"{what}: {error}")
            except KeyboardInterrupt:
                left.append(f"{what}: interrupted")
        return tuple(left)
