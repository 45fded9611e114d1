"""Derived ids of the shop: a retried request gets the same order, and a retried step the same payment."""

from typing import Literal

from handoff.ids import derived

PaymentStep = Literal["authorise", "capture", "void"]


def order_id(user_id: str, idempotency_key: str) -> str:
    """Return the id of the order that a user's idempotency key stands for."""
    return derived("ord_", user_id, idempotency_key)


def payment_key(order_id: str, step: PaymentStep) -> str:
    """Return the provider's idempotency key for one step of an order's payment."""
    return f"{order_id}:{step}"


def refund_id(order_id: str, idempotency_key: str) -> str:
    """Return the id of the refund of an order that an idempotency key stands for."""
    return derived("ref_", order_id, idempotency_key)


def refund_after_void(order_id: str) -> str:
    """Return the id of the refund of an order whose void finds the payment captured; no key leads to it."""
    return derived("ref_", f"{order_id}:void", "")


def refund_elsewhere(order_id: str, reference: str) -> str:
    """Return the id of a refund that a merchant made at the provider; no key leads to it."""
    return derived("ref_", f"{order_id}:provider", reference)


def refund_key(order_id: str, refund_id: str) -> str:
    """Return the provider's idempotency key for a refund."""
    return f"{order_id}:refund:{refund_id}"
