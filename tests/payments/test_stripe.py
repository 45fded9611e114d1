"""The adapter of Stripe: requests, the meaning of answers, and keys that Stripe has forgotten."""

import traceback

import pytest

from dev.simulated import wire
from handoff.clock import Deadline, now_ms
from handoff.settings import MissingSetting
from shop import payments
from shop.model import OrderStep, Payment, PaymentDue, PaymentState, Status
from shop.payments import Authorized, Captured, Declined, Failed, ProviderError, Refunded, Unavailable, Unknown, Voided
from shop.settlement import settle
from tests.support import stripe_server
from tests.support.orders import order
from tests.support.payment_providers import ORDER, OTHER, PaymentsCaller
from tests.support.stripe_server import DECLINED, HOUR, NEEDS_CUSTOMER, SINGLE_USE, VISA

MINUTE = 60
DONE = {"capture": Captured(4500), "void": Voided()}
OPERATION = {"authorise": "create", "capture": "capture", "void": "cancel", "refund": "refund"}
HANGS = [stripe_server.hang_before, stripe_server.hang_after, stripe_server.trickle]


@pytest.fixture
def provider(stripe):
    """The simulated Stripe alone."""
    return stripe


@pytest.fixture
def ask(shop):
    """Run any step on a new hold."""

    def step(step):
        if step == "authorise":
            return shop.authorize(VISA)
        return shop.end(step, shop.ready(step, OTHER), OTHER)

    return step


@pytest.fixture
def lost(shop, stripe):
    """Authorize with a lost answer; return the time of the attempt."""
    since = now_ms()
    stripe.lose_answer("authorise")
    with pytest.raises(Unknown):
        shop.authorize(VISA)
    return since


@pytest.fixture
def settle_abandoned(stripe):
    """Settle an expired order with an unknown hold; return the recorded payment."""

    def settle_it(since):
        began = OrderStep(sequence=0, status="PENDING", at="2026-11-23T10:00:00.000Z", transition_id="attempt")
        due = PaymentDue(action="void", since=since)
        abandoned = order(Status.REJECTED, payment_due=due, payment_token=VISA, history=(began,))
        settled = []
        store = type("Store", (), {"transition": lambda self, step, deadline: settled.append(step.after.payment)})()
        settle(store, stripe.payments, abandoned, Deadline(10))
        return settled

    return settle_it


# --- requests ---------------------------------------------------------------------------------------------------------


def test_a_hold_is_requested_for_cards_without_customer_action(shop, server):
    shop.authorize(VISA)

    (made,) = server.made("create")
    assert made.params == {
        "amount": "4500",
        "currency": "eur",
        "payment_method": VISA,
        "allowed_payment_method_types": {"0": "card"},
        "capture_method": "manual",
        "confirm": "true",
        "error_on_requires_action": "true",
        "metadata": {"order_id": ORDER},
        "expand": {"0": "latest_charge"},
    }


@pytest.mark.parametrize("end", ["capture", "void"])
def test_each_step_has_a_different_key(shop, server, end):
    shop.end(end, shop.hold())

    keys = [request.idempotency_key for request in server.requests if request.idempotency_key]
    assert keys == [f"{ORDER}:authorise", f"{ORDER}:{end}"]


def test_the_library_sends_no_telemetry(shop, server):
    shop.hold(ORDER)
    shop.hold(OTHER)

    headers = [request.headers for request in server.requests]
    assert not any("telemetry" in name for sent in headers for name in sent)
    assert not any("telemetry" in sent["x-stripe-client-user-agent"] for sent in headers)


def test_a_hold_has_an_expiry(shop, clock):
    held = shop.authorize(VISA)

    assert held.expires_at == clock.ms + 7 * 24 * HOUR * 1000


# --- declines and other errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "reason"),
    [(DECLINED, "card_declined"), (NEEDS_CUSTOMER, "authentication_required"), ("pm_of_nobody", "resource_missing")],
)
def test_a_declined_card_has_its_code(shop, token, reason):
    assert shop.authorize(token) == Declined(reason)


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        (-1, "amount_too_small"),
        (0, "amount_too_small"),
        (20, "amount_too_small"),
        (100_000_000, "amount_too_large"),
    ],
)
def test_an_amount_that_stripe_rejects_is_declined(shop, amount, reason):
    assert shop.authorize(VISA, amount=amount) == Declined(reason)


def test_an_amount_rejected_for_another_reason_is_declined(shop, server):
    server.on("create", stripe_server.refuse(400, code="parameter_invalid_integer", param="amount"))

    assert shop.authorize(VISA) == Declined("amount_invalid")


def test_a_payment_method_can_pay_one_order_only(shop, stripe):
    held = shop.authorize(SINGLE_USE, ORDER)

    assert shop.authorize(SINGLE_USE, OTHER) == Declined("invalid_payment_method")
    assert shop.authorize(SINGLE_USE, OTHER) == Declined("invalid_payment_method")
    assert shop.authorize(SINGLE_USE, ORDER) == held
    assert stripe.books(OTHER) == {}


@pytest.mark.parametrize(
    "code",
    [
        "payment_method_unexpected_state",
        "payment_method_currency_mismatch",
        "payment_method_unsupported_type",
        "payment_intent_incompatible_payment_method",
    ],
)
def test_an_unusable_payment_method_is_declined_with_its_code(shop, server, code):
    server.on("create", stripe_server.refuse(400, code=code))

    assert shop.authorize(VISA) == Declined(code)


@pytest.mark.parametrize(
    "members",
    [
        {"code": "payment_method_types_no_longer_supported"},
        {"code": "payment_method_unactivated", "param": "payment_method"},
        {"code": "payment_method_configuration_failures"},
        {"code": "parameter_unknown", "param": "payment_method"},
        {"code": "parameter_unknown", "param": "amount"},
        {"code": "amount_details_amount_mismatch"},
        {"param": "currency", "message": "The currency is not one that this PaymentMethod has."},
        {"code": "payment_intent_invalid_parameter", "message": "This is nothing to send with a PaymentMethod."},
        {"message": "No valid payment method types for this Payment Intent. Activate some in your dashboard."},
        {"message": "Invalid Stripe API version: 2099-01-01"},
    ],
    ids=lambda members: members.get("code") or members["message"][:12],
)
def test_errors_that_resemble_declines_are_not_declines(shop, server, members):
    server.on("create", stripe_server.refuse(400, **members))

    with pytest.raises(Unavailable):
        shop.authorize(VISA)


@pytest.mark.parametrize(
    ("status", "code"), [(400, "parameter_unknown"), (400, None), (403, "more_permissions_required"), (404, None)]
)
@pytest.mark.parametrize("step", OPERATION)
def test_our_mistake_is_neither_a_decline_nor_a_refusal(ask, server, step, status, code):
    server.on(OPERATION[step], stripe_server.refuse(status, code=code))

    with pytest.raises(Unavailable):
        ask(step)


def test_an_unknown_reference_is_our_mistake(shop):
    # Most likely the key of another account: the hold still exists.
    with pytest.raises(Unavailable):
        shop.end("capture", "pi_of_another_account")


# --- the API key ------------------------------------------------------------------------------------------------------


def test_the_api_key_is_cached_for_some_minutes(shop, world, frozen_for):
    shop.hold(ORDER)
    shop.hold(OTHER)
    assert len(world.wire.named("secrets-manager.*")) == 1

    frozen_for(5 * MINUTE)
    shop.hold("ord_c")
    assert len(world.wire.named("secrets-manager.*")) == 2


@pytest.mark.parametrize("step", OPERATION)
def test_a_rotated_key_works_at_once(shop, stripe, server, step):
    reference = shop.ready(step, OTHER)
    stripe.store_key("sk_test_second")
    server.api_keys = {"sk_test_second"}

    answer = shop.authorize(VISA) if step == "authorise" else shop.end(step, reference, OTHER)

    assert isinstance(answer, Authorized | Captured | Voided | Refunded)
    assert server.requests[-1].api_key == "sk_test_second"


def test_a_rejected_api_key_is_no_decline_and_is_read_again_once(shop, server, world):
    shop.hold(OTHER)
    server.api_keys = set()

    with pytest.raises(Unavailable):
        shop.authorize(VISA)
    assert len(server.made("create")) == 2
    assert len(world.wire.named("secrets-manager.*")) == 2


def test_without_secrets_manager_the_last_key_is_used(shop, world):
    shop.hold(OTHER)
    world.wire.always("secrets-manager.*", wire.cannot_connect)
    world.clock.forward(HOUR)

    assert shop.hold()


@pytest.mark.parametrize("fault", [wire.cannot_connect, wire.lose_request, wire.refuse("AccessDeniedException")])
def test_without_an_api_key_stripe_is_not_called(shop, server, world, fault):
    world.wire.always("secrets-manager.*", fault)

    with pytest.raises(Unavailable):
        shop.authorize(VISA)
    assert server.requests == []


def test_the_key_is_in_no_environment_variable(monkeypatch, world):
    monkeypatch.setenv("STRIPE_SECRET_ID", "shop/stripe")
    monkeypatch.setenv("STRIPE_API_BASE", "https://api.stripe.com")

    payments.connect("stripe", "")

    assert world.wire.calls == []  # it is read on first use


def test_a_deployment_without_a_secret_fails_at_once(monkeypatch):
    monkeypatch.setenv("STRIPE_SECRET_ID", "")
    with pytest.raises(MissingSetting, match="StripeSecret"):
        payments.connect("stripe", "")


# --- no answer, or an ambiguous one -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", HANGS)
@pytest.mark.parametrize("step", OPERATION)
def test_an_answer_that_is_too_late_is_unknown(shop, stripe, server, step, fault):
    reference = shop.ready(step, OTHER)
    patient, stripe.payments = stripe.payments, stripe.connect(seconds=1)
    server.on(OPERATION[step], fault)
    with pytest.raises(Unknown):
        shop.authorize(VISA) if step == "authorise" else shop.end(step, reference, OTHER)

    # A retry has the same result, whether it was done or not.
    stripe.payments = patient
    shop.authorize(VISA) if step == "authorise" else shop.end(step, reference, OTHER)
    assert sum((stripe.books(ORDER) + stripe.books(OTHER)).values()) == (2 if step == "authorise" else 1)
    assert stripe.refunds(OTHER) == ([4500] if step == "refund" else [])


def test_a_retry_during_the_first_request_is_unknown(shop, stripe, server):
    # GIVEN a request that Stripe is processing after our timeout
    patient, stripe.payments = stripe.payments, stripe.connect(seconds=1)
    server.on("create", stripe_server.hang_within)
    with pytest.raises(Unknown):
        shop.authorize(VISA)
    assert server.arrived.is_set()

    # WHEN it is retried meanwhile
    stripe.payments = patient
    with pytest.raises(Unknown):
        shop.authorize(VISA)

    # THEN the late effect is the only one
    server.released.set()
    held = None
    while held is None:
        try:
            held = shop.authorize(VISA)
        except Unknown:
            continue
    assert isinstance(held, Authorized)
    assert stripe.books() == {"held": 1}


@pytest.mark.parametrize("step", OPERATION)
@pytest.mark.parametrize(
    "fault",
    [
        stripe_server.bad_gateway,
        stripe_server.fail_before,
        stripe_server.fail_after,
        stripe_server.refuse(409, code="idempotency_key_in_use"),
    ],
)
def test_a_stripe_error_is_unknown_and_not_retried_by_the_library(ask, server, step, fault):
    server.on(OPERATION[step], fault)

    with pytest.raises(Unknown):
        ask(step)
    assert len(server.made(OPERATION[step])) == 1


@pytest.mark.parametrize("step", OPERATION)
def test_a_lock_conflict_means_that_nothing_was_done(ask, server, step):
    server.on(OPERATION[step], stripe_server.refuse(429, code="lock_timeout"))

    with pytest.raises(Unavailable):
        ask(step)


@pytest.mark.parametrize("step", ["capture", "void"])
def test_a_hold_with_an_unknown_state_is_not_ended(shop, server, step):
    reference = shop.hold()
    server.on("retrieve", stripe_server.fail_before)

    with pytest.raises(ProviderError):
        shop.end(step, reference)
    assert server.made(OPERATION[step]) == []


# --- one deadline for all of it ---------------------------------------------------------------------------------------


def test_reading_the_api_key_uses_the_requests_deadline(shop, server, world):
    late = wire.meanwhile(lambda: world.clock.forward(payments.LONGEST_CALL - 0.5))
    world.wire.on("secrets-manager.*", late)

    with pytest.raises(Unavailable):
        shop.authorize(VISA)
    assert server.requests == []


@pytest.mark.parametrize("step", ["capture", "void"])
def test_reading_the_state_uses_the_requests_deadline(shop, server, clock, step):
    reference = shop.hold()
    server.on("retrieve", stripe_server.meanwhile(lambda: clock.forward(payments.LONGEST_CALL - 0.5)))

    with pytest.raises(Unavailable):
        shop.end(step, reference)
    assert server.made(OPERATION[step]) == []


# --- errors stored with a key -----------------------------------------------------------------------------------------


def test_a_hold_behind_a_stored_error_is_found_by_search(shop, stripe, server, clock):
    server.on("create", stripe_server.fail_after)
    for _ in range(2):  # the error, and the same error again; search does not know the order yet
        with pytest.raises(Unknown):
            shop.authorize(VISA)

    clock.forward(2 * MINUTE)
    found = shop.authorize(VISA)

    assert isinstance(found, Authorized)
    assert found.expires_at
    assert stripe.books() == {"held": 1}


def test_a_stored_error_without_a_hold_is_definite_after_a_day(shop, stripe, server, clock):
    since = now_ms()
    server.on("create", stripe_server.fail_before)
    for _ in range(3):
        with pytest.raises(Unknown):
            shop.authorize(VISA, since=since)
        clock.forward(8 * HOUR)
    with pytest.raises(Unknown):  # a last request could be too fresh for search
        shop.authorize(VISA, since=since)

    clock.forward(HOUR)

    assert shop.authorize(VISA, since=since) == Declined("nothing was held")
    assert stripe.books() == {}


def test_another_payload_under_the_same_key_is_no_decline(shop, clock):
    first = shop.authorize(VISA)
    with pytest.raises(Unknown):
        shop.authorize(VISA, amount=9900)
    clock.forward(2 * MINUTE)

    assert shop.authorize(VISA, amount=9900) == first


@pytest.mark.parametrize("step", ["capture", "void"])
@pytest.mark.parametrize("fault", [stripe_server.fail_before, stripe_server.fail_after])
def test_a_stored_error_blocks_neither_capture_nor_void(shop, server, step, fault):
    reference = shop.hold()
    server.on(OPERATION[step], fault)
    with pytest.raises(Unknown):
        shop.end(step, reference)

    assert shop.end(step, reference) == DONE[step]


# --- keys that Stripe has forgotten -----------------------------------------------------------------------------------


def test_stripe_accepts_a_second_hold_with_a_forgotten_key(shop, stripe, clock, lost):
    clock.forward(24 * HOUR)
    shop.authorize(VISA)  # as if it were the first request

    assert stripe.books() == {"held": 2}


@pytest.mark.parametrize("hours", [23, 24, 30, 6 * 24])
def test_a_hold_with_a_forgotten_key_is_found_and_not_repeated(shop, stripe, server, clock, lost, hours):
    requested = server.made("create")
    clock.forward(hours * HOUR)

    found = shop.authorize(VISA, since=lost)

    assert isinstance(found, Authorized)
    assert found.reference == stripe.server.of(ORDER)[0]["id"]
    assert stripe.books() == {"held": 1}
    assert server.made("create") == requested


def test_no_new_hold_is_made_after_a_day(shop, stripe, server, clock):
    since = now_ms()
    shop.hold(OTHER)
    clock.forward(23 * HOUR)
    with pytest.raises(Unknown):
        shop.authorize(VISA, since=since)

    clock.forward(2 * HOUR)

    assert shop.authorize(VISA, since=since) == Declined("nothing was held")
    assert stripe.books() == {}
    assert len(server.made("create")) == 1


@pytest.mark.parametrize("token", [DECLINED, NEEDS_CUSTOMER])
def test_a_decline_is_found_as_a_decline(shop, server, clock, token):
    since = now_ms()
    reason = shop.authorize(token)
    clock.forward(30 * HOUR)

    assert shop.authorize(token, since=since) == reason
    assert len(server.made("create")) == 1


def test_an_ended_hold_is_found_in_its_final_state(shop, clock):
    since = now_ms()
    shop.end("void", shop.hold(ORDER), ORDER)
    captured = shop.hold(OTHER)
    shop.end("capture", captured, OTHER)
    clock.forward(30 * HOUR)

    assert isinstance(shop.authorize(VISA, ORDER, since=since), Declined)
    assert shop.authorize(VISA, OTHER, since=since).reference == captured


@pytest.mark.parametrize("fault", [stripe_server.refuse(429), stripe_server.bad_gateway, stripe_server.lose_answer])
@pytest.mark.parametrize("operation", ["search", "retrieve"])
def test_a_search_without_an_answer_is_unknown(shop, server, clock, lost, operation, fault):
    clock.forward(30 * HOUR)
    server.on(operation, fault, times=2)

    with pytest.raises(Unknown):
        shop.authorize(VISA, since=lost)


@pytest.mark.parametrize("step", ["capture", "void"])
def test_a_hold_ended_with_a_forgotten_key_is_not_ended_again(shop, stripe, server, clock, step):
    reference = shop.hold()
    stripe.lose_answer(step)
    with pytest.raises(Unknown):
        shop.end(step, reference)
    requested = server.made(OPERATION[step])
    clock.forward(25 * HOUR)

    assert shop.end(step, reference) == DONE[step]
    assert server.made(OPERATION[step]) == requested


# --- holds that expire or are ended elsewhere -------------------------------------------------------------------------


def test_an_expired_hold_cannot_be_captured_and_needs_no_void(shop, clock):
    reference = shop.hold()
    clock.forward(7 * 24 * HOUR)

    assert shop.end("capture", reference) == Failed("the payment is canceled")
    assert shop.end("void", reference) == Voided()


def test_a_hold_that_expires_meanwhile_cannot_be_captured(shop, server):
    server.on("capture", stripe_server.refuse(400, code="charge_expired_for_capture"))

    assert shop.end("capture", shop.hold()) == Failed("charge_expired_for_capture")


@pytest.mark.parametrize("step", ["capture", "void"])
@pytest.mark.parametrize("other", ["capture", "void"])
def test_a_hold_ended_elsewhere_is_judged_by_its_state(shop, stripe, server, step, other):
    reference, another = shop.hold(), PaymentsCaller(stripe)
    server.on(OPERATION[step], stripe_server.meanwhile(lambda: another.end(other, reference)))

    answer = shop.end(step, reference)

    if (step, other) == ("capture", "void"):
        assert answer == Failed("the payment is canceled")
    else:
        assert answer == DONE[other]


def test_a_declined_payment_is_canceled_so_that_no_page_can_pay_it(shop, server):
    shop.authorize(DECLINED)
    (intent,) = server.of(ORDER)

    assert shop.end("void", intent["id"]) == Voided()
    assert intent["status"] == "canceled"


def test_a_payment_in_processing_is_retried(shop, server):
    shop.hold()
    (intent,) = server.intents.values()
    intent["status"] = "processing"
    with pytest.raises(Unknown):
        shop.end("capture", intent["id"])


# --- a late settlement ------------------------------------------------------------------------------------------------


def test_a_settlement_after_a_day_finds_the_hold_and_voids_it(stripe, clock, lost, settle_abandoned):
    # GIVEN an order that expired after the answer to its authorization was lost
    clock.forward(26 * HOUR)

    # WHEN its payment is settled later
    settled = settle_abandoned(lost)

    # THEN the hold is voided, and there was no other
    (intent,) = stripe.server.of(ORDER)
    assert settled == [Payment(state=PaymentState.VOIDED, reference=intent["id"])]
    assert stripe.books() == {"voided": 1}


# --- a settlement whose request is rejected ---------------------------------------------------------------------------


def test_a_request_that_stripe_rejects_leaves_nothing_to_void(stripe, server, clock, settle_abandoned):
    # GIVEN an order that expired because of our mistake
    began = now_ms()
    clock.forward(10 * MINUTE)

    # WHEN its payment is settled with the same mistake
    server.on("create", stripe_server.refuse(400, code="parameter_unknown"))
    settled = settle_abandoned(began)

    # THEN nothing was held
    assert settled == [Payment(state=PaymentState.VOIDED, reason="nothing was held")]
    assert stripe.books() == {}


def test_a_hold_from_before_our_mistake_is_found_and_voided(stripe, server, clock, lost, settle_abandoned):
    clock.forward(10 * MINUTE)
    # Stripe rejects most such requests before it checks their keys.
    server.on("create", stripe_server.refuse(400, code="parameter_unknown"))

    settled = settle_abandoned(lost)

    (intent,) = stripe.server.of(ORDER)
    assert settled == [Payment(state=PaymentState.VOIDED, reference=intent["id"])]
    assert stripe.books() == {"voided": 1}


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("create", stripe_server.refuse(401)),
        ("create", stripe_server.refuse(403, code="more_permissions_required")),
        ("create", stripe_server.refuse(404)),
        ("create", stripe_server.refuse(429, code="rate_limit")),
        ("create", stripe_server.refuse(400, "idempotency_error")),
        ("create", stripe_server.refuse(409, code="idempotency_key_in_use")),
        ("create", stripe_server.bad_gateway),
        ("search", stripe_server.refuse(403)),
        ("search", stripe_server.lose_answer),
    ],
)
def test_an_ambiguous_answer_leaves_the_void_due(server, clock, settle_abandoned, operation, fault):
    began = now_ms()
    clock.forward(10 * MINUTE)
    server.on(operation, fault, times=2)
    server.on("create", stripe_server.refuse(400, code="parameter_unknown"))

    with pytest.raises(ProviderError):
        settle_abandoned(began)


# --- logs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", OPERATION)
@pytest.mark.parametrize(
    "fault",
    [
        stripe_server.refuse(401),
        stripe_server.refuse(400, code="parameter_unknown"),
        stripe_server.refuse(400, "idempotency_error"),
        stripe_server.refuse(429),
        stripe_server.refuse(403),
        stripe_server.refuse(500, "api_error"),
        stripe_server.bad_gateway,
        stripe_server.lose_answer,
    ],
)
def test_no_log_has_stripes_error_messages(ask, server, step, fault, logged):
    server.on(OPERATION[step], fault, times=2)

    with pytest.raises(ProviderError) as raised:
        ask(step)

    shown = "".join(traceback.format_exception(raised.value)) + logged()
    assert "Stripe" in shown
    assert not [said for said in ("Ada", "4242", "sk_test", VISA) if said in shown]


def test_details_of_a_payment_method_are_stored_nowhere(shop, server, logged):
    server.on("create", stripe_server.refuse(400, message="The PaymentMethod of Ada Lovelace was used before."))

    declined = shop.authorize(VISA)

    assert declined == Declined("invalid_payment_method")
    assert "Ada" not in logged()


def test_our_mistake_is_logged_as_an_error(shop, server, logged):
    server.on("create", stripe_server.refuse(400, code="parameter_unknown"))

    with pytest.raises(Unavailable):
        shop.authorize(VISA)
    assert '"level":"ERROR"' in logged()
    assert "InvalidRequestError 400 parameter_unknown req_1" in logged()


def test_a_rejected_capture_has_a_code_only(shop, server):
    server.on("capture", stripe_server.refuse(402, "card_error", "capture_charge_authorization_expired"))

    assert shop.end("capture", shop.hold()) == Failed("capture_charge_authorization_expired")
