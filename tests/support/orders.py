"""Orders for domain tests without a deployment."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from handoff.clock import Deadline
from handoff.errors import ConcurrentUpdate
from shop.model import Address, Line, Order, OrderStep, Payment, PaymentState, Status
from shop.transitions import OrderTransition

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
            name="Ada Lovelace", street="12 Engine Way", city="London", postal_code="E1 7AA", country="GB"
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


def captured(**values: Any) -> Order:
    """Return a packed and paid order; ``values`` as for `order`."""
    payment = Payment(state=PaymentState.CAPTURED, reference="hold-1", captured=4500)
    defaults = {"payment": payment, "placed_at": "2026-11-23T10:00:00.000Z", "released_at": "2026-11-23T10:00:00.000Z"}
    return order(**({"status": Status.PREPARED} | defaults | values))


@dataclass
class MemoryStore:
    """The orders of a test, in memory. ``meanwhile`` changes the order before each write, as other writers do."""

    order: Order | None
    meanwhile: list[Callable[[Order], Order]] = field(default_factory=list)
    written: list[OrderTransition] = field(default_factory=list)

    def get(self, order_id: str) -> Order | None:
        """Return the order if it has this id."""
        return self.order if self.order and self.order.order_id == order_id else None

    def transition(self, step: OrderTransition, deadline: Deadline) -> Order:
        """Write the step, unless the order has changed."""
        if self.meanwhile and self.order:
            self.order = self.meanwhile.pop(0)(self.order)
        if self.order is None or self.order.sequence != step.before.sequence:
            raise ConcurrentUpdate(self.order)
        self.written.append(step)
        self.order = step.after
        return step.after
