"""Alarms after a look-up at the provider: disputes, and payments that differ from their orders."""

from collections import Counter

from handoff.telemetry import logger
from shop.model import Order, OrderStep, PaymentState, RefundState
from shop.transitions import CAPTURED_ELSEWHERE


def new_alarms(before: Order, after: Order) -> Counter[str]:
    """Log the steps between two states of an order that an operator has to know; count them by metric."""
    return Counter(name for entry in after.history[len(before.history) :] if (name := _alarm(after, entry)))


def _alarm(order: Order, entry: OrderStep) -> str | None:
    """Log one step and return its metric, or None if it is normal."""
    if entry.dispute == "open":
        logger.error("payment disputed", amount=order.dispute and order.dispute.amount)
        return "PaymentsDisputed"
    if entry.payment is PaymentState.CAPTURED and entry.reason not in (None, CAPTURED_ELSEWHERE):
        logger.error("payment differs from the order", reason=entry.reason)
        return "PaymentsFailed"
    if entry.refund is RefundState.FAILED:
        logger.error("refund failed", reason=entry.reason)
        return "PaymentsFailed"
    return None
