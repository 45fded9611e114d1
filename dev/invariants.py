"""Invariants of a system that has no work left: the promises P1 to P4, P7, P9 and P10.

Each check reads a snapshot and returns its violations. `dev.demo.orders.take_snapshot` reads a deployed stack,
`dev.simulated.world.World.snapshot` a simulated one. The checks assume that stock changes by orders only.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any, Self

from handoff import ids
from handoff.events import MAX_DETAIL_BYTES
from handoff.unfinished import INDEX_KEYS
from shop.sales import ALL, PRODUCT
from shop.sales_generations import FIRST, POINTER

Item = Mapping[str, Any]
Sales = dict[tuple[str, str], Counter[str]]

# States in which an order keeps its stock, and the state that its hold must have in each state.
_LIVE = {"PENDING", "PLACED", "PREPARED"}
_HOLDS = {"PLACED": "held", "PREPARED": "capture", "CANCELLED": "void", "REJECTED": "void"}
_STEPS = {("PENDING", "PLACED"), ("PENDING", "REJECTED"), ("PLACED", "PREPARED"), ("PLACED", "CANCELLED")}
# The event and the mail about a step.
_EVENTS = {"PLACED": "order_placed", "CANCELLED": "order_cancelled", "PREPARED": "shipment_prepared"}
_SUBJECTS = {
    "PLACED": "Your order is confirmed",
    "PREPARED": "Your order is on its way",
    "CANCELLED": "Your order is cancelled",
}
_ANSWERED = ("lines", "total", "shippingAddress")


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


@dataclass(frozen=True)
class Snapshot:
    """The content of a system's tables, mails, events and queues. Times in milliseconds, amounts in minor units.

    ``sales`` are the current counters by day and by ``all`` or ``sku#...``. ``mails`` are their subjects, each with the
    id of the order in it or "". ``events`` are the published ones, where they are known, with their parsed detail.
    """

    orders: Sequence[Item]
    products: Sequence[Item]
    customers: Sequence[Item]
    shipments: Sequence[Item]
    ledger: Sequence[Item]
    sales: Sales
    mails: Sequence[tuple[str, str]] = ()
    events: Sequence[Item] = ()
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
            **others,
        )

    @property
    def totals(self) -> dict[str, Counter[str]]:
        """The sales of all days, by ``all`` and ``sku#...``."""
        totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for (_day, entry), counts in self.sales.items():
            totals[entry].update(counts)
        return totals


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


def check(snapshot: Snapshot, loaded: Mapping[str, int], answered: Iterable[Item] = ()) -> list[Violation]:
    """Return all violations in a quiet system, given each product's initial stock and the answers 201.

    Of the answers only the ``orderId`` is required.
    """
    return [
        *check_tables(snapshot, loaded),
        *answers_are_kept(snapshot, answered),
        *placed_orders_are_processed(snapshot),
        *mails_are_sent(snapshot),
    ]


def check_tables(snapshot: Snapshot, loaded: Mapping[str, int]) -> list[Violation]:
    """Return the violations that do not depend on the consumers having handled every event."""
    return [
        *nothing_is_unfinished(snapshot),
        *histories_are_sound(snapshot),
        *stock_adds_up(snapshot, loaded),
        *money_has_owners(snapshot),
        *payments_are_settled(snapshot),
        *shipments_are_paid(snapshot),
        *sales_are_exact(snapshot),
        *settled_orders_keep_no_token(snapshot),
    ]


def answers_are_kept(snapshot: Snapshot, answered: Iterable[Item]) -> list[Violation]:
    """P1: an order answered with 201 exists, was placed, and has the content of the answer."""
    placed = {order["orderId"]: order for order in snapshot.orders if "placedAt" in order}
    violations = []
    for answer in answered:
        order = placed.get(answer["orderId"])
        if order is None:
            violations.append(_lost(f"{answer['orderId']} was answered with 201 and does not exist"))
        elif any(order[name] != answer[name] for name in _ANSWERED if name in answer):
            violations.append(_wrong(f"{answer['orderId']} differs from its answer"))
    return violations


def nothing_is_unfinished(snapshot: Snapshot) -> list[Violation]:
    """P1 and P4: all events are published, all reservations and payments are completed."""
    pending = [order["orderId"] for order in snapshot.orders if order["status"] == "PENDING"]
    customers = [customer["userId"] for customer in snapshot.customers if customer.get("outbox")]
    return [
        *(_lost(f"{order_id} is PENDING") for order_id in pending),
        *(_lost(f"{order['orderId']} has events to publish") for order in snapshot.orders if order.get("outbox")),
        *(_lost(f"{user_id} has events to publish") for user_id in customers),
        *(_lost(f"{order['orderId']} has a payment due") for order in snapshot.orders if "paymentDue" in order),
    ]


def index_is_empty(snapshot: Snapshot) -> list[Violation]:
    """P4: nothing is left in the index of unfinished work. A deployed stack may need another sweep for this."""
    left = [item for item in (*snapshot.orders, *snapshot.customers) if item.keys() & set(INDEX_KEYS)]
    return [_wrong(f"{item.get('orderId') or item['userId']} is still in the index") for item in left]


def placed_orders_are_processed(snapshot: Snapshot) -> list[Violation]:
    """P1: no order is left in the state in which the consumers get it."""
    return [_lost(f"{order['orderId']} is PLACED") for order in snapshot.orders if order["status"] == "PLACED"]


def queues_are_empty(snapshot: Snapshot) -> list[Violation]:
    """P1 and P8: no message waits, and there are no dead letters."""
    return [
        *(_lost(f"{name}: {count} messages still waiting") for name, count in snapshot.waiting.items() if count),
        *(_lost(f"{name}: {count} dead letters") for name, count in snapshot.dead_letters.items() if count),
    ]


def histories_are_sound(snapshot: Snapshot) -> list[Violation]:
    """P7: each order took only allowed steps, under consecutive sequence numbers, each once."""
    return [
        _wrong(f"{order['orderId']} has an impossible history") for order in snapshot.orders if not _is_sound(order)
    ]


def _is_sound(order: Item) -> bool:
    history = order["history"]
    moves = {
        (before["status"], entry["status"])
        for before, entry in pairwise(history)
        if before["status"] != entry["status"] or "payment" not in entry  # settling a payment keeps the status
    }
    payments = ["none", *(entry["payment"] for entry in history if "payment" in entry)]
    return (
        [entry["sequence"] for entry in history] == list(range(len(history)))
        and len({entry["transitionId"] for entry in history}) == len(history)
        and moves <= _STEPS
        and payments[-1] == order["payment"]["state"]
        and (history[-1]["status"], history[-1]["sequence"]) == (order["status"], order["sequence"])
    )


def every_event_is_published(snapshot: Snapshot) -> list[Violation]:
    """P1 and P10: each step that has an event is published, at least once, and no event is large."""
    wanted = {
        (ids.event_id(order["orderId"], entry["sequence"]), _EVENTS[entry["status"]])
        for order in snapshot.orders
        for before, entry in pairwise(order["history"])
        if entry["status"] in _EVENTS and entry["status"] != before["status"]
    }
    published = {
        (event["Detail"]["metadata"]["eventId"], event["DetailType"])
        for event in snapshot.events
        if event["Source"] != "handoff.customers"
    }
    large = [event for event in snapshot.events if len(json.dumps(event["Detail"])) > MAX_DETAIL_BYTES]
    return [
        *(_lost(f"{kind} {event_id} is not published") for event_id, kind in wanted - published),
        *(_wrong(f"{kind} {event_id} is published and did not happen") for event_id, kind in published - wanted),
        *(_wrong(f"{event['Detail']['metadata']['eventId']} is over {MAX_DETAIL_BYTES} bytes") for event in large),
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
        *(_wrong(f"{sku} was not loaded") for sku in available.keys() - loaded.keys()),
        *(
            _wrong(f"{sku}: {available.get(sku)} available of {count}, with {taken[sku]} in orders")
            for sku, count in loaded.items()
            if available.get(sku) != count - taken[sku]
        ),
    ]


def money_has_owners(snapshot: Snapshot) -> list[Violation]:
    """P2 and P4: an order has at most one hold, over its total, ended at most once, in the state of the order."""
    orders = {order["orderId"]: order for order in snapshot.orders}
    holds = _entries(snapshot, "authorise")
    counts = Counter(hold["orderId"] for hold in holds)
    captured = Counter(entry["orderId"] for entry in _entries(snapshot, "capture"))
    voided = Counter(entry["orderId"] for entry in _entries(snapshot, "void"))
    placed = [order["orderId"] for order in snapshot.orders if "placedAt" in order]
    violations = [
        *(_doubled(f"{order_id} has {count} holds") for order_id, count in counts.items() if count > 1),
        *(_doubled(f"{order_id} has {count} captures") for order_id, count in captured.items() if count > 1),
        *(_doubled(f"{order_id} has {count} voids") for order_id, count in voided.items() if count > 1),
        *(_lost(f"{order_id} has no hold") for order_id in placed if not counts[order_id]),
    ]
    for hold in holds:
        order = orders.get(hold["orderId"])
        if order is None:
            violations.append(_wrong(f"a hold for {hold['orderId']}, which does not exist"))
        elif hold["state"] not in ("declined", _HOLDS.get(order["status"])):
            violations.append(_wrong(f"{hold['orderId']} is {order['status']}, its hold is {hold['state']}"))
        elif hold["amount"] != order["total"]:
            violations.append(_wrong(f"{hold['orderId']} holds {hold['amount']} for a total of {order['total']}"))
    return violations


def payments_are_settled(snapshot: Snapshot) -> list[Violation]:
    """P2: prepared orders are captured, cancelled orders are voided, and no other order is captured."""
    captured = {entry["orderId"] for entry in _entries(snapshot, "capture")}
    voided = {entry["orderId"] for entry in _entries(snapshot, "void")}
    prepared = {order["orderId"] for order in snapshot.orders if order["status"] == "PREPARED"}
    cancelled = {order["orderId"] for order in snapshot.orders if order["status"] == "CANCELLED"}
    return [
        *(_lost(f"{order_id} is prepared and not captured") for order_id in prepared - captured),
        *(_lost(f"{order_id} is cancelled and not voided") for order_id in cancelled - voided),
        *(_wrong(f"{order_id} is captured, not prepared") for order_id in captured - prepared),
    ]


def shipments_are_paid(snapshot: Snapshot) -> list[Violation]:
    """P2: only prepared orders have a shipment, and it is released if and only if the order is paid."""
    states = {shipment["orderId"]: shipment["state"] for shipment in snapshot.shipments}
    prepared = {order["orderId"] for order in snapshot.orders if order["status"] == "PREPARED"}
    paid = {order["orderId"] for order in snapshot.orders if order["payment"]["state"] == "captured"}
    released = {order_id for order_id, state in states.items() if state == "released"}
    return [
        *(_lost(f"{order_id} is prepared and has no shipment") for order_id in prepared - states.keys()),
        *(_wrong(f"{order_id} has a shipment and is not prepared") for order_id in states.keys() - prepared),
        *(_lost(f"{order_id} is paid and not released") for order_id in states.keys() & paid - released),
        *(_wrong(f"{order_id} is released and not paid") for order_id in released - paid),
    ]


def sales_are_exact(snapshot: Snapshot) -> list[Violation]:
    """P2: the counters equal a fold over the orders."""
    expected: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for order in snapshot.orders:
        if "placedAt" in order and order["status"] != "CANCELLED":
            day = order["placedAt"][:10]
            expected[day, ALL].update(orders=1, units=_units(order).total(), revenue=order["total"])
            for line in order["lines"]:
                revenue = line["quantity"] * line["unitPrice"]
                expected[day, PRODUCT + line["sku"]].update(orders=1, units=line["quantity"], revenue=revenue)
    violations = []
    for day, entry in sorted(expected.keys() | snapshot.sales.keys()):
        for name in ("orders", "units", "revenue"):
            counted, right = snapshot.sales.get((day, entry), Counter())[name], expected[day, entry][name]
            if counted != right:
                harm = Harm.LOST if counted < right else Harm.DOUBLED
                what = f"sales of {entry} on {day}: {counted} {name} counted, {right} in the orders"
                violations.append(Violation(harm, what))
    return violations


def mails_are_sent(snapshot: Snapshot) -> list[Violation]:
    """P2: each step is mailed once. The confirmation of a cancelled order is optional, as are undeliverable mails."""
    sent = Counter((about, subject) for subject, about in snapshot.mails if about and subject in _SUBJECTS.values())
    reachable = {
        customer["userId"]
        for customer in snapshot.customers
        if customer.get("email") and not customer.get("emailProblem")
    }
    wanted: Counter[tuple[str, str]] = Counter()
    optional = set()
    for order in snapshot.orders:
        for status in {step["status"] for step in order["history"]} & _SUBJECTS.keys():
            mail = order["orderId"], _SUBJECTS[status]
            wanted[mail] = 1
            if order["userId"] not in reachable or (status == "PLACED" and order["status"] == "CANCELLED"):
                optional.add(mail)
    missing, extra = wanted - sent, sent - wanted
    return [
        *(_lost(f"{about} has no mail {subject!r}") for about, subject in missing if (about, subject) not in optional),
        *(
            Violation(Harm.DOUBLED_MAIL, f"{about} has one more mail {subject!r}")
            for about, subject in extra.elements()
            if (about, subject) in wanted
        ),
        *(_wrong(f"{about} has a mail {subject!r}") for about, subject in extra if (about, subject) not in wanted),
    ]


def settled_orders_keep_no_token(snapshot: Snapshot) -> list[Violation]:
    """P9: an order whose payment is completed keeps no payment token."""
    ended = [order for order in snapshot.orders if order["status"] not in {"PENDING", "PLACED"}]
    return [
        _wrong(f"{order['orderId']} still has its payment token")
        for order in ended
        if "paymentDue" not in order and "paymentToken" in order
    ]


def harms(violations: Iterable[Violation]) -> Counter[Harm]:
    """Return the number of violations by kind."""
    return Counter(violation.harm for violation in violations)


def _units(order: Item) -> Counter[str]:
    return Counter({line["sku"]: line["quantity"] for line in order["lines"]})


def _entries(snapshot: Snapshot, kind: str) -> list[Item]:
    return [entry for entry in snapshot.ledger if entry["kind"] == kind]


def _lost(what: str) -> Violation:
    return Violation(Harm.LOST, what)


def _doubled(what: str) -> Violation:
    return Violation(Harm.DOUBLED, what)


def _wrong(what: str) -> Violation:
    return Violation(Harm.WRONG, what)
