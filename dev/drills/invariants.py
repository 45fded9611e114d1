"""What must hold of a whole deployment once it is quiet, whatever has happened before: the promises P1 to P4, and P9.

Each check looks at the tables alone and returns what violates it, so that drills, benchmark and tests can all ask.
They take it that every customer has an address for mails, and that stock changes by orders only.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dev.demo.orders import Outcome, mail_summary

# The states in which an order has its stock, and what its hold must have become in each state.
_LIVE = {"PENDING", "PLACED", "PREPARED"}
_HOLDS = {"PENDING": "held", "PLACED": "held", "PREPARED": "capture", "CANCELLED": "void", "REJECTED": "void"}
_NEVER_HELD = {"declined", "lost", "refused"}
# What a mail's subject says, by the step that it tells of.
_SUBJECTS = {"PLACED": "confirmed", "PREPARED": "on its way", "CANCELLED": "cancelled"}


class Harm(StrEnum):
    """What kind of damage a violation is."""

    LOST = "lost"
    DOUBLED = "doubled"
    DOUBLED_MAIL = "doubled mail"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be, and what kind of damage it is."""

    harm: Harm
    what: str


def check(outcome: Outcome, loaded: Mapping[str, int], answered: Collection[str] = ()) -> list[Violation]:
    """All of them. ``loaded`` is the stock that each product started with, ``answered`` the orders that got a 201."""
    return [
        *answers_are_kept(outcome, answered),
        *nothing_is_unfinished(outcome),
        *stock_adds_up(outcome, loaded),
        *money_has_owners(outcome),
        *payments_are_settled(outcome),
        *shipments_are_paid(outcome),
        *sales_are_exact(outcome),
        *mails_are_sent(outcome),
        *settled_orders_keep_no_token(outcome),
    ]


def answers_are_kept(outcome: Outcome, answered: Collection[str]) -> list[Violation]:
    """P1: an order that a customer was told of is there, and was placed."""
    placed = {order["orderId"] for order in outcome.orders if "placedAt" in order}
    return [
        _lost(f"{order_id} was answered with 201 and is not there") for order_id in answered if order_id not in placed
    ]


def nothing_is_unfinished(outcome: Outcome) -> list[Violation]:
    """P1 and P4: every event is out and dealt with, every reservation and payment has come to its end."""
    return [
        *(_lost(f"{order['orderId']} is {order['status']}") for order in outcome.orders if _is_open(order)),
        *(_lost(f"{order['orderId']} has events to publish") for order in outcome.orders if order.get("outbox")),
        *(_lost(f"{order['orderId']} has a payment due") for order in outcome.orders if "paymentDue" in order),
    ]


def stock_adds_up(outcome: Outcome, loaded: Mapping[str, int]) -> list[Violation]:
    """P3: what was loaded is either available or in a live order."""
    taken: Counter[str] = Counter()
    for order in outcome.orders:
        if order["status"] in _LIVE:
            taken.update(_units(order))
    available = {product["sku"]: product["available"] for product in outcome.products}
    return [
        *(_wrong(f"{sku}: {count} are available") for sku, count in available.items() if count < 0),
        *(
            _wrong(f"{sku}: {available.get(sku)} available of {count}, with {taken[sku]} in orders")
            for sku, count in loaded.items()
            if available.get(sku) != count - taken[sku]
        ),
    ]


def money_has_owners(outcome: Outcome) -> list[Violation]:
    """P2 and P4: at most one hold an order, over its total, and in the state that the order asks for."""
    orders = {order["orderId"]: order for order in outcome.orders}
    held = [entry for entry in _entries(outcome, "authorise") if entry["state"] not in _NEVER_HELD]
    counts = Counter(hold["orderId"] for hold in held)
    violations = [_doubled(f"{order_id} has {count} holds") for order_id, count in counts.items() if count > 1]
    for hold in held:
        order = orders.get(hold["orderId"])
        if order is None:
            violations.append(_wrong(f"a hold for {hold['orderId']}, which is not there"))
        elif hold["state"] != _HOLDS[order["status"]]:
            violations.append(_wrong(f"{hold['orderId']} is {order['status']}, its hold is {hold['state']}"))
        elif hold["amount"] != order["total"]:
            violations.append(_wrong(f"{hold['orderId']} holds {hold['amount']} for a total of {order['total']}"))
    return violations


def payments_are_settled(outcome: Outcome) -> list[Violation]:
    """P2: what is prepared is captured once, what is cancelled is voided once, and nothing else is captured."""
    captured = Counter(entry["orderId"] for entry in _entries(outcome, "capture"))
    voided = Counter(entry["orderId"] for entry in _entries(outcome, "void"))
    status = {order["orderId"]: order["status"] for order in outcome.orders}
    prepared = [order_id for order_id, found in status.items() if found == "PREPARED"]
    cancelled = [order_id for order_id, found in status.items() if found == "CANCELLED"]
    return [
        *(_lost(f"{order_id} is prepared and not captured") for order_id in prepared if not captured[order_id]),
        *(_lost(f"{order_id} is cancelled and not voided") for order_id in cancelled if not voided[order_id]),
        *(_doubled(f"{order_id} has {count} captures") for order_id, count in captured.items() if count > 1),
        *(_doubled(f"{order_id} has {count} voids") for order_id, count in voided.items() if count > 1),
        *(
            _wrong(f"{order_id} is captured, not prepared")
            for order_id in captured
            if status.get(order_id) != "PREPARED"
        ),
    ]


def shipments_are_paid(outcome: Outcome) -> list[Violation]:
    """P2: what is prepared has a shipment, nothing else has, and it is released if, and only if, it is paid."""
    states = {shipment["orderId"]: shipment["state"] for shipment in outcome.shipments}
    prepared = {order["orderId"]: order for order in outcome.orders if order["status"] == "PREPARED"}
    paid = {order_id for order_id, order in prepared.items() if order["payment"]["state"] == "captured"}
    released = {order_id for order_id, state in states.items() if state == "released"}
    return [
        *(_lost(f"{order_id} is prepared and has no shipment") for order_id in prepared.keys() - states.keys()),
        *(_wrong(f"{order_id} has a shipment and is not prepared") for order_id in states.keys() - prepared.keys()),
        *(_lost(f"{order_id} is prepared and not released") for order_id in prepared.keys() & states.keys() - released),
        *(_wrong(f"{order_id} is released and not paid") for order_id in released - paid),
    ]


def sales_are_exact(outcome: Outcome) -> list[Violation]:
    """P2: the counters are what a fold over the orders gives."""
    expected: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for order in outcome.orders:
        if "placedAt" in order and order["status"] != "CANCELLED":
            units = _units(order)
            expected["all"].update(orders=1, units=sum(units.values()), revenue=order["total"])
            for line in order["lines"]:
                revenue = line["quantity"] * line["unitPrice"]
                expected[f"sku#{line['sku']}"].update(orders=1, units=line["quantity"], revenue=revenue)
    violations = []
    for entry in sorted(expected.keys() | outcome.sales.keys()):
        for name in ("orders", "units", "revenue"):
            counted, right = outcome.sales.get(entry, Counter())[name], expected[entry][name]
            if counted != right:
                harm = Harm.LOST if counted < right else Harm.DOUBLED
                violations.append(Violation(harm, f"sales of {entry}: {counted} {name} counted, {right} in the orders"))
    return violations


def mails_are_sent(outcome: Outcome) -> list[Violation]:
    """P2: each step that customers hear of is mailed once; the confirmation may be left out once it is cancelled."""
    sent = Counter(
        (about, word)
        for subject, about in map(mail_summary, outcome.mails)
        for word in _SUBJECTS.values()
        if about and word in subject
    )
    wanted: Counter[tuple[str, str]] = Counter()
    optional = set()
    for order in outcome.orders:
        for step in order["history"]:
            if step["status"] in _SUBJECTS:
                mail = order["orderId"], _SUBJECTS[step["status"]]
                wanted[mail] = 1
                if step["status"] == "PLACED" and order["status"] == "CANCELLED":
                    optional.add(mail)
    missing, extra = wanted - sent, sent - wanted
    return [
        *(_lost(f"{about} was not told that it is {word}") for about, word in missing if (about, word) not in optional),
        *(
            Violation(Harm.DOUBLED_MAIL, f"{about} was told once more that it is {word}")
            for about, word in extra.elements()
            if (about, word) in wanted
        ),
        *(_wrong(f"{about} was told that it is {word}") for about, word in extra if (about, word) not in wanted),
    ]


def settled_orders_keep_no_token(outcome: Outcome) -> list[Violation]:
    """P9: the payment token has left every order whose payment has come to its end."""
    ended = (order for order in outcome.orders if not _is_open(order) and "paymentDue" not in order)
    return [_wrong(f"{order['orderId']} still has its payment token") for order in ended if "paymentToken" in order]


def harms(violations: Iterable[Violation]) -> Counter[Harm]:
    """How many of each kind."""
    return Counter(violation.harm for violation in violations)


def _is_open(order: Mapping[str, Any]) -> bool:
    return order["status"] in {"PENDING", "PLACED"}


def _units(order: Mapping[str, Any]) -> Counter[str]:
    return Counter({line["sku"]: line["quantity"] for line in order["lines"]})


def _entries(outcome: Outcome, kind: str) -> Sequence[Mapping[str, Any]]:
    return [entry for entry in outcome.ledger if entry["kind"] == kind]


def _lost(what: str) -> Violation:
    return Violation(Harm.LOST, what)


def _doubled(what: str) -> Violation:
    return Violation(Harm.DOUBLED, what)


def _wrong(what: str) -> Violation:
    return Violation(Harm.WRONG, what)
