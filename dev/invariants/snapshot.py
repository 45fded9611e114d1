"""The data that the invariants read, and the violations that they report."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Self

from shop.sales_generations import FIRST, POINTER

Item = Mapping[str, Any]
Sales = dict[tuple[str, str], Counter[str]]


class Harm(StrEnum):
    """A kind of damage."""

    LOST = "lost"
    DOUBLED = "doubled"
    DOUBLED_MAIL = "doubled mail"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Violation:
    """A violated invariant, with its kind of damage."""

    harm: Harm
    what: str


class Mail(NamedTuple):
    """A sent mail; ``about`` is the id of the order in it or ""."""

    subject: str
    about: str
    text: str = ""


@dataclass(frozen=True)
class Snapshot:
    """The content of a system's tables, mails, events and queues. Times in milliseconds, amounts in minor units.

    ``sales`` are the current counters by day and by ``all`` or ``sku#...``. ``events`` are the published ones, where
    they are known, with their parsed detail. ``ledger`` are the provider's entries: ``authorise`` with the state of the
    hold, the captured amount if it is not all of it, and the dispute, ``capture``, ``void``, and ``refund`` with its
    amount and state. The key of a refund that was made for an order contains its id. ``limits`` are the users' counts,
    by hour.
    """

    orders: Sequence[Item]
    products: Sequence[Item]
    customers: Sequence[Item]
    shipments: Sequence[Item]
    ledger: Sequence[Item]
    sales: Sales
    mails: Sequence[Mail] = ()
    events: Sequence[Item] = ()
    limits: Sequence[Item] = ()
    lags: Mapping[str, Sequence[int]] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    dead_letters: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(
        cls, scan: Callable[[str], Sequence[Item]], *, ledger: Sequence[Item] | None = None, **others: Any
    ) -> Self:
        """Read the tables with a function that returns all items of a table, by logical id.

        The ``ledger`` is the sandbox's unless given.
        """
        return cls(
            orders=scan("OrdersTable"),
            products=scan("ProductsTable"),
            customers=scan("CustomersTable"),
            shipments=scan("ShipmentsTable"),
            ledger=scan("SandboxTable") if ledger is None else ledger,
            sales=counters(scan("SalesTable")),
            limits=scan("LimitsTable"),
            **others,
        )

    @property
    def totals(self) -> dict[str, Counter[str]]:
        """The sales of all days, by ``all`` and ``sku#...``."""
        totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for (_day, entry), counts in self.sales.items():
            totals[entry].update(counts)
        return totals

    def entries(self, kind: str) -> list[Item]:
        """Return the ledger's entries of one kind."""
        return [entry for entry in self.ledger if entry["kind"] == kind]


def counters(rows: Iterable[Item], generation: int | None = None) -> Sales:
    """Return the counters of a generation, or of the current one, summed over shards."""
    rows = list(rows)
    pointer = next((row for row in rows if row["bucketId"] == POINTER), {})
    wanted = str(generation or pointer.get("currentGeneration", FIRST))
    found: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        bucket = row["bucketId"].split("#")
        if "orders" in row and bucket[0] == wanted:
            found[bucket[1], row["entry"]].update({name: int(row[name]) for name in ("orders", "units", "revenue")})
    return found


def order_in(text: str) -> str:
    """Return the first order id in a text, or ""."""
    found = re.search(r"ord_[a-z2-7]{26}", text)
    return found[0] if found else ""


def harms(violations: Iterable[Violation]) -> Counter[Harm]:
    """Return the number of violations by kind."""
    return Counter(violation.harm for violation in violations)


def lost(what: str) -> Violation:
    """Return a violation by a loss."""
    return Violation(Harm.LOST, what)


def doubled(what: str) -> Violation:
    """Return a violation by something done twice."""
    return Violation(Harm.DOUBLED, what)


def wrong(what: str) -> Violation:
    """Return a violation by a contradiction."""
    return Violation(Harm.WRONG, what)
