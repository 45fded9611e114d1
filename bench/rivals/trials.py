"""Every single fault in every way to place an order, and a summary of the outcomes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.rivals.experiments import Outcome, Strike, Way, run, strikes
from bench.rivals.shop import APPROVED, DECLINED
from dev.invariants import Harm
from dev.simulated.stack import SimulatedStack


@dataclass(frozen=True)
class Trials:
    """The outcomes of all single faults of one way.

    The customer of ``repeated`` asks again under the same key if there is no answer, the others don't.
    """

    approved: Sequence[Outcome]
    declined: Sequence[Outcome]
    repeated: Sequence[Outcome]

    @property
    def broken(self) -> list[Outcome]:
        """The outcomes that violate an invariant."""
        return [outcome for outcome in (*self.approved, *self.declined, *self.repeated) if outcome.violations]

    @property
    def count(self) -> int:
        """The number of faults."""
        return len(self.approved) + len(self.declined) + len(self.repeated)

    @property
    def placed(self) -> int:
        """The number of faults of an approved payment after which the order is placed without another request."""
        return sum(outcome.placed for outcome in self.approved)

    @property
    def recovery(self) -> float:
        """The longest time in seconds from a crash to the event of an order that was placed nevertheless."""
        times = [outcome.event_after for outcome in self.approved if outcome.placed and _crashed(outcome.strike)]
        return max(time for time in times if time is not None)


def run_all(stack: SimulatedStack, way: Way, progress: Callable[[str], None]) -> Trials:
    """Run every single fault of a way."""
    trials = Trials(
        approved=every_fault(stack, way, APPROVED),
        declined=every_fault(stack, way, DECLINED),
        repeated=[] if way.waits else every_fault(stack, way, APPROVED, asks_again=True),
    )
    progress(f"{way.name}: {trials.count} faults, {len(trials.broken)} violate an invariant")
    return trials


def describe(outcome: Outcome) -> str:
    """Return the damage of an outcome in a word or two."""
    found = {"stock" if "available" in one.what else "hold" for one in outcome.violations if one.harm is not Harm.LOST}
    return " and ".join(sorted(found)) or "lost"


def every_fault(stack: SimulatedStack, way: Way, token: str, *, asks_again: bool = False) -> list[Outcome]:
    """Run a way once for each single fault of its calls."""
    undisturbed = run(stack, way, None, token=token, asks_again=False)
    assert not undisturbed.violations, f"{way.name} fails without a fault: {undisturbed.violations}"  # noqa: S101
    return [run(stack, way, strike, token=token, asks_again=asks_again) for strike in strikes(undisturbed)]


def _crashed(strike: Strike | None) -> bool:
    return strike is not None and strike.kind != "answer lost"
