"""The contract of payments that the customer has to confirm, for every provider."""

import pytest

from shop.payments import ActionRequired, Authorized, Captured, Declined, Failed, Stage, Unavailable, Unknown, Voided
from tests.support.payment_providers import ORDER, OTHER


@pytest.fixture
def found(provider):
    """Looks up a payment that exists."""

    def look_up(reference):
        found = provider.payments.look_up(reference)
        assert found is not None
        assert found.reference == reference
        return found

    return look_up


@pytest.fixture
def void(shop):
    """Voids a payment, as often as the provider asks for."""

    def until_answered(reference):
        for _ in range(3):
            try:
                return shop.end("void", reference)
            except (Unavailable, Unknown):
                continue
        raise AssertionError("no answer")

    return until_answered


# --- before the customer acts -----------------------------------------------------------------------------------------


def test_nothing_is_held_before_the_customer_acts(shop, provider, found):
    waiting = shop.waiting()

    payment = found(waiting.reference)
    assert (payment.stage, payment.held, payment.captured) == (Stage.ACTION_REQUIRED, 0, 0)
    assert payment.order_id == ORDER
    assert payment.client_secret == waiting.client_secret
    assert provider.books() == {}


def test_a_repeat_with_the_same_key_is_about_the_same_payment(shop, found):
    first, again = shop.waiting(), shop.waiting()

    assert first == again
    assert found(first.reference).client_secret == first.client_secret


def test_different_orders_have_different_secrets(shop):
    one, other = shop.waiting(ORDER), shop.waiting(OTHER)

    assert one.reference != other.reference
    assert one.client_secret != other.client_secret


def test_a_page_that_lets_nobody_act_gets_a_decline(shop, provider):
    first, again = (shop.authorize(provider.needs_action, can_act=False) for _ in range(2))

    assert isinstance(first, Declined)
    assert again == first
    assert not provider.act()
    assert provider.books() == {}


@pytest.mark.parametrize(
    ("token", "outcome"), [("approved", Authorized), ("declined", Declined), ("unknown", Declined)]
)
def test_a_card_that_needs_no_action_is_answered_at_once(shop, provider, token, outcome):
    assert isinstance(shop.authorize(getattr(provider, token), can_act=True), outcome)


def test_what_waits_is_neither_captured_nor_refunded(shop, provider, found):
    reference = shop.waiting().reference

    assert isinstance(shop.end("capture", reference), Failed)
    assert isinstance(shop.refund(reference), Failed)
    assert found(reference).stage is Stage.ACTION_REQUIRED
    assert provider.refunds() == []


# --- after the customer has acted -------------------------------------------------------------------------------------


def test_a_successful_action_holds_the_amount(shop, provider, found):
    reference = shop.waiting().reference
    assert provider.act()

    payment = found(reference)
    assert (payment.stage, payment.held, payment.captured) == (Stage.HELD, 4500, 0)
    assert payment.client_secret is None
    assert provider.books() == {"held": 1}
    assert shop.end("capture", reference) == Captured(4500)


def test_a_failed_action_holds_nothing(shop, provider, found):
    reference = shop.waiting().reference
    assert provider.act(succeeds=False)

    payment = found(reference)
    assert (payment.stage, payment.held, payment.captured) == (Stage.FAILED, 0, 0)
    assert payment.reason
    assert payment.client_secret is None
    assert provider.books() == {}


@pytest.mark.parametrize("succeeds", [True, False])
def test_asking_again_after_the_action_holds_nothing_new(shop, provider, found, succeeds):
    reference = shop.waiting().reference
    provider.act(succeeds=succeeds)
    before = found(reference)

    repeated = shop.authorize(provider.needs_action, can_act=True)  # perhaps an old answer

    assert isinstance(repeated, ActionRequired | (Authorized if succeeds else Declined))
    assert found(reference) == before
    assert provider.books() == ({"held": 1} if succeeds else {})


@pytest.mark.parametrize("succeeds", [True, False])
def test_an_action_is_done_once(shop, provider, found, succeeds):
    reference = shop.waiting().reference
    provider.act(succeeds=succeeds)
    before = found(reference)

    assert not provider.act()
    assert found(reference) == before


# --- void -------------------------------------------------------------------------------------------------------------


def test_an_abandoned_payment_is_voided_and_cannot_be_confirmed_later(shop, provider, found):
    reference = shop.waiting().reference

    assert [shop.end("void", reference) for _ in range(2)] == [Voided(), Voided()]

    assert not provider.act()
    payment = found(reference)
    assert (payment.stage, payment.held, payment.client_secret) == (Stage.VOIDED, 0, None)
    assert provider.books() == {"voided": 1}


def test_a_failed_payment_is_voided_so_that_no_page_can_pay_it(shop, provider, found):
    reference = shop.waiting().reference
    provider.act(succeeds=False)

    assert shop.end("void", reference) == Voided()
    assert found(reference).stage is Stage.VOIDED


def test_a_hold_after_the_action_is_voided(shop, provider, found):
    reference = shop.waiting().reference
    provider.act()

    assert shop.end("void", reference) == Voided()
    assert found(reference).held == 0
    assert provider.books() == {"voided": 1}


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_void_that_the_action_overtakes_leaves_nothing_held(shop, provider, found, void, succeeds):
    reference = shop.waiting().reference
    provider.meanwhile("void", lambda: provider.act(succeeds=succeeds))

    assert void(reference) == Voided()
    assert found(reference).stage is Stage.VOIDED
    assert provider.books() == {"voided": 1}


def test_a_void_that_the_merchants_capture_overtakes_returns_the_captured_amount(shop, provider, void):
    reference = shop.waiting().reference

    def pay():
        provider.act()
        provider.capture_elsewhere(4500)

    provider.meanwhile("void", pay)

    assert void(reference) == Captured(4500)


@pytest.mark.parametrize("fault", ["lose_request", "lose_answer"])
def test_a_lost_void_of_a_waiting_payment_is_completed_by_a_retry(shop, provider, fault):
    reference = shop.waiting().reference
    getattr(provider, fault)("void")
    with pytest.raises(Unknown):
        shop.end("void", reference)

    assert shop.end("void", reference) == Voided()
    assert not provider.act()


# --- no answer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["lose_request", "lose_answer"])
def test_after_a_lost_answer_the_key_returns_the_payment_that_waits(shop, provider, fault):
    getattr(provider, fault)("authorise")
    with pytest.raises(Unknown):
        shop.waiting()

    waiting = shop.waiting()
    assert provider.act()
    assert provider.payments.look_up(waiting.reference).held == 4500
    assert provider.books() == {"held": 1}


def test_a_rejected_request_starts_no_action(shop, provider):
    provider.refuse("authorise")
    with pytest.raises(Unavailable):
        shop.waiting()

    assert not provider.act()
    assert shop.waiting()


# --- the client secret ------------------------------------------------------------------------------------------------


def test_the_client_secret_is_in_no_log_and_no_text(shop, provider, found, void, logged):
    waiting = shop.waiting()
    payment = found(waiting.reference)
    provider.refuse("void")
    void(waiting.reference)

    shown = logged() + repr(waiting) + str(waiting) + repr(payment) + str(payment)

    assert waiting.reference in shown
    assert waiting.client_secret not in shown
