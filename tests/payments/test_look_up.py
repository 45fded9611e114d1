"""The contract of looking up a payment, for every provider."""

import pytest

from shop.payments import DisputeFound, Refunded, RefundFound, RefundPending, Stage, Unavailable
from tests.support.payment_providers import ORDER, OTHER

KEY = f"{ORDER}:refund"


@pytest.fixture
def found(provider):
    """Looks up a payment that exists."""

    def look_up(reference):
        found = provider.payments.look_up(reference)
        assert found is not None
        return found

    return look_up


def amounts(payment):
    """Return the stage and the amounts of a payment."""
    return payment.stage, payment.held, payment.captured


def test_an_unknown_reference_is_not_found(shop, provider):
    shop.hold()

    assert provider.payments.look_up("pi_of_nobody") is None


def test_a_hold_has_its_amount_and_its_order(shop, provider, found):
    shop.hold(OTHER)
    held = shop.authorize(provider.approved)

    payment = found(held.reference)

    assert amounts(payment) == (Stage.HELD, 4500, 0)
    assert (payment.reference, payment.order_id) == (held.reference, ORDER)
    assert payment.expires_at == held.expires_at
    assert (payment.refunds, payment.dispute, payment.client_secret) == ((), None, None)


def test_a_captured_payment_has_the_captured_amount(shop, found):
    assert amounts(found(shop.captured())) == (Stage.CAPTURED, 0, 4500)


def test_a_voided_payment_has_no_amount(shop, found):
    reference = shop.hold()
    shop.end("void", reference)

    assert amounts(found(reference)) == (Stage.VOIDED, 0, 0)


def test_looking_up_changes_nothing(shop, provider, found):
    reference = shop.hold()

    assert found(reference) == found(reference)
    assert provider.books() == {"held": 1}


def test_without_a_connection_nothing_is_found_out(shop, provider):
    reference = shop.hold()

    with provider.cut(), pytest.raises(Unavailable):
        provider.payments.look_up(reference)


# --- what the merchant does elsewhere ---------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [4500, 3000, 2250])
def test_the_merchants_capture_has_its_amount_and_is_no_refund(shop, provider, found, amount):
    reference = shop.hold()
    provider.capture_elsewhere(amount)

    payment = found(reference)

    assert amounts(payment) == (Stage.CAPTURED, 0, amount)
    assert payment.refunds == ()


def test_a_refund_of_as_much_as_was_not_captured_is_found(shop, provider, found):
    reference = shop.hold()
    provider.capture_elsewhere(2250)
    provider.refund_elsewhere(2250)

    (refund,) = found(reference).refunds

    assert (refund.amount, refund.state, refund.key) == (2250, "refunded", None)


@pytest.mark.parametrize("waits", [False, True])
def test_a_payment_that_the_merchant_has_canceled_is_voided(shop, provider, found, waits):
    reference = shop.waiting().reference if waits else shop.hold()
    provider.cancel_elsewhere()

    assert amounts(found(reference)) == (Stage.VOIDED, 0, 0)


# --- refunds ----------------------------------------------------------------------------------------------------------


def test_our_refund_is_found_with_its_key(shop, found):
    reference = shop.captured()
    made = shop.refund(reference, 1000)
    assert isinstance(made, Refunded)

    assert found(reference).refunds == (RefundFound(made.reference, 1000, "refunded", KEY),)
    assert amounts(found(reference)) == (Stage.CAPTURED, 0, 4500)


def test_the_merchants_refund_has_no_key(shop, provider, found):
    reference = shop.captured()
    ours = shop.refund(reference, 1000)
    provider.refund_elsewhere(700)

    others = [refund for refund in found(reference).refunds if refund.reference != ours.reference]

    assert [(refund.amount, refund.state, refund.key) for refund in others] == [(700, "refunded", None)]
    assert len(found(reference).refunds) == 2


def test_a_pending_refund_is_found_as_pending(shop, provider, found):
    reference = shop.captured(token=provider.refunded_later)
    made = shop.refund(reference, 1000)
    assert isinstance(made, RefundPending)

    assert found(reference).refunds == (RefundFound(made.reference, 1000, "pending", KEY),)


@pytest.mark.parametrize("ours", [True, False])
def test_a_refund_that_the_bank_returns_later_has_failed(shop, provider, found, ours):
    reference = shop.captured()
    if ours:
        shop.refund(reference, 1000)
    else:
        provider.refund_elsewhere(1000)
    provider.return_refund()

    (refund,) = found(reference).refunds

    assert (refund.amount, refund.state) == (1000, "failed")
    assert refund.key == (KEY if ours else None)
    assert refund.failure
    assert isinstance(shop.refund(reference, 4500, "again"), Refunded)  # the amount counts no longer


def test_refunds_of_another_payment_are_not_found(shop, found):
    shop.refund(shop.captured(OTHER), 1000, order_id=OTHER)

    assert found(shop.captured(ORDER)).refunds == ()


# --- disputes ---------------------------------------------------------------------------------------------------------


def test_an_open_dispute_is_found_with_its_amount(shop, provider, found):
    reference = shop.captured()
    provider.dispute()

    payment = found(reference)

    assert payment.dispute is not None
    assert payment.dispute.reference
    assert (payment.dispute.amount, payment.dispute.state) == (4500, "open")
    assert amounts(payment) == (Stage.CAPTURED, 0, 4500)


def test_a_dispute_is_over_the_captured_amount(shop, provider, found):
    reference = shop.hold()
    provider.capture_elsewhere(3000)
    provider.dispute()

    assert found(reference).dispute.amount == 3000


@pytest.mark.parametrize("state", ["won", "lost"])
def test_a_decided_dispute_is_found_with_its_outcome(shop, provider, found, state):
    reference = shop.captured()
    provider.dispute()
    opened = found(reference).dispute
    provider.decide(state)

    assert found(reference).dispute == DisputeFound(opened.reference, 4500, state)
    assert amounts(found(reference)) == (Stage.CAPTURED, 0, 4500)


@pytest.mark.parametrize(("state", "refunds"), [("won", [1000]), ("lost", [])])
def test_only_a_payment_whose_dispute_was_won_is_refunded(shop, provider, state, refunds):
    reference = shop.captured()
    provider.dispute()
    provider.decide(state)

    shop.refund(reference, 1000)

    assert provider.refunds() == refunds
