"""Computed properties of an order."""

import pytest

from shop.model import Payment, PaymentState
from tests.support.orders import NOW, order

DAY = 24 * 3_600_000


def test_an_order_was_created_at_its_first_attempt():
    assert order().created_at == NOW


@pytest.mark.parametrize(("days", "half_over"), [(0, False), (3.4, False), (3.5, True), (8, True)])
def test_a_hold_of_7_days_is_halfway_to_expiry_after_3_and_a_half(days, half_over):
    payment = Payment(state=PaymentState.AUTHORIZED, reference="hold-1", expires_at=NOW + 7 * DAY)

    assert order(payment=payment).hold_is_half_over(NOW + int(days * DAY)) is half_over


def test_a_hold_without_expiry_is_never_halfway():
    assert not order(payment=Payment(state=PaymentState.AUTHORIZED, reference="hold-1")).hold_is_half_over(
        NOW + 99 * DAY
    )
