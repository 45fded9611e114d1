"""The adapter of Stripe: refunds, the meaning of their answers, and how an earlier one is found."""

import pytest

from shop import payments
from shop.payments import Failed, ProviderError, Refunded, RefundPending, Unavailable, Unknown
from tests.support import stripe_server
from tests.support.payment_providers import ORDER, PaymentsCaller
from tests.support.stripe_refunds import DONE_AFTER, FAILING_REFUND
from tests.support.stripe_server import HOUR

KEY = f"{ORDER}:refund"


@pytest.fixture
def provider(stripe):
    """The simulated Stripe alone."""
    return stripe


@pytest.fixture
def reference(shop):
    """A captured PaymentIntent."""
    return shop.captured()


# --- requests ---------------------------------------------------------------------------------------------------------


def test_a_refund_is_requested_with_its_key_in_the_metadata(shop, server, reference):
    shop.refund(reference, 1000)

    (made,) = server.made("refund")
    metadata = {"order_id": ORDER, "refund_key": KEY}
    assert made.params == {"payment_intent": reference, "amount": "1000", "metadata": metadata}
    assert made.idempotency_key == KEY


def test_existing_refunds_are_read_before_one_is_requested(shop, server, reference):
    shop.refund(reference)

    operations = [request.operation for request in server.requests]
    assert operations[-2:] == ["refunds", "refund"]


def test_an_existing_refund_is_found_on_any_page(shop, stripe, server, clock, reference):
    # GIVEN an order's refund, older than Stripe's keys, and more later ones than fit on a page
    ours = shop.refund(reference, 1000)
    for _ in range(101):
        server.refund_in_dashboard(ORDER, 1)
    clock.forward(25 * HOUR)
    requested = len(server.made("refund"))

    # WHEN it is asked for again
    assert shop.refund(reference, 1000) == ours

    # THEN it was found, and no other was requested
    pages = [request.params.get("starting_after") for request in server.made("refunds")[-2:]]
    assert pages[0] is None
    assert pages[1]
    assert len(server.made("refund")) == requested


# --- the meaning of a status ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["pending", "requires_action", None])
def test_a_refund_that_is_not_final_is_pending(shop, server, reference, status):
    made = shop.refund(reference)
    server.refunds[made.reference]["status"] = status

    assert shop.refund(reference) == RefundPending(made.reference)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"status": "failed", "failure_reason": "declined"}, "declined"),
        ({"status": "failed"}, "the refund is failed"),
        ({"status": "canceled"}, "the refund is canceled"),
        ({"status": "canceled", "failure_reason": "merchant_request"}, "merchant_request"),
    ],
)
def test_a_failed_refund_has_its_reason(shop, server, reference, values, reason):
    made = shop.refund(reference)
    server.refunds[made.reference].update(values)

    assert shop.refund(reference) == Failed(reason)
    assert len(server.made("refund")) == 1


def test_a_refund_that_fails_later_is_read_as_failed(shop, clock):
    reference = shop.captured(token=FAILING_REFUND)
    assert isinstance(shop.refund(reference), Refunded)
    clock.forward(DONE_AFTER)

    assert shop.refund(reference) == Failed("expired_or_canceled_card")


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"code": "charge_already_refunded"}, "charge_already_refunded"),
        ({"code": "charge_disputed"}, "charge_disputed"),
        ({"code": "amount_too_large", "param": "amount"}, "amount_too_large"),
        ({"param": "amount"}, "amount_too_large"),
    ],
)
def test_a_definite_refusal_has_its_reason(shop, server, reference, members, reason):
    server.on("refund", stripe_server.refuse(400, **members))

    assert shop.refund(reference) == Failed(reason)


def test_a_refusal_by_the_card_network_is_definite(shop, server, reference):
    server.on("refund", stripe_server.refuse(402, "card_error", "expired_card"))

    assert shop.refund(reference) == Failed("expired_card")


@pytest.mark.parametrize(
    "members",
    [
        {"code": "parameter_unknown", "param": "amount"},
        {"code": "parameter_invalid_integer", "param": "amount"},
        {"code": "balance_insufficient"},
        {"param": "payment_intent"},
        {},
    ],
)
def test_other_refusals_of_a_captured_payment_are_not_definite(shop, server, reference, members):
    server.on("refund", stripe_server.refuse(400, **members))

    with pytest.raises(Unavailable):
        shop.refund(reference)
    assert isinstance(shop.refund(reference), Refunded)


@pytest.mark.parametrize("status", ["requires_capture", "canceled"])
def test_a_payment_without_a_capture_is_refused_by_its_state(shop, reference, server, status):
    server.intents[reference]["status"] = status

    assert shop.refund(reference) == Failed(f"the payment is {status}")


@pytest.mark.parametrize("code", ["charge_already_refunded", "charge_disputed"])
def test_a_refusal_caused_by_our_own_refund_counts_as_refunded(shop, stripe, server, reference, code):
    # GIVEN another request with the same key, which is faster
    faster, refused = PaymentsCaller(stripe), stripe_server.refuse(400, code=code)
    server.on("refund", stripe_server.meanwhile(lambda: faster.refund(reference), refused))

    assert isinstance(shop.refund(reference), Refunded)
    assert stripe.refunds() == [4500]


# --- no answer, or an ambiguous one -----------------------------------------------------------------------------------


def test_a_stored_error_with_a_refund_behind_it_is_found_at_once(shop, stripe, server, reference):
    server.on("refund", stripe_server.fail_after)
    with pytest.raises(Unknown):
        shop.refund(reference, 1000)

    assert isinstance(shop.refund(reference, 1000), Refunded)
    assert stripe.refunds() == [1000]


def test_a_stored_error_is_not_repeated_under_another_key(shop, stripe, server, clock, reference):
    # GIVEN a 5xx that the key repeats for a day: Stripe may still complete that refund
    server.on("refund", stripe_server.fail_before)
    for _ in range(3):
        with pytest.raises(Unknown):
            shop.refund(reference, 1000)
        clock.forward(7 * HOUR)
    assert {request.idempotency_key for request in server.made("refund")} == {KEY}
    assert stripe.refunds() == []

    # WHEN Stripe has forgotten the key
    clock.forward(3 * HOUR)

    # THEN the same key makes the refund
    assert isinstance(shop.refund(reference, 1000), Refunded)
    assert stripe.refunds() == [1000]


def test_another_payload_under_the_same_key_is_unknown(shop, stripe, server, reference):
    server.on("refund", stripe_server.refuse(400, "idempotency_error"))

    with pytest.raises(Unknown):
        shop.refund(reference, 1000)


@pytest.mark.parametrize("fault", [stripe_server.refuse(403), stripe_server.bad_gateway, stripe_server.lose_answer])
def test_without_a_list_of_refunds_none_is_requested(shop, server, reference, fault):
    server.on("refunds", fault, times=2)

    with pytest.raises(ProviderError):
        shop.refund(reference)
    assert server.made("refund") == []


def test_without_a_list_after_a_refusal_the_refund_stays_due(shop, server, reference):
    lost = stripe_server.meanwhile(
        lambda: server.on("refunds", stripe_server.bad_gateway), stripe_server.refuse(400, code="charge_disputed")
    )
    server.on("refund", lost)

    with pytest.raises(ProviderError):
        shop.refund(reference)


def test_reading_the_refunds_uses_the_requests_deadline(shop, server, clock, reference):
    server.on("refunds", stripe_server.meanwhile(lambda: clock.forward(payments.LONGEST_CALL - 0.5)))

    with pytest.raises(Unavailable):
        shop.refund(reference)
    assert server.made("refund") == []
