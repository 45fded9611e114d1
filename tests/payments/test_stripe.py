"""What is Stripe's own: what is asked of it, what each of its answers means, and what happens once it forgets a key."""

import traceback

import pytest

from dev.simulated import wire
from handoff.clock import Deadline, now_ms
from handoff.settings import MissingSetting
from shop import payments
from shop.model import OrderStep, Payment, PaymentDue, PaymentState, Status
from shop.payments import Authorized, Captured, Declined, Failed, ProviderError, Unavailable, Unknown, Voided
from shop.settlement import settle
from tests.support import stripe_server
from tests.support.orders import order
from tests.support.payment_providers import ORDER, OTHER, PaymentsCaller
from tests.support.stripe_server import DECLINED, HOUR, NEEDS_CUSTOMER, SINGLE_USE, VISA

MINUTE = 60
DONE = {"capture": Captured(), "void": Voided()}
OPERATION = {"authorise": "create", "capture": "capture", "void": "cancel"}
HANGS = [stripe_server.hang_before, stripe_server.hang_after, stripe_server.trickle]


@pytest.fixture
def provider(stripe):
    """Stripe alone."""
    return stripe


@pytest.fixture
def ask(shop):
    """Takes any step, on a hold of its own."""

    def step(step):
        if step == "authorise":
            return shop.authorize(VISA)
        return shop.end(step, shop.hold(OTHER), OTHER)

    return step


@pytest.fixture
def lost(shop, stripe):
    """An authorisation whose answer was lost; returns the time of the attempt."""
    since = now_ms()
    stripe.lose_answer("authorise")
    with pytest.raises(Unknown):
        shop.authorize(VISA)
    return since


@pytest.fixture
def settle_abandoned(stripe):
    """Settles an order that expired while nobody knew whether anything was held; returns what is recorded."""

    def settle_it(since):
        began = OrderStep(sequence=0, status="PENDING", at="2026-11-23T10:00:00.000Z", transition_id="attempt")
        due = PaymentDue(action="void", since=since)
        abandoned = order(Status.REJECTED, payment_due=due, payment_token=VISA, history=(began,))
        settled = []
        store = type("Store", (), {"transition": lambda self, step, deadline: settled.append(step.after.payment)})()
        settle(store, stripe.payments, abandoned, Deadline(10))
        return settled

    return settle_it


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_a_hold_is_asked_for_with_cards_only_and_without_a_customer_to_act(shop, server):
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
def test_each_step_has_a_key_of_its_own(shop, server, end):
    shop.end(end, shop.hold())

    keys = [request.idempotency_key for request in server.requests if request.idempotency_key]
    assert keys == [f"{ORDER}:authorise", f"{ORDER}:{end}"]


def test_the_library_sends_nothing_of_its_own_about_us(shop, server):
    shop.hold(ORDER)
    shop.hold(OTHER)

    headers = [request.headers for request in server.requests]
    assert not any("telemetry" in name for sent in headers for name in sent)
    assert not any("telemetry" in sent["x-stripe-client-user-agent"] for sent in headers)


def test_a_hold_says_until_when(shop, clock):
    held = shop.authorize(VISA)

    assert held.expires_at == clock.ms + 7 * 24 * HOUR * 1000


# --- declines, and what is none ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "reason"),
    [(DECLINED, "card_declined"), (NEEDS_CUSTOMER, "authentication_required"), ("pm_of_nobody", "resource_missing")],
)
def test_a_card_that_can_not_be_charged_is_declined_by_its_code(shop, token, reason):
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
def test_an_amount_that_stripe_does_not_take_is_declined(shop, amount, reason):
    assert shop.authorize(VISA, amount=amount) == Declined(reason)


def test_an_amount_that_stripe_does_not_take_for_another_reason_is_declined(shop, server):
    server.on("create", stripe_server.refuse(400, code="parameter_invalid_integer", param="amount"))

    assert shop.authorize(VISA) == Declined("amount_invalid")


def test_a_payment_method_is_good_for_one_order(shop, stripe):
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
def test_a_payment_method_that_can_not_be_charged_is_declined_by_its_code(shop, server, code):
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
def test_what_only_sounds_like_a_customers_mistake_is_no_decline(shop, server, members):
    server.on("create", stripe_server.refuse(400, **members))

    with pytest.raises(Unavailable):
        shop.authorize(VISA)


@pytest.mark.parametrize(
    ("status", "code"), [(400, "parameter_unknown"), (400, None), (403, "more_permissions_required"), (404, None)]
)
@pytest.mark.parametrize("step", OPERATION)
def test_a_mistake_of_ours_is_neither_a_decline_nor_a_refusal(ask, server, step, status, code):
    server.on(OPERATION[step], stripe_server.refuse(status, code=code))

    with pytest.raises(Unavailable):
        ask(step)


def test_a_reference_that_stripe_does_not_know_is_a_mistake_of_ours(shop):
    # Another account's key, most likely: the hold is where it was.
    with pytest.raises(Unavailable):
        shop.end("capture", "pi_of_another_account")


# --- the API key ------------------------------------------------------------------------------------------------------


def test_the_key_is_read_once_and_again_after_some_minutes(shop, world):
    shop.hold(ORDER)
    shop.hold(OTHER)
    assert len(world.wire.named("secrets-manager.*")) == 1

    world.clock.forward(5 * MINUTE)
    shop.hold("ord_c")
    assert len(world.wire.named("secrets-manager.*")) == 2


@pytest.mark.parametrize("step", OPERATION)
def test_a_rotated_key_works_at_once(shop, stripe, server, step):
    reference = shop.hold(OTHER)
    stripe.store_key("sk_test_second")
    server.api_keys = {"sk_test_second"}

    answer = shop.authorize(VISA) if step == "authorise" else shop.end(step, reference, OTHER)

    assert isinstance(answer, Authorized | Captured | Voided)
    assert server.requests[-1].api_key == "sk_test_second"


def test_a_key_that_stripe_refuses_is_no_decline_and_read_anew_once(shop, server, world):
    shop.hold(OTHER)
    server.api_keys = set()

    with pytest.raises(Unavailable):
        shop.authorize(VISA)
    assert len(server.made("create")) == 2
    assert len(world.wire.named("secrets-manager.*")) == 2


def test_without_secrets_manager_the_last_key_goes_on_working(shop, world):
    shop.hold(OTHER)
    world.wire.always("secrets-manager.*", wire.cannot_connect)
    world.clock.forward(HOUR)

    assert shop.hold()


@pytest.mark.parametrize("fault", [wire.cannot_connect, wire.lose_request, wire.refuse("AccessDeniedException")])
def test_without_a_key_nothing_is_asked(shop, server, world, fault):
    world.wire.always("secrets-manager.*", fault)

    with pytest.raises(Unavailable):
        shop.authorize(VISA)
    assert server.requests == []


def test_the_key_is_in_no_environment_variable(monkeypatch, world):
    monkeypatch.setenv("STRIPE_SECRET_ID", "shop/stripe")
    monkeypatch.setenv("STRIPE_API_BASE", "https://api.stripe.com")

    payments.connect("stripe", "")

    assert world.wire.calls == []  # it is read when it is needed


def test_a_deployment_without_a_secret_says_so_at_once(monkeypatch):
    monkeypatch.setenv("STRIPE_SECRET_ID", "")
    with pytest.raises(MissingSetting, match="StripeSecret"):
        payments.connect("stripe", "")


# --- no answer, or one that leaves a doubt ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", HANGS)
@pytest.mark.parametrize("step", OPERATION)
def test_an_answer_that_does_not_come_in_time_leaves_a_doubt(shop, stripe, server, step, fault):
    reference = shop.hold(OTHER)
    patient, stripe.payments = stripe.payments, stripe.connect(seconds=1)
    server.on(OPERATION[step], fault)
    with pytest.raises(Unknown):
        shop.authorize(VISA) if step == "authorise" else shop.end(step, reference, OTHER)

    # Asked again, it comes to the same, whether it was done or not.
    stripe.payments = patient
    shop.authorize(VISA) if step == "authorise" else shop.end(step, reference, OTHER)
    assert sum((stripe.books(ORDER) + stripe.books(OTHER)).values()) == (2 if step == "authorise" else 1)


def test_while_the_first_request_is_under_way_the_second_learns_nothing(shop, stripe, server):
    # GIVEN a request that Stripe has begun, and that we wait for no longer
    patient, stripe.payments = stripe.payments, stripe.connect(seconds=1)
    server.on("create", stripe_server.hang_within)
    with pytest.raises(Unknown):
        shop.authorize(VISA)
    assert server.arrived.is_set()

    # WHEN it is asked again meanwhile
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
    "fault", [stripe_server.bad_gateway, stripe_server.fail_before, stripe_server.fail_after, stripe_server.lose_answer]
)
def test_an_error_on_their_side_leaves_a_doubt_and_the_library_does_not_ask_again_by_itself(ask, server, step, fault):
    server.on(OPERATION[step], fault)

    with pytest.raises(Unknown):
        ask(step)
    assert len(server.made(OPERATION[step])) == (2 if step == "authorise" and server.of(OTHER) else 1)


@pytest.mark.parametrize("step", OPERATION)
def test_a_lock_means_that_nothing_was_done(ask, server, step):
    server.on(OPERATION[step], stripe_server.refuse(429, code="lock_timeout"))

    with pytest.raises(Unavailable):
        ask(step)


@pytest.mark.parametrize("step", ["capture", "void"])
def test_without_knowing_the_state_nothing_is_ended(shop, server, step):
    reference = shop.hold()
    server.on("retrieve", stripe_server.fail_before)

    with pytest.raises(ProviderError):
        shop.end(step, reference)
    assert server.made(OPERATION[step]) == []


# --- one deadline for all of it ---------------------------------------------------------------------------------------


def test_what_reading_the_key_takes_is_taken_from_the_request(shop, server, world):
    late = wire.meanwhile(lambda: world.clock.forward(payments.LONGEST_CALL - 0.5))
    world.wire.on("secrets-manager.*", late)

    with pytest.raises(Unavailable):
        shop.authorize(VISA)
    assert server.requests == []


@pytest.mark.parametrize("step", ["capture", "void"])
def test_what_reading_the_state_takes_is_taken_from_the_request(shop, server, clock, step):
    reference = shop.hold()
    server.on("retrieve", stripe_server.meanwhile(lambda: clock.forward(payments.LONGEST_CALL - 0.5)))

    with pytest.raises(Unavailable):
        shop.end(step, reference)
    assert server.made(OPERATION[step]) == []


# --- answers that a key keeps -----------------------------------------------------------------------------------------


def test_a_hold_behind_a_kept_error_is_found_once_search_knows_it(shop, stripe, server, clock):
    server.on("create", stripe_server.fail_after)
    for _ in range(2):  # the error, and the same error again; search does not know the order yet
        with pytest.raises(Unknown):
            shop.authorize(VISA)

    clock.forward(2 * MINUTE)
    found = shop.authorize(VISA)

    assert isinstance(found, Authorized)
    assert found.expires_at
    assert stripe.books() == {"held": 1}


def test_a_kept_error_with_nothing_behind_it_is_definite_after_a_day(shop, stripe, server, clock):
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
def test_a_kept_error_holds_up_no_capture_and_no_void(shop, server, step, fault):
    reference = shop.hold()
    server.on(OPERATION[step], fault)
    with pytest.raises(Unknown):
        shop.end(step, reference)

    assert shop.end(step, reference) == DONE[step]


# --- keys that Stripe has forgotten -----------------------------------------------------------------------------------


def test_stripe_would_take_a_second_hold_under_a_forgotten_key(shop, stripe, clock, lost):
    clock.forward(24 * HOUR)
    shop.authorize(VISA)  # as if it were asked for the first time

    assert stripe.books() == {"held": 2}


@pytest.mark.parametrize("hours", [23, 24, 30, 6 * 24])
def test_a_hold_whose_key_may_be_forgotten_is_found_and_not_taken_again(shop, stripe, server, clock, lost, hours):
    clock.forward(hours * HOUR)

    found = shop.authorize(VISA, since=lost)

    assert isinstance(found, Authorized)
    assert found.reference == stripe.server.of(ORDER)[0]["id"]
    assert stripe.books() == {"held": 1}
    assert len(server.made("create")) == 1


def test_nothing_is_held_anew_after_a_day(shop, stripe, server, clock):
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


def test_an_ended_hold_is_found_as_it_ended(shop, clock):
    since = now_ms()
    shop.end("void", shop.hold(ORDER), ORDER)
    captured = shop.hold(OTHER)
    shop.end("capture", captured, OTHER)
    clock.forward(30 * HOUR)

    assert isinstance(shop.authorize(VISA, ORDER, since=since), Declined)
    assert shop.authorize(VISA, OTHER, since=since).reference == captured


@pytest.mark.parametrize("fault", [stripe_server.refuse(429), stripe_server.bad_gateway, stripe_server.lose_answer])
@pytest.mark.parametrize("operation", ["search", "retrieve"])
def test_a_search_without_an_answer_leaves_the_doubt(shop, server, clock, lost, operation, fault):
    clock.forward(30 * HOUR)
    server.on(operation, fault)

    with pytest.raises(Unknown):
        shop.authorize(VISA, since=lost)


@pytest.mark.parametrize("step", ["capture", "void"])
def test_what_was_ended_under_a_forgotten_key_is_not_ended_again(shop, stripe, server, clock, step):
    reference = shop.hold()
    stripe.lose_answer(step)
    with pytest.raises(Unknown):
        shop.end(step, reference)
    clock.forward(25 * HOUR)

    assert shop.end(step, reference) == DONE[step]
    assert len(server.made(OPERATION[step])) == 1


# --- holds that end otherwise -----------------------------------------------------------------------------------------


def test_a_lapsed_hold_can_not_be_captured_and_need_not_be_voided(shop, clock):
    reference = shop.hold()
    clock.forward(7 * 24 * HOUR)

    assert shop.end("capture", reference) == Failed("the payment is canceled")
    assert shop.end("void", reference) == Voided()


def test_a_hold_that_lapses_just_now_can_not_be_captured(shop, server):
    server.on("capture", stripe_server.refuse(400, code="charge_expired_for_capture"))

    assert shop.end("capture", shop.hold()) == Failed("charge_expired_for_capture")


@pytest.mark.parametrize(("step", "other"), [("capture", "void"), ("void", "capture")])
def test_what_somebody_else_ends_meanwhile_is_judged_by_its_state(shop, stripe, server, step, other):
    reference, another = shop.hold(), PaymentsCaller(stripe)
    server.on(OPERATION[step], stripe_server.meanwhile(lambda: another.end(other, reference)))

    assert isinstance(shop.end(step, reference), Failed)


@pytest.mark.parametrize("step", ["capture", "void"])
def test_what_somebody_else_does_for_us_meanwhile_is_done(shop, server, step):
    reference = shop.hold()
    state = {"capture": "succeeded", "void": "canceled"}[step]
    done_elsewhere = stripe_server.meanwhile(lambda: server.intents[reference].update(status=state))
    server.on(OPERATION[step], done_elsewhere)

    assert shop.end(step, reference) == DONE[step]


def test_a_declined_payment_need_not_be_voided(shop, server):
    shop.authorize(DECLINED)

    assert shop.end("void", server.of(ORDER)[0]["id"]) == Voided()


def test_a_payment_that_stripe_is_still_at_is_asked_for_again(shop, server):
    shop.hold()
    (intent,) = server.intents.values()
    intent["status"] = "processing"
    with pytest.raises(Unknown):
        shop.end("capture", intent["id"])


# --- a late settlement ------------------------------------------------------------------------------------------------


def test_a_settlement_after_a_day_finds_the_hold_and_voids_it(stripe, clock, lost, settle_abandoned):
    # GIVEN an order that expired while the answer to its authorisation was lost
    clock.forward(26 * HOUR)

    # WHEN its payment is settled at last
    settled = settle_abandoned(lost)

    # THEN the one hold is gone, and there never was another
    (intent,) = stripe.server.of(ORDER)
    assert settled == [Payment(state=PaymentState.VOIDED, reference=intent["id"])]
    assert stripe.books() == {"voided": 1}


# --- a settlement whose request is refused ----------------------------------------------------------------------------


def test_a_request_that_stripe_refuses_has_left_nothing_to_void(stripe, server, clock, settle_abandoned):
    # GIVEN an order that expired because of a mistake of ours
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
    # Stripe refuses most such requests before it looks at their keys.
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
def test_what_says_nothing_for_certain_leaves_the_void_due(server, clock, settle_abandoned, operation, fault):
    began = now_ms()
    clock.forward(10 * MINUTE)
    server.on(operation, fault, times=2)
    server.on("create", stripe_server.refuse(400, code="parameter_unknown"))

    with pytest.raises(ProviderError):
        settle_abandoned(began)


# --- what gets into logs ----------------------------------------------------------------------------------------------


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
def test_no_log_holds_what_stripe_says_in_words(ask, server, step, fault, logged):
    server.on(OPERATION[step], fault, times=2)

    with pytest.raises(ProviderError) as raised:
        ask(step)

    shown = "".join(traceback.format_exception(raised.value)) + logged()
    assert "Stripe" in shown
    assert not [said for said in ("Ada", "4242", "sk_test", VISA) if said in shown]


def test_what_stripe_says_of_a_payment_method_is_read_and_kept_nowhere(shop, server, logged):
    server.on("create", stripe_server.refuse(400, message="The PaymentMethod of Ada Lovelace was used before."))

    declined = shop.authorize(VISA)

    assert declined == Declined("invalid_payment_method")
    assert "Ada" not in logged()


def test_a_mistake_of_ours_is_logged_as_an_error(shop, server, logged):
    server.on("create", stripe_server.refuse(400, code="parameter_unknown"))

    with pytest.raises(Unavailable):
        shop.authorize(VISA)
    assert '"level":"ERROR"' in logged()
    assert "InvalidRequestError 400 parameter_unknown req_1" in logged()


def test_a_refused_capture_names_a_code_only(shop, server):
    server.on("capture", stripe_server.refuse(402, "card_error", "capture_charge_authorization_expired"))

    assert shop.end("capture", shop.hold()) == Failed("capture_charge_authorization_expired")
