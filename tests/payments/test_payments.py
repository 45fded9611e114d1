"""The contract of the payment port, for every provider."""

import pytest

from shop.payments import Authorized, Captured, Declined, Failed, Unavailable, Unknown, Voided
from tests.support.payment_providers import ORDER, OTHER

DONE = {"capture": Captured(4500), "void": Voided()}
BOOKED = {"capture": {"captured": 1}, "void": {"voided": 1}}


def test_an_approved_amount_is_held(shop, provider):
    held = shop.authorize(provider.approved)

    assert isinstance(held, Authorized)
    assert held.reference
    assert provider.books() == {"held": 1}


def test_a_repeat_with_the_same_key_returns_the_same_hold(shop, provider):
    first, again = shop.authorize(provider.approved), shop.authorize(provider.approved)

    assert first == again
    assert provider.books() == {"held": 1}


def test_different_orders_have_different_holds(shop, provider):
    assert shop.hold(ORDER) != shop.hold(OTHER)

    assert provider.books(ORDER) == provider.books(OTHER) == {"held": 1}


@pytest.mark.parametrize("token", ["declined", "unknown"])
def test_a_decline_is_definite_and_holds_nothing(shop, provider, token):
    first, again = (shop.authorize(getattr(provider, token)) for _ in range(2))

    assert isinstance(first, Declined)
    assert isinstance(again, Declined)
    assert first.reason
    assert provider.books() == {}


@pytest.mark.parametrize("step", ["capture", "void"])
def test_a_hold_is_captured_or_voided_once(shop, provider, step):
    reference = shop.hold()

    assert [shop.end(step, reference) for _ in range(2)] == [DONE[step], DONE[step]]
    assert provider.books() == BOOKED[step]


def test_a_voided_hold_is_not_captured(shop, provider):
    reference = shop.hold()
    shop.end("void", reference)

    refused = [shop.end("capture", reference) for _ in range(2)]

    assert all(isinstance(answer, Failed) and answer.reason for answer in refused)
    assert provider.books() == {"voided": 1}


def test_a_void_of_a_captured_hold_returns_the_captured_amount(shop, provider):
    reference = shop.hold()
    shop.end("capture", reference)

    assert [shop.end("void", reference) for _ in range(2)] == [Captured(4500), Captured(4500)]
    assert provider.books() == {"captured": 1}


@pytest.mark.parametrize("step", ["capture", "void"])
def test_authorizing_again_after_the_end_holds_nothing_new(shop, provider, step):
    shop.end(step, shop.hold())

    shop.authorize(provider.approved)

    assert provider.books() == BOOKED[step]


def test_ending_one_hold_does_not_end_another(shop, provider):
    shop.hold(OTHER)
    shop.end("void", shop.hold(ORDER))

    assert provider.books(OTHER) == {"held": 1}


# --- no answer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["lose_request", "lose_answer"])
def test_after_a_lost_authorization_the_key_returns_its_result(shop, provider, fault):
    getattr(provider, fault)("authorise")
    with pytest.raises(Unknown):
        shop.authorize(provider.approved)

    assert isinstance(shop.authorize(provider.approved), Authorized)
    assert provider.books() == {"held": 1}


@pytest.mark.parametrize("fault", ["lose_request", "lose_answer"])
@pytest.mark.parametrize("step", ["capture", "void"])
def test_a_lost_capture_or_void_is_completed_by_a_retry(shop, provider, step, fault):
    reference = shop.hold()
    getattr(provider, fault)(step)
    with pytest.raises(Unknown):
        shop.end(step, reference)

    assert shop.end(step, reference) == DONE[step]
    assert provider.books() == BOOKED[step]


def test_a_rejected_authorization_does_nothing(shop, provider):
    provider.refuse("authorise")
    with pytest.raises(Unavailable):
        shop.authorize(provider.approved)
    assert provider.books() == {}

    assert isinstance(shop.authorize(provider.approved), Authorized)


@pytest.mark.parametrize("step", ["capture", "void"])
def test_a_rejected_capture_or_void_does_nothing(shop, provider, step):
    reference = shop.hold()
    provider.refuse(step)
    with pytest.raises(Unavailable):
        shop.end(step, reference)
    assert provider.books() == {"held": 1}

    assert shop.end(step, reference) == DONE[step]


@pytest.mark.parametrize("step", ["authorise", "capture", "void"])
def test_without_a_connection_nothing_is_done(shop, provider, step):
    reference = shop.hold()

    with provider.cut(), pytest.raises(Unavailable):
        shop.authorize(provider.approved, OTHER) if step == "authorise" else shop.end(step, reference)
    assert provider.books() == {"held": 1}
    assert provider.books(OTHER) == {}
