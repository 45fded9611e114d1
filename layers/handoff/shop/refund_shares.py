"""How an order's refunds reduce the sales of its products.

Only completed refunds count, in the order in which they were completed. So the share of one never changes afterwards,
and the analytics consumer and a rebuild compute the same from the order alone.

A bank can return a completed refund, which has failed then. No event tells the consumers, so the sales keep its share.
The next refunds of the order count only what exceeds it: once the money is paid in another way, the sales are right.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from shop.model import Order, OrderStep, Refund, RefundState


@dataclass(frozen=True, slots=True)
class RefundShare:
    """The part of the sales that a refund takes back: revenue in minor units and returned units, by sku.

    ``step`` is the step of the order that completed it.
    ``completed`` are the products whose last unit has come back with it, and ``completes_order`` says whether the
    order's last unit has.
    """

    step: OrderStep
    revenue: Counter[str]
    units: Counter[str]
    completed: frozenset[str]
    completes_order: bool


def refund_shares(order: Order) -> list[RefundShare]:
    """Return the shares of an order's completed refunds, oldest first."""
    revenue = Counter({line.sku: line.quantity * line.unit_price for line in order.lines})
    units = Counter({line.sku: line.quantity for line in order.lines})
    shares, done, surplus = [], Counter[str](), 0
    for step in order.history:
        if step.refund is RefundState.FAILED and step.refund_id:
            surplus += done.pop(step.refund_id, 0)
        if step.refund is not RefundState.REFUNDED or step.refund_id is None:
            continue
        refund = order.refunds[step.refund_id]
        counted = min(surplus, refund.amount)
        taken = _revenue_of(order, refund, refund.amount - counted, revenue)
        surplus, done[step.refund_id] = surplus - counted, refund.amount
        returned = Counter({line.sku: line.quantity for line in refund.lines if refund.restock})
        revenue -= taken
        units -= returned
        completed = frozenset(sku for sku in returned if not units[sku])
        shares.append(RefundShare(step, taken, returned, completed, bool(completed) and not units))
    return shares


def apportion(amount: int, weights: Mapping[str, int]) -> Counter[str]:
    """Divide an amount, at most the sum of the weights, in proportion to them. No share exceeds its weight.

    By the largest remainder: https://en.wikipedia.org/wiki/Quota_method
    """
    total = sum(weights.values())
    if not total:
        return Counter()
    shares = Counter({name: amount * weight // total for name, weight in weights.items()})
    by_remainder = sorted(weights, key=lambda name: (-(amount * weights[name] % total), name))
    shares.update(by_remainder[: amount - shares.total()])
    return shares


def _revenue_of(order: Order, refund: Refund, amount: int, left: Counter[str]) -> Counter[str]:
    """Return each product's part of the counted ``amount`` of a refund, given the revenue that is left of each.

    The refund is for its own lines first, at their prices. The rest is for all products, as is a refund without lines.
    """
    prices = {line.sku: line.unit_price for line in order.lines}
    own = {line.sku: min(line.quantity * prices[line.sku], left[line.sku]) for line in refund.lines}
    parts = apportion(min(amount, sum(own.values())), own)
    return parts + apportion(amount - parts.total(), left - parts)
