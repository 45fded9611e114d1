"""Sales computed from an order's history."""

import pytest

from shop.model import OrderStep, Status
from shop.sales import sales_of
from tests.support.orders import ORDER_ID, order


def past(*steps):
    """Return an order with this history."""
    history = tuple(
        OrderStep(sequence=n, status=step, at=f"2026-11-2{n}T10:00:00.000Z", transition_id=f"t{n}")
        for n, step in enumerate(steps, start=0)
    )
    placed_at = next((step.at for step in history if step.status == "PLACED"), None)
    return order(Status(steps[-1]), history=history, sequence=len(steps) - 1, placed_at=placed_at)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (["PENDING"], []),
        (["PENDING", "REJECTED"], []),
        (["PENDING", "PLACED"], [(f"{ORDER_ID}-1", 1)]),
        (["PENDING", "PLACED", "PREPARED"], [(f"{ORDER_ID}-1", 1)]),
        (["PENDING", "PLACED", "CANCELLED"], [(f"{ORDER_ID}-1", 1), (f"{ORDER_ID}-2", -1)]),
        # A step that changes the payment only, here its void, sells nothing.
        (["PENDING", "PLACED", "CANCELLED", "CANCELLED"], [(f"{ORDER_ID}-1", 1), (f"{ORDER_ID}-2", -1)]),
    ],
)
def test_each_sale_has_the_id_of_its_event(steps, expected):
    assert [(sale.event_id, sale.whole["orders"]) for sale in sales_of(past(*steps))] == expected


def test_a_cancellation_counts_on_the_day_of_the_order():
    assert {sale.day for sale in sales_of(past("PENDING", "PLACED", "CANCELLED"))} == {"2026-11-21"}
