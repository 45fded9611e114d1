"""The part of the reference model that is about refunds."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dev.invariants.orders import captured_amount
from shop import ids

Item = Mapping[str, Any]
# The states that an order may show of a refund, by its state in the ledger. The order learns a state later.
_REFUNDS = {"pending": {"due", "pending"}, "refunded": {"due", "pending", "refunded"}, "failed": {"due", "failed"}}


@dataclass(frozen=True, slots=True)
class RefundWish:
    """A request for a refund: of ``lines``, of an ``amount``, or of everything that is left."""

    lines: tuple[tuple[str, int], ...] = ()
    amount: int | None = None
    restock: bool = False

    @property
    def name(self) -> str:
        """The name of the wish. It is the reason of the refund, so that a refund shows its wish."""
        goods = " and ".join(f"{quantity} {sku}" for sku, quantity in self.lines)
        return f"{goods or self.amount or 'everything'}{' back' if self.restock else ''}"

    def body(self) -> dict[str, Any]:
        """Return the body of its ``POST /orders/{orderId}/refunds``."""
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in self.lines]
        wanted = {"lines": lines} if lines else {"amount": self.amount} if self.amount else {}
        return {**wanted, "restock": self.restock, "reason": self.name}


def outcome(order: Item, refund_id: str, wish: RefundWish) -> str:
    """Return the outcome of a request for this refund of an order, without faults."""
    earlier = order.get("refunds", {}).get(refund_id)
    if earlier:
        return "refund" if earlier["reason"] == wish.name else "key-reused"
    if order["payment"]["state"] != "captured":
        return "not-captured"
    if wish.restock and order["status"] != "PREPARED":
        return "already-restocked"
    units, prices = units_left(order), {line["sku"]: line["unitPrice"] for line in order["lines"]}
    if any(quantity > units.get(sku, 0) for sku, quantity in wish.lines):
        return "too-many-units"
    left = max(0, captured_amount(order) - _reserved(order))
    amount = sum(prices[sku] * quantity for sku, quantity in wish.lines) or wish.amount or left
    return "refund" if 0 < amount <= left else "refund-too-large"


def check(ledger: Iterable[Item], orders: Mapping[str, Item], merchants: set[str]) -> None:
    """Check at any moment that the ledger refunds at most what was captured, for an order or by the merchant.

    ``merchants`` are the orders whose merchants have acted at the provider.
    """
    entries = [entry for entry in ledger if entry.get("kind") == "refund"]
    refunded: Counter[str] = Counter()
    for entry in entries:
        order = orders[entry["orderId"]]
        refunded[entry["orderId"]] += entry["amount"] if entry["state"] != "failed" else 0
        refund_id = entry["key"].partition(":refund:")[2]
        if refund_id:
            refund = order["refunds"][refund_id]
            assert refund["amount"] == entry["amount"], (entry, order)
            assert refund["state"] in _REFUNDS[entry["state"]], (entry, order)
        else:
            assert entry["orderId"] in merchants, entry
    states = {entry["key"]: entry["state"] for entry in entries}
    for order_id, order in orders.items():
        assert refunded[order_id] <= order["total"], order
        ours = {key: refund for key, refund in order.get("refunds", {}).items() if not refund.get("elsewhere")}
        assert _reserved({"refunds": ours}) <= captured_amount(order), order
        for refund_id, refund in ours.items():
            made = states.get(ids.refund_key(order_id, refund_id))
            assert refund["state"] not in {"pending", "refunded"} or made in {"pending", "refunded"}, order
            assert refund["state"] not in {"due", "pending"} or "paymentDue" in order, order


def units_left(order: Item) -> Counter[str]:
    """Return the units of an order that no refund is for, unless it has failed."""
    left = Counter({line["sku"]: line["quantity"] for line in order["lines"]})
    for refund in order.get("refunds", {}).values():
        if refund["state"] != "failed":
            left.subtract({line["sku"]: line["quantity"] for line in refund["lines"]})
    return left


def _reserved(order: Item) -> int:
    """Return the sum of an order's refunds that have not failed."""
    return sum(refund["amount"] for refund in order.get("refunds", {}).values() if refund["state"] != "failed")
