"""Invariants of money: the provider's ledger and the orders agree."""

from collections import Counter

from dev.invariants.orders import captured_amount, units
from dev.invariants.snapshot import Item, Snapshot, Violation, doubled, lost, wrong

# The states that a hold may have, by the status of its order; and if the order's payment was captured.
_HOLDS = {
    "PENDING": {"action", "action_failed", "held"},
    "PLACED": {"held"},
    "PREPARED": {"capture"},
    "CANCELLED": {"void"},
    "REJECTED": {"void", "declined"},
}
_CHARGED = {"capture", "disputed"}


def money_has_owners(snapshot: Snapshot) -> list[Violation]:
    """P2 and P4: an order has at most one hold, over its total, ended at most once, in the state of the order.

    A payment for which the customer still could act is like a hold: only an order that waits may have one.
    """
    orders = {order["orderId"]: order for order in snapshot.orders}
    holds = snapshot.entries("authorise")
    counts = Counter(hold["orderId"] for hold in holds)
    captured = Counter(entry["orderId"] for entry in snapshot.entries("capture"))
    voided = Counter(entry["orderId"] for entry in snapshot.entries("void"))
    placed = [order["orderId"] for order in snapshot.orders if "placedAt" in order or _waits(order)]
    violations = [
        *(doubled(f"{order_id} has {count} holds") for order_id, count in counts.items() if count > 1),
        *(doubled(f"{order_id} has {count} captures") for order_id, count in captured.items() if count > 1),
        *(doubled(f"{order_id} has {count} voids") for order_id, count in voided.items() if count > 1),
        *(lost(f"{order_id} has no hold") for order_id in placed if not counts[order_id]),
    ]
    for hold in holds:
        order = orders.get(hold["orderId"])
        if order is None:
            violations.append(wrong(f"a hold for {hold['orderId']}, which does not exist"))
        elif hold["state"] not in _states(order):
            violations.append(wrong(f"{hold['orderId']} is {order['status']}, its hold is {hold['state']}"))
        elif hold["amount"] != order["total"]:
            violations.append(wrong(f"{hold['orderId']} holds {hold['amount']} for a total of {order['total']}"))
    return violations


def _states(order: Item) -> set[str]:
    """Return the states that the hold of an order may have."""
    if captured_amount(order):
        return _CHARGED
    return {"void"} if _is_unpaid(order) else _HOLDS[order["status"]]


def _waits(order: Item) -> bool:
    return bool(order["payment"]["state"] == "action_required")


def _is_unpaid(order: Item) -> bool:
    """Return whether an order was packed whose hold was gone when it was to be captured."""
    return bool(order["status"] == "PREPARED" and order["payment"]["state"] == "failed")


def amounts_agree(snapshot: Snapshot) -> list[Violation]:
    """P11: the captured amount, the merchant's own refunds and the dispute are the provider's, whoever caused them."""
    refunded: Counter[str] = Counter()
    for entry in _refund_entries(snapshot):
        refunded[entry["orderId"]] += 0 if _refund_id(entry) else entry["amount"]
    holds = {entry["orderId"]: entry for entry in snapshot.entries("authorise")}
    violations = []
    for order in snapshot.orders:
        order_id, hold = order["orderId"], holds.get(order["orderId"], {})
        captured = int(hold.get("captured", hold["amount"])) if hold.get("state") in _CHARGED else 0
        for what, theirs, ours in (
            ("captured", captured, captured_amount(order) if hold else 0),
            ("refunded on its own", refunded[order_id], _refunded_elsewhere(order)),
            ("disputed", _dispute(hold), _dispute(order)),
        ):
            if theirs != ours:
                violations.append(wrong(f"{order_id}: the provider has {what} {theirs}, the order {ours}"))
    return violations


def _refunded_elsewhere(order: Item) -> int:
    refunds = [refund for refund in order.get("refunds", {}).values() if refund.get("elsewhere")]
    return sum(refund["amount"] for refund in refunds if refund["state"] != "failed")


def _dispute(item: Item) -> tuple[str, int, str] | None:
    dispute = item.get("dispute")
    return (dispute["reference"], int(dispute["amount"]), dispute["state"]) if dispute else None


def payments_are_settled(snapshot: Snapshot) -> list[Violation]:
    """P2: prepared orders are captured, cancelled orders are voided, and no other order keeps the customer's money.

    An order whose hold the merchant cancels while it is packed shows that its capture has failed.
    The merchant may capture a payment at the provider. If its order was cancelled, everything is refunded, unless the
    provider refuses the refund, which the order shows then.
    """
    captured = {entry["orderId"] for entry in snapshot.entries("capture")}
    voided = {entry["orderId"] for entry in snapshot.entries("void")}
    prepared = {order["orderId"] for order in snapshot.orders if order["status"] == "PREPARED"}
    unpaid = {order["orderId"] for order in snapshot.orders if _is_unpaid(order)}
    cancelled = {order["orderId"] for order in snapshot.orders if order["status"] == "CANCELLED"}
    returned = {order["orderId"] for order in snapshot.orders if _is_returned(order)}
    return [
        *(lost(f"{order_id} is prepared and not captured") for order_id in prepared - captured - unpaid),
        *(lost(f"{order_id} is cancelled and not voided") for order_id in cancelled - voided - captured),
        *(
            wrong(f"{order_id} is captured, not prepared, and not refunded")
            for order_id in captured - prepared - returned
        ),
    ]


def refunds_are_in_the_ledger(snapshot: Snapshot) -> list[Violation]:
    """P2 and P11: the ledger has each refund of an order once, and no other refund by us."""
    entries = [(_refund_id(entry), entry["amount"]) for entry in _refund_entries(snapshot)]
    made = Counter(refund_id for refund_id, _ in entries if refund_id)
    amounts = dict(entries)
    recorded = {
        refund_id: refund["amount"]
        for order in snapshot.orders
        for refund_id, refund in order.get("refunds", {}).items()
        if refund["state"] == "refunded" and not refund.get("elsewhere")
    }
    return [
        *(doubled(f"{refund_id} was refunded {count} times") for refund_id, count in made.items() if count > 1),
        *(lost(f"{refund_id} is recorded and was not refunded") for refund_id in recorded.keys() - made.keys()),
        *(wrong(f"{refund_id} was refunded and is not recorded") for refund_id in made.keys() - recorded.keys()),
        *(
            wrong(f"{refund_id} is over {amounts[refund_id]} in the ledger and {recorded[refund_id]} in the order")
            for refund_id in recorded.keys() & made.keys()
            if recorded[refund_id] != amounts[refund_id]
        ),
    ]


def refunds_are_within_the_capture(snapshot: Snapshot) -> list[Violation]:
    """P11: refunds never exceed the captured amount, in the order and in the ledger, nor the ordered units."""
    ledger: Counter[str] = Counter()
    for entry in _refund_entries(snapshot):
        ledger[entry["orderId"]] += entry["amount"]
    violations = []
    for order in snapshot.orders:
        order_id, captured = order["orderId"], captured_amount(order)
        if ledger[order_id] > order["total"]:
            violations.append(wrong(f"{order_id} was refunded {ledger[order_id]} of {order['total']}"))
        if _reserved(order) > captured:
            violations.append(wrong(f"{order_id} has refunds of {_reserved(order)} for {captured} captured"))
        violations += [
            wrong(f"{order_id} has refunds of {count} {sku}, more than ordered")
            for sku, count in _refunded_units(order).items()
            if count > units(order["lines"])[sku]
        ]
    return violations


def _is_returned(order: Item) -> bool:
    """Return whether all that was captured is refunded, or the provider has refused it."""
    refused = any(refund["state"] == "failed" for refund in order.get("refunds", {}).values())
    return captured_amount(order) > 0 and (refused or _reserved(order) == captured_amount(order))


def _refund_entries(snapshot: Snapshot) -> list[Item]:
    """Return the ledger's refunds that have not failed."""
    return [entry for entry in snapshot.entries("refund") if entry["state"] != "failed"]


def _refund_id(entry: Item) -> str:
    """Return the id of the refund in its key, or "" if it was made at the provider itself."""
    return str(entry["key"]).partition(":refund:")[2]


def _reserved(order: Item) -> int:
    """Return the sum of the refunds that have not failed."""
    return sum(refund["amount"] for refund in order.get("refunds", {}).values() if refund["state"] != "failed")


def _refunded_units(order: Item) -> Counter[str]:
    refunded: Counter[str] = Counter()
    for refund in order.get("refunds", {}).values():
        if refund["state"] != "failed":
            refunded.update(units(refund["lines"]))
    return refunded
