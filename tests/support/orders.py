"""Orders for domain tests without a deployment."""

from typing import Any

from shop.model import Address, Line, Order, OrderStep, Status

NOW = 1_795_428_000_000  # 2026-11-23T10:00:00.000Z
ORDER_ID = "ord_" + "a" * 26


def order(status: Status = Status.PENDING, **values: Any) -> Order:
    """Return an order of two mugs and a tee, in any state."""
    start = OrderStep(sequence=0, status=Status.PENDING, at="2026-11-23T10:00:00.000Z", transition_id="attempt")
    defaults: dict[str, Any] = {
        "order_id": ORDER_ID,
        "user_id": "ada",
        "status": status,
        "sequence": 0,
        "history": (start,),
        "lines": (line("MUG-01", 2, 1250), line("TEE-02", 1, 2000)),
        "shipping_address": Address(
            name="Ada Lovelace", street="12 Engine Way", city="London", postal_code="W1", country="GB"
        ),
        "total": 4500,
        "currency": "EUR",
        "payment_token": "tok_approve",
        "request_hash": "hash",
        "correlation_id": "trace-me",
        "attempt_id": "attempt",
        "lease_until": NOW + 25_000,
        "expires_at": NOW + 600_000,
    }
    return Order.model_validate(defaults | values)


def line(sku: str, quantity: int, unit_price: int) -> Line:
    """Return a line, named after its product."""
    return Line(sku=sku, name=sku.title(), quantity=quantity, unit_price=unit_price)
