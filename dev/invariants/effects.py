"""Invariants of the consumers' effects: sales and mails."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import pairwise

from dev.invariants.orders import releases, units
from dev.invariants.snapshot import Harm, Item, Sales, Snapshot, Violation, lost, wrong
from shop.sales import ALL, PRODUCT

_PLACED = "Your order is confirmed"
_STATUS_SUBJECTS = {"PLACED": _PLACED, "CANCELLED": "Your order is cancelled"}
ON_ITS_WAY = "Your order is on its way"
_REFUNDED = "Your refund"
_RETURN = "We received your return request"
_SUBJECTS = {*_STATUS_SUBJECTS.values(), ON_ITS_WAY, _REFUNDED, _RETURN}
# Words that no mail may say about an order that was charged.
_NOT_CHARGED = "not charged"


def sales_are_exact(snapshot: Snapshot) -> list[Violation]:
    """P2: the counters equal a fold over the orders, which is not that of `shop.sales`.

    A refund counts on its own day. Its amount reduces the revenue, first that of the products that it is for. Only
    returned units reduce the units. With the last one the product, or the whole order, counts as not ordered.
    """
    expected = _expected_sales(snapshot)
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
    """P2: each step is mailed once.

    Optional are the confirmation of a cancelled order, and mails about an order of an erased customer, or about one
    that says why a mail was not sent.
    """
    sent = Counter((mail.about, mail.subject) for mail in snapshot.mails if mail.about and mail.subject in _SUBJECTS)
    wanted: Counter[tuple[str, str]] = Counter()
    optional = set()
    for order in snapshot.orders:
        for subject in _subjects(order):
            mail = order["orderId"], subject
            wanted[mail] += 1
            if "mailProblem" in order or "erasedAt" in order or (subject == _PLACED and order["status"] == "CANCELLED"):
                optional.add(mail)
    missing, extra = wanted - sent, sent - wanted
    return [
        *(lost(f"{about} has no mail {subject!r}") for about, subject in missing if (about, subject) not in optional),
        *(
            Violation(Harm.DOUBLED_MAIL, f"{about} has one more mail {subject!r}")
            for about, subject in extra.elements()
            if (about, subject) in wanted
        ),
        *(wrong(f"{about} has a mail {subject!r}") for about, subject in extra if (about, subject) not in wanted),
    ]


def mails_are_true(snapshot: Snapshot) -> list[Violation]:
    """P7: no mail says that a customer was not charged who was."""
    charged = {entry["orderId"] for entry in snapshot.entries("capture")}
    return [
        wrong(f"{mail.about} was charged, and a mail says {_NOT_CHARGED!r}")
        for mail in snapshot.mails
        if mail.about in charged and _NOT_CHARGED in mail.text
    ]


def _subjects(order: Item) -> Iterator[str]:
    """Yield the subject of the mail about each step of an order."""
    for before, entry in pairwise(order["history"]):
        if entry["status"] != before["status"]:
            if entry["status"] in _STATUS_SUBJECTS:
                yield _STATUS_SUBJECTS[entry["status"]]
        elif entry.get("refund") == "refunded":
            yield _REFUNDED
        elif "returns" in entry:
            yield _RETURN
        elif releases(entry):
            yield ON_ITS_WAY


def _expected_sales(snapshot: Snapshot) -> Sales:
    expected: Sales = defaultdict(Counter)
    for order in snapshot.orders:
        if "placedAt" in order and order["status"] != "CANCELLED":
            day = order["placedAt"][:10]
            expected[day, ALL].update(orders=1, units=units(order["lines"]).total(), revenue=order["total"])
            for line in order["lines"]:
                revenue = line["quantity"] * line["unitPrice"]
                expected[day, PRODUCT + line["sku"]].update(orders=1, units=line["quantity"], revenue=revenue)
            for day, entry, count in _refunded_sales(order):
                expected[day, entry].subtract(count)
    return expected


def _refunded_sales(order: Item) -> Iterator[tuple[str, str, Counter[str]]]:
    """Yield what each refund takes from the sales: its day, the counter, and the count."""
    prices = {line["sku"]: line["unitPrice"] for line in order["lines"]}
    kept = units(order["lines"])
    revenue = Counter({sku: count * prices[sku] for sku, count in kept.items()})
    refunded = [refund for refund in order.get("refunds", {}).values() if refund["state"] == "refunded"]
    for refund in sorted(refunded, key=lambda refund: refund["sequence"]):
        day, returned = refund["completedAt"][:10], units(refund["lines"]) if refund["restock"] else Counter()
        own = {sku: min(count * prices[sku], revenue[sku]) for sku, count in units(refund["lines"]).items()}
        taken = _spread(min(refund["amount"], sum(own.values())), own)
        taken.update(_spread(refund["amount"] - taken.total(), {sku: revenue[sku] - taken[sku] for sku in revenue}))
        revenue.subtract(taken)
        kept.subtract(returned)
        for sku in taken.keys() | returned.keys():
            last = sku in returned and kept[sku] == 0
            yield day, PRODUCT + sku, Counter(orders=int(last), units=returned[sku], revenue=taken[sku])
        last = bool(returned) and not any(kept.values())
        yield day, ALL, Counter(orders=int(last), units=returned.total(), revenue=taken.total())


def _spread(amount: int, weights: Mapping[str, int]) -> Counter[str]:
    """Spread an amount in proportion to the weights; the largest fractions get the missing units of one."""
    total = sum(weights.values())
    exact = {name: Fraction(amount * weight, total or 1) for name, weight in weights.items()}
    shares = Counter({name: int(share) for name, share in exact.items()})
    for name in sorted(exact, key=lambda name: (shares[name] - exact[name], name)):
        if total and shares.total() < amount:
            shares[name] += 1
    return shares
