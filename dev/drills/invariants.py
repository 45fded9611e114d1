"""Invariants of a deployment that has no work left: the promises P1 to P4, and P9.

Each check reads a snapshot and returns its violations, so drills, benchmarks and tests can use it. The checks assume
that every customer has an e-mail address, and that stock changes by orders only.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dev.demo.orders import Snapshot, mail_summary

# States in which an order keeps its stock, and the state that its hold must have in each state.
_LIVE = {"PENDING", "PLACED", "PREPARED"}
_HOLDS = {"PENDING": "held", "PLACED": "held", "PREPARED": "capture", "CANCELLED": "void", "REJECTED": "void"}
_NEVER_HELD = {"declined", "lost", "refused"}
# Words in a mail's subject, by the step that it announces.
_SUBJECTS = {"PLACED": "confirmed", "PREPARED": "on its way", "CANCELLED": "cancelled"}


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


def check(snapshot: Snapshot, loaded: Mapping[str, int], answered: Collection[str] = ()) -> list[Violation]:
    """Return all violations, given each product's initial stock and the ids of the orders answered with 201."""
    return [
        *answers_are_kept(snapshot, answered),
        *nothing_is_unfinished(snapshot),
        *stock_adds_up(snapshot, loaded),
        *money_has_owners(snapshot),
        *payments_are_settled(snapshot),
        *shipments_are_paid(snapshot),
        *sales_are_exact(snapshot),
        *mails_are_sent(snapshot),
        *settled_orders_keep_no_token(snapshot),
    ]


def answers_are_kept(snapshot: Snapshot, answered: Collection[str]) -> list[Violation]:
    """P1: an order answered with 201 exists and was placed."""
    placed = {order["orderId"] for order in snapshot.orders if "placedAt" in order}
    return [
        _lost(f"{order_id} was answered with 201 and does not exist") for order_id in answered if order_id not in placed
    ]


def nothing_is_unfinished(snapshot: Snapshot) -> list[Violation]:
    """P1 and P4: all events are published and handled, all reservations and payments are completed."""
    return [
        *(_lost(f"{order['orderId']} is {order['status']}") for order in snapshot.orders if _is_open(order)),
        *(_lost(f"{order['orderId']} has events to publish") for order in snapshot.orders if order.get("outbox")),
        *(_lost(f"{order['orderId']} has a payment due") for order in snapshot.orders if "paymentDue" in order),
    ]


def stock_adds_up(snapshot: Snapshot, loaded: Mapping[str, int]) -> list[Violation]:
    """P3: all loaded stock is either available or in a live order."""
    taken: Counter[str] = Counter()
    for order in snapshot.orders:
        if order["status"] in _LIVE:
            taken.update(_units(order))
    available = {product["sku"]: product["available"] for product in snapshot.products}
    return [
        *(_wrong(f"{sku}: {count} are available") for sku, count in available.items() if count < 0),
        *(
            _wrong(f"{sku}: {available.get(sku)} available of {count}, with {taken[sku]} in orders")
            for sku, count in loaded.items()
            if available.get(sku) != count - taken[sku]
        ),
    ]


def money_has_owners(snapshot: Snapshot) -> list[Violation]:
    """P2 and P4: an order has at most one hold, over its total, in the state that matches the order's."""
    orders = {order["orderId"]: order for order in snapshot.orders}
    held = [entry for entry in _entries(snapshot, "authorise") if entry["state"] not in _NEVER_HELD]
    counts = Counter(hold["orderId"] for hold in held)
    violations = [_doubled(f"{order_id} has {count} holds") for order_id, count in counts.items() if count > 1]
    for hold in held:
        order = orders.get(hold["orderId"])
        if order is None:
            violations.append(_wrong(f"a hold for {hold['orderId']}, which does not exist"))
        elif hold["state"] != _HOLDS[order["status"]]:
            violations.append(_wrong(f"{hold['orderId']} is {order['status']}, its hold is {hold['state']}"))
        elif hold["amount"] != order["total"]:
            violations.append(_wrong(f"{hold['orderId']} holds {hold['amount']} for a total of {order['total']}"))
    return violations


def payments_are_settled(snapshot: Snapshot) -> list[Violation]:
    """P2: prepared orders are captured once, cancelled orders are voided once, and no other order is captured."""
    captured = Counter(entry["orderId"] for entry in _entries(snapshot, "capture"))
    voided = Counter(entry["orderId"] for entry in _entries(snapshot, "void"))
    status = {order["orderId"]: order["status"] for order in snapshot.orders}
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


def shipments_are_paid(snapshot: Snapshot) -> list[Violation]:
    """P2: only prepared orders have a shipment, and it is released if and only if the order is paid."""
    states = {shipment["orderId"]: shipment["state"] for shipment in snapshot.shipments}
    prepared = {order["orderId"]: order for order in snapshot.orders if order["status"] == "PREPARED"}
    paid = {order_id for order_id, order in prepared.items() if order["payment"]["state"] == "captured"}
    released = {order_id for order_id, state in states.items() if state == "released"}
    return [
        *(_lost(f"{order_id} is prepared and has no shipment") for order_id in prepared.keys() - states.keys()),
        *(_wrong(f"{order_id} has a shipment and is not prepared") for order_id in states.keys() - prepared.keys()),
        *(_lost(f"{order_id} is prepared and not released") for order_id in prepared.keys() & states.keys() - released),
        *(_wrong(f"{order_id} is released and not paid") for order_id in released - paid),
    ]


def sales_are_exact(snapshot: Snapshot) -> list[Violation]:
    """P2: the counters equal a fold over the orders."""
    expected: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for order in snapshot.orders:
        if "placedAt" in order and order["status"] != "CANCELLED":
            units = _units(order)
            expected["all"].update(orders=1, units=sum(units.values()), revenue=order["total"])
            for line in order["lines"]:
                revenue = line["quantity"] * line["unitPrice"]
                expected[f"sku#{line['sku']}"].update(orders=1, units=line["quantity"], revenue=revenue)
    violations = []
    for entry in sorted(expected.keys() | snapshot.sales.keys()):
        for name in ("orders", "units", "revenue"):
            counted, right = snapshot.sales.get(entry, Counter())[name], expected[entry][name]
            if counted != right:
                harm = Harm.LOST if counted < right else Harm.DOUBLED
                violations.append(Violation(harm, f"sales of {entry}: {counted} {name} counted, {right} in the orders"))
    return violations


def mails_are_sent(snapshot: Snapshot) -> list[Violation]:
    """P2: each announced step is mailed once. The confirmation of a cancelled order is optional."""
    sent = Counter(
        (about, word)
        for subject, about in map(mail_summary, snapshot.mails)
        for word in _SUBJECTS.values()
        if about and word in subject
    )
    wanted: Counter[tuple[str, str]] = Counter()
    optional = set()
    for order in snapshot.orders:
        for step in order["history"]:
            if step["status"] in _SUBJECTS:
                mail = order["orderId"], _SUBJECTS[step["status"]]
                wanted[mail] = 1
                if step["status"] == "PLACED" and order["status"] == "CANCELLED":
                    optional.add(mail)
    missing, extra = wanted - sent, sent - wanted
    return [
        *(_lost(f"{about} has no mail saying {word!r}") for about, word in missing if (about, word) not in optional),
        *(
            Violation(Harm.DOUBLED_MAIL, f"{about} has one more mail saying {word!r}")
            for about, word in extra.elements()
            if (about, word) in wanted
        ),
        *(_wrong(f"{about} has a mail saying {word!r}") for about, word in extra if (about, word) not in wanted),
    ]


def settled_orders_keep_no_token(snapshot: Snapshot) -> list[Violation]:
    """P9: an order whose payment is completed keeps no payment token."""
    ended = (order for order in snapshot.orders if not _is_open(order) and "paymentDue" not in order)
    return [_wrong(f"{order['orderId']} still has its payment token") for order in ended if "paymentToken" in order]


def harms(violations: Iterable[Violation]) -> Counter[Harm]:
    """Return the number of violations by kind."""
    return Counter(violation.harm for violation in violations)


def _is_open(order: Mapping[str, Any]) -> bool:
    return order["status"] in {"PENDING", "PLACED"}


def _units(order: Mapping[str, Any]) -> Counter[str]:
    return Counter({line["sku"]: line["quantity"] for line in order["lines"]})


def _entries(snapshot: Snapshot, kind: str) -> Sequence[Mapping[str, Any]]:
    return [entry for entry in snapshot.ledger if entry["kind"] == kind]


def _lost(what: str) -> Violation:
    return Violation(Harm.LOST, what)


def _doubled(what: str) -> Violation:
    return Violation(Harm.DOUBLED, what)


def _wrong(what: str) -> Violation:
    return Violation(Harm.WRONG, what)
