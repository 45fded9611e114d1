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
