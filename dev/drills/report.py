"""A drill's result, as figures and as a table."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table

from dev.invariants import Harm, Violation, harms

LATE_AFTER = 30  # seconds from an event to its effect


@dataclass(frozen=True, slots=True)
class Latency:
    """Latency of orders in seconds, from the first try to the final answer."""

    orders: int
    p50: float
    p95: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency":
        """Return the latency of orders with these durations."""
        if len(seconds) < 2:
            return cls(len(seconds), *[round(sum(seconds), 3)] * 2)
        cuts = statistics.quantiles(seconds, n=20, method="inclusive")
        return cls(len(seconds), round(cuts[9], 3), round(cuts[18], 3))

    def __str__(self) -> str:
        return f"{self.p50:.2f} s / {self.p95:.2f} s, of {self.orders} orders"


@dataclass(frozen=True)
class Report:
    """Result of one drill: the view of the customers and of the consumers, and the damage. Times in seconds."""

    name: str
    what: str
    seconds: float
    recovered_after: float
    struck: int
    killed: int
    answers: Counter[str]
    failures: Counter[str]
    during: Latency
    outside: Latency
    late: Counter[str]
    dead_letters: Counter[str]
    redriven: int
    seen: str
    violations: Sequence[Violation]
    mails_allowed: int

    @property
    def passed(self) -> bool:
        """Whether nothing is lost, doubled or wrong, except mails doubled because a process died."""
        found = harms(self.violations)
        return not found[Harm.LOST] + found[Harm.DOUBLED] + found[Harm.WRONG] and (
            found[Harm.DOUBLED_MAIL] <= self.mails_allowed
        )

    def figures(self) -> dict[str, Any]:
        """Return the result as JSON."""
        found = harms(self.violations)
        return {
            "name": self.name,
            "what": self.what,
            "outageSeconds": self.seconds,
            "recoveredAfterSeconds": self.recovered_after,
            "callsStruck": self.struck,
            "processesKilled": self.killed,
            "answers": dict(self.answers),
            "failedTries": dict(self.failures),
            "latencySeconds": {
                "during": {"orders": self.during.orders, "p50": self.during.p50, "p95": self.during.p95},
                "outside": {"orders": self.outside.orders, "p50": self.outside.p50, "p95": self.outside.p95},
            },
            "lateEvents": dict(self.late),
            "deadLetters": dict(self.dead_letters),
            "redriven": self.redriven,
            "seenDuring": self.seen,
            **{harm.name.lower(): found[harm] for harm in Harm},
            "doubledMailsAllowed": self.mails_allowed,
            "violations": [violation.what for violation in self.violations],
            "passed": self.passed,
        }


def table(report: Report) -> Table:
    """Return the result as a table."""
    shown = Table(title=f"{report.name}: {report.what}", title_justify="left", show_header=False)
    for what, value in _rows(report):
        shown.add_row(what, escape(value))
    return shown


def _rows(report: Report) -> list[tuple[str, str]]:
    found = harms(report.violations)
    letters = sum(report.dead_letters.values())
    return [
        ("outage", f"{report.seconds:.0f} s, {report.struck} calls struck, {report.killed} processes killed"),
        *([("seen during the outage", report.seen)] if report.seen else []),
        ("recovered", f"{report.recovered_after:.0f} s after the fault was removed"),
        ("orders answered", _counts(report.answers)),
        ("failed tries", _counts(report.failures)),
        ("latency during, p50 / p95", str(report.during)),
        ("latency outside, p50 / p95", str(report.outside)),
        (f"events later than {LATE_AFTER} s", _counts(report.late)),
        ("dead letters", "\n".join(f"{count} {reason}" for reason, count in report.dead_letters.items()) or "none"),
        ("redriven", f"{report.redriven} of {letters}"),
        ("lost", _harm(report, Harm.LOST)),
        ("doubled effects", _harm(report, Harm.DOUBLED)),
        ("other violations", _harm(report, Harm.WRONG)),
        ("doubled mails", f"{found[Harm.DOUBLED_MAIL]}, {report.mails_allowed} allowed"),
    ]


def _harm(report: Report, harm: Harm) -> str:
    found = [violation.what for violation in report.violations if violation.harm is harm]
    return "\n".join([str(len(found)), *found[:10]])


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in sorted(counts.items())) or "none"
