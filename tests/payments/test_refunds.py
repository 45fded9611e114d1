"""The contract of refunds, for every provider."""

import pytest

from shop.payments import Captured, Failed, Refunded, RefundPending, Unavailable, Unknown, Voided
from tests.support.payment_providers import ORDER, OTHER

HOUR = 3600


def test_the_captured_amount_is_refunded_once(shop, provider):
    reference = shop.captured()

    first, again = shop.refund(reference), shop.refund(reference)

    assert isinstance(first, Refunded)
    assert first.reference
    assert again == first
    assert provider.refunds() == [4500]


def test_partial_refunds_add_up_to_the_captured_amount(shop, provider):
    reference = shop.captured()

    answers = [shop.refund(reference, amount, key) for amount, key in ((1000, "a"), (1000, "b"), (2500, "c"))]

    assert all(isinstance(answer, Refunded) for answer in answers)
    assert len({answer.reference for answer in answers}) == 3
    assert provider.refunds() == [1000, 1000, 2500]


@pytest.mark.parametrize("amount", [1501, 4500, 4501])
def test_a_refund_above_the_rest_is_refused(shop, provider, amount):
    reference = shop.captured()
    shop.refund(reference, 3000, "a")

    refused = [shop.refund(reference, amount, "b") for _ in range(2)]

    assert all(isinstance(answer, Failed) and answer.reason for answer in refused)
    assert isinstance(shop.refund(reference, 1500, "c"), Refunded)
    assert provider.refunds() == [1500, 3000]


def test_more_than_the_captured_amount_is_not_refunded(shop, provider):
    assert isinstance(shop.refund(shop.captured(), 4501), Failed)
    assert provider.refunds() == []


@pytest.mark.parametrize("end", [None, "void"])
def test_a_payment_that_was_not_captured_is_not_refunded(shop, provider, end):
    reference = shop.hold()
    if end:
        shop.end(end, reference)

    refused = shop.refund(reference)

    assert isinstance(refused, Failed)
    assert refused.reason
    assert provider.refunds() == []


def test_a_refund_changes_neither_the_capture_nor_another_order(shop, provider):
    shop.captured(OTHER)
    reference = shop.captured(ORDER)
    shop.refund(reference)

    assert shop.end("capture", reference) == shop.end("void", reference) == Captured(4500)
    assert provider.books() == {"captured": 1}
    assert provider.refunds(OTHER) == []


def test_a_pending_refund_is_refunded_later(shop, provider, clock):
    reference = shop.captured(token=provider.refunded_later)

    pending = shop.refund(reference)
    assert isinstance(pending, RefundPending)
    clock.forward(HOUR)

    assert shop.refund(reference) == Refunded(pending.reference)
    assert provider.refunds() == [4500]


def test_a_pending_refund_counts_as_refunded(shop, provider):
    reference = shop.captured(token=provider.refunded_later)
    shop.refund(reference, 3000, "a")

    assert isinstance(shop.refund(reference, 1501, "b"), Failed)
    assert provider.refunds() == [3000]


# --- what the merchant and the customer do elsewhere ------------------------------------------------------------------


def test_a_void_of_a_hold_captured_elsewhere_returns_the_captured_amount(shop, provider):
    reference = shop.hold()
    provider.capture_elsewhere(4500)

    assert shop.end("void", reference) == Captured(4500)


@pytest.mark.parametrize("step", ["capture", "void"])
def test_a_smaller_amount_captured_elsewhere_is_what_can_be_refunded(shop, provider, step):
    reference = shop.hold()
    provider.capture_elsewhere(3000)

    assert shop.end(step, reference) == Captured(3000)
    assert isinstance(shop.refund(reference, 3001, "a"), Failed)
    assert isinstance(shop.refund(reference, 3000, "b"), Refunded)


@pytest.mark.parametrize("step", ["capture", "void"])
def test_a_hold_captured_elsewhere_meanwhile_is_captured(shop, provider, step):
    reference = shop.hold()
    provider.meanwhile(step, lambda: provider.capture_elsewhere(3000))

    assert shop.end(step, reference) == Captured(3000)


def test_a_refund_made_elsewhere_counts_as_refunded(shop, provider):
    reference = shop.captured()
    provider.refund_elsewhere(3000)

    assert isinstance(shop.refund(reference, 1501, "a"), Failed)
    assert isinstance(shop.refund(reference, 1500, "b"), Refunded)
    assert provider.refunds() == [1500]


def test_a_refund_made_elsewhere_is_not_taken_for_ours(shop, provider):
    reference = shop.captured()
    provider.refund_elsewhere(1000)

    assert isinstance(shop.refund(reference, 1000), Refunded)
    assert provider.refunds() == [1000]


def test_nothing_is_refunded_after_all_was_refunded_elsewhere(shop, provider):
    reference = shop.captured()
    provider.refund_elsewhere(4500)

    assert [type(shop.refund(reference)) for _ in range(2)] == [Failed, Failed]
    assert provider.refunds() == []


def test_a_disputed_payment_is_captured_and_not_refunded(shop, provider):
    reference = shop.captured()
    provider.dispute()

    assert shop.refund(reference) == Failed("charge_disputed")
    assert shop.end("capture", reference) == shop.end("void", reference) == Captured(4500)
    assert provider.refunds() == []


def test_a_payment_disputed_meanwhile_is_not_refunded(shop, provider):
    reference = shop.captured()
    provider.meanwhile("refund", provider.dispute)

    assert shop.refund(reference) == Failed("charge_disputed")
    assert provider.refunds() == []


# --- two requests at once ---------------------------------------------------------------------------------------------


def test_two_requests_with_one_key_refund_once(shop, provider):
    reference, answers = shop.captured(), []
    provider.meanwhile("refund", lambda: answers.append(shop.refund(reference, 1000)))

    answers.append(shop.refund(reference, 1000))

    assert isinstance(answers[0], Refunded)
    assert answers[0] == answers[1]
    assert provider.refunds() == [1000]


def test_two_requests_with_one_key_get_the_same_pending_refund(shop, provider):
    reference, answers = shop.captured(token=provider.refunded_later), []
    provider.meanwhile("refund", lambda: answers.append(shop.refund(reference)))

    answers.append(shop.refund(reference))

    assert isinstance(answers[0], RefundPending)
    assert answers[0] == answers[1]


def test_racing_refunds_do_not_exceed_the_captured_amount(shop, provider):
    reference, answers = shop.captured(), []
    provider.meanwhile("refund", lambda: answers.append(shop.refund(reference, 3000, "a")))

    answers.append(shop.refund(reference, 3000, "b"))

    assert [type(answer) for answer in answers] == [Refunded, Failed]
    assert provider.refunds() == [3000]


# --- no answer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["lose_request", "lose_answer"])
@pytest.mark.parametrize("hours", [0, 25])
def test_a_lost_refund_is_completed_once_by_a_retry(shop, provider, clock, fault, hours):
    reference = shop.captured()
    getattr(provider, fault)("refund")
    with pytest.raises(Unknown):
        shop.refund(reference, 1000)
    clock.forward(hours * HOUR)  # a provider may have forgotten the key

    assert isinstance(shop.refund(reference, 1000), Refunded)
    assert provider.refunds() == [1000]


def test_an_old_capture_is_refunded(shop, provider, clock):
    reference = shop.captured()
    clock.forward(100 * 24 * HOUR)

    assert isinstance(shop.refund(reference), Refunded)
    clock.forward(25 * HOUR)
    assert isinstance(shop.refund(reference), Refunded)
    assert provider.refunds() == [4500]


def test_a_rejected_refund_does_nothing(shop, provider):
    reference = shop.captured()
    provider.refuse("refund")
    with pytest.raises(Unavailable):
        shop.refund(reference)
    assert provider.refunds() == []

    assert isinstance(shop.refund(reference), Refunded)


def test_without_a_connection_nothing_is_refunded(shop, provider):
    reference = shop.captured()

    with provider.cut(), pytest.raises(Unavailable):
        shop.refund(reference)
    assert provider.refunds() == []


def test_a_voided_hold_stays_voided(shop, provider):
    reference = shop.hold()
    shop.end("void", reference)
    shop.refund(reference)

    assert shop.end("void", reference) == Voided()
    assert provider.books() == {"voided": 1}
