"""The adapter of Stripe: payments that the customer has to confirm, such as with 3-D Secure."""

import logging
import traceback

import pytest

from handoff.clock import now_ms
from shop.payments import ActionRequired, Authorized, Declined, Failed, ProviderError, Stage, Unknown, Voided
from tests.support import stripe_server
from tests.support.payment_providers import ORDER, PaymentsCaller
from tests.support.stripe_server import DECLINED, DECLINED_LATER, HOUR, NEEDS_CUSTOMER, VISA


@pytest.fixture
def provider(stripe):
    """The simulated Stripe alone."""
    return stripe


@pytest.fixture
def found(stripe):
    """Looks up a payment that exists."""

    def look_up(reference):
        found = stripe.payments.look_up(reference)
        assert found is not None
        return found

    return look_up


@pytest.fixture
def library_log():
    """What Stripe's library logs, if a deployment asks every logger for all it has."""
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    root, before = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lambda: "\n".join(record.getMessage() for record in records)
    root.removeHandler(handler)
    root.setLevel(before)


# --- requests ---------------------------------------------------------------------------------------------------------


def test_a_page_that_lets_the_customer_act_is_named_in_the_request(shop, server):
    shop.authorize(NEEDS_CUSTOMER, can_act=True)

    (made,) = server.made("create")
    assert made.params == {
        "amount": "4500",
        "currency": "eur",
        "payment_method": NEEDS_CUSTOMER,
        "allowed_payment_method_types": {"0": "card"},
        "capture_method": "manual",
        "confirm": "true",
        "use_stripe_sdk": "true",
        "metadata": {"order_id": ORDER},
        "expand": {"0": "latest_charge"},
    }


def test_a_card_without_action_takes_one_request(shop, server):
    assert isinstance(shop.authorize(VISA, can_act=True), Authorized)

    assert [request.operation for request in server.requests] == ["create"]


def test_a_payment_that_waits_takes_one_request_and_names_the_secret(shop, server):
    waiting = shop.waiting()

    (intent,) = server.of(ORDER)
    assert waiting == ActionRequired(intent["id"], intent["client_secret"])
    assert [request.operation for request in server.requests] == ["create"]


# --- how the action ends ----------------------------------------------------------------------------------------------


def test_a_hold_after_the_action_has_an_expiry(shop, server, clock, found):
    reference = shop.waiting().reference
    clock.forward(10 * 60)
    server.act(ORDER)

    assert found(reference).expires_at == clock.ms + 7 * 24 * HOUR * 1000


def test_a_failed_authentication_has_its_code(shop, server, found):
    reference = shop.waiting().reference
    server.act(ORDER, succeeds=False)

    assert found(reference).reason == "payment_intent_authentication_failure"


def test_a_decline_after_the_authentication_has_its_code(shop, server, found):
    waiting = shop.authorize(DECLINED_LATER, can_act=True)
    server.act(ORDER)

    payment = found(waiting.reference)
    assert (payment.stage, payment.reason) == (Stage.FAILED, "card_declined")


@pytest.mark.parametrize("status", ["processing", "a_state_of_next_year"])
def test_a_payment_without_a_result_is_in_processing(shop, server, found, status):
    reference = shop.waiting().reference
    server.intents[reference]["status"] = status

    assert found(reference).stage is Stage.PROCESSING


# --- the page tries another card --------------------------------------------------------------------------------------


def test_a_second_card_after_a_failure_holds_the_amount(shop, stripe, server, found):
    reference = shop.waiting().reference
    server.act(ORDER, succeeds=False)
    assert server.pay_with(ORDER, VISA)

    payment = found(reference)
    assert (payment.stage, payment.held, payment.reason) == (Stage.HELD, 4500, None)
    assert stripe.books() == {"held": 1}


def test_a_second_card_that_is_declined_fails_too(shop, server, found):
    reference = shop.waiting().reference
    server.act(ORDER, succeeds=False)
    server.pay_with(ORDER, DECLINED)

    payment = found(reference)
    assert (payment.stage, payment.reason) == (Stage.FAILED, "card_declined")


def test_no_second_card_pays_after_a_void(shop, stripe, server, found):
    reference = shop.waiting().reference
    server.act(ORDER, succeeds=False)
    shop.end("void", reference)

    assert not server.pay_with(ORDER, VISA)
    assert found(reference).stage is Stage.VOIDED
    assert stripe.books() == {"voided": 1}


def test_a_void_that_a_second_card_overtakes_leaves_nothing_held(shop, stripe, server):
    reference = shop.waiting().reference
    server.act(ORDER, succeeds=False)
    server.on("cancel", stripe_server.meanwhile(lambda: server.pay_with(ORDER, VISA)))

    assert shop.end("void", reference) == Voided()
    assert stripe.books() == {"voided": 1}


# --- void -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["requires_action", "requires_payment_method", "requires_confirmation"])
@pytest.mark.parametrize("fault", [stripe_server.fail_before, stripe_server.fail_after])
def test_a_stored_error_does_not_block_the_void(shop, server, found, status, fault):
    reference = shop.waiting().reference
    server.intents[reference]["status"] = status
    server.on("cancel", fault)
    with pytest.raises(Unknown):
        shop.end("void", reference)

    assert shop.end("void", reference) == Voided()
    assert found(reference).stage is Stage.VOIDED


def test_a_payment_that_is_processing_meanwhile_is_not_taken_for_voided(shop, server):
    reference = shop.waiting().reference

    def process():
        server.intents[reference]["status"] = "processing"

    server.on("cancel", stripe_server.meanwhile(process))

    with pytest.raises(Unknown):
        shop.end("void", reference)


def test_a_refused_void_of_a_payment_that_still_waits_is_retried(shop, server):
    reference = shop.waiting().reference
    server.on("cancel", stripe_server.refuse(400, code="payment_intent_unexpected_state"))

    with pytest.raises(ProviderError):
        shop.end("void", reference)
    assert shop.end("void", reference) == Voided()


def test_a_capture_of_a_payment_that_waits_is_refused_by_its_state(shop, server):
    reference = shop.waiting().reference

    assert shop.end("capture", reference) == Failed("the payment is requires_action")
    assert server.made("capture") == []


# --- keys -------------------------------------------------------------------------------------------------------------


def test_a_key_replays_the_payment_that_waited_when_it_was_new(shop, server, found):
    # GIVEN a payment whose customer has acted
    waiting = shop.waiting()
    server.act(ORDER)

    # WHEN its authorization is repeated THEN Stripe answers as it did the first time
    assert shop.waiting() == waiting
    # AND the present is found by looking
    assert found(waiting.reference).stage is Stage.HELD


def test_another_can_act_under_the_same_key_is_no_decline(shop):
    shop.waiting()

    with pytest.raises(Unknown):
        shop.authorize(NEEDS_CUSTOMER, can_act=False)


@pytest.mark.parametrize(
    ("succeeds", "outcome"),
    [(None, ActionRequired), (True, Authorized), (False, Declined)],
    ids=["waits", "succeeded", "failed"],
)
def test_a_forgotten_key_finds_the_payment_as_it_is(shop, server, clock, succeeds, outcome):
    since = now_ms()
    waiting = shop.waiting()
    if succeeds is not None:
        server.act(ORDER, succeeds=succeeds)
    clock.forward(24 * HOUR)

    answer = shop.authorize(NEEDS_CUSTOMER, can_act=True, since=since)

    assert isinstance(answer, outcome)
    assert getattr(answer, "reference", waiting.reference) == waiting.reference
    assert len(server.made("create")) == 1


@pytest.mark.parametrize("fault", [stripe_server.fail_after, stripe_server.lose_answer])
def test_a_payment_behind_a_lost_answer_is_found_and_voided(shop, stripe, server, clock, fault):
    server.on("create", fault, times=2)
    with pytest.raises(Unknown):
        shop.waiting()
    clock.forward(2 * 60)

    found = shop.authorize(NEEDS_CUSTOMER, can_act=True)

    assert isinstance(found, ActionRequired)
    assert PaymentsCaller(stripe).end("void", found.reference) == Voided()
    assert not server.act(ORDER)


# --- the client secret ------------------------------------------------------------------------------------------------


def test_the_librarys_log_has_no_client_secret(shop, found, library_log):
    waiting = shop.waiting()
    found(waiting.reference)
    shop.end("void", waiting.reference)

    assert "/v1/payment_intents" in library_log()
    assert waiting.client_secret not in library_log()


@pytest.mark.parametrize("fault", [stripe_server.bad_gateway, stripe_server.fail_after, stripe_server.lose_answer])
def test_no_error_shows_the_client_secret(shop, server, logged, fault):
    secret = shop.waiting().client_secret
    server.on("cancel", fault, times=2)

    with pytest.raises(ProviderError) as raised:
        shop.end("void", server.of(ORDER)[0]["id"])

    assert secret not in "".join(traceback.format_exception(raised.value)) + logged()


def test_a_declined_action_shows_no_client_secret(shop, server, logged):
    assert shop.authorize(NEEDS_CUSTOMER, can_act=False) == Declined("authentication_required")

    (intent,) = server.of(ORDER)
    assert intent["client_secret"] not in logged()
