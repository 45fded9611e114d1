"""A stand-in for the payment provider: a table of payments by order, which declines totals over 1,000 euros."""

from typing import TYPE_CHECKING

from handoff import aws, settings
from handoff.clock import Deadline
from handoff.update import put

if TYPE_CHECKING:
    from first_workflow.domain import Order

_LIMIT = 100_000  # cents
_dynamodb = aws.client("dynamodb")
_table = settings.text("PAYMENTS_TABLE")


def authorize(order: "Order", deadline: Deadline) -> bool:
    """Return whether the payment is authorized. The order's id is the key, so a repeated call is one payment."""
    if order.total > _LIMIT:
        return False
    aws.write(_dynamodb, [put(_table, {"key": order.key, "amount": order.total, "state": "held"})], deadline)
    return True
