"""The adapter of Stripe: looking up payments, and what has happened to them."""

import pytest

from handoff.clock import now_ms
from shop import payments
from shop.payments import Captured, RefundPending, Stage, Unavailable
from tests.support import stripe_server
from tests.support.payment_providers import ORDER, OTHER
from tests.support.stripe_server import FAILING_REFUND, HOUR

MINUTE = 60


@pytest.fixture
def provider(stripe):
    """The simulated Stripe alone."""
    return stripe


@pytest.fixture
def look_up(stripe):
    """Looks up a payment."""
    return stripe.payments.look_up


@pytest.fixture
def operations(server):
    """Returns the operations that a function requests."""

    def of(do):
        before = len(server.requests)
        do()
        return [request.operation for request in server.requests[before:]]

    return of


# --- looking up -------------------------------------------------------------------------------------------------------


def test_looking_up_takes_as_few_requests_as_the_payment_needs(shop, stripe, look_up, operations):
    reference = shop.hold()
    assert operations(lambda: look_up(reference)) == ["retrieve"]

    shop.end("capture", reference)
    assert operations(lambda: look_up(reference)) == ["retrieve", "refunds"]

    stripe.dispute()
    assert operations(lambda: look_up(reference)) == ["retrieve", "refunds", "disputes"]


def test_a_payment_that_stripe_does_not_have_is_no_mistake_of_ours(look_up, logged):
    assert look_up("pi_of_another_account") is None

    assert "ERROR" not in logged()


@pytest.mark.parametrize(
    ("status", "code"), [(404, None), (403, "more_permissions_required"), (400, None), (401, None)]
)
@pytest.mark.parametrize("operation", ["retrieve", "refunds", "disputes"])
def test_another_refusal_does_not_mean_that_there_is_nothing(shop, stripe, server, look_up, operation, status, code):
    reference = shop.captured()
    stripe.dispute()
    server.on(operation, stripe_server.refuse(status, code=code), times=2)

    with pytest.raises(Unavailable):
        look_up(reference)


@pytest.mark.parametrize("operation", ["retrieve", "refunds", "disputes"])
def test_a_missing_part_leaves_everything_unknown(shop, stripe, server, look_up, operation):
    reference = shop.captured()
    stripe.dispute()
    server.on(operation, stripe_server.lose_answer, times=2)

    with pytest.raises(Unavailable):
        look_up(reference)
    assert look_up(reference).dispute


def test_a_payment_of_another_program_has_no_order(shop, server, look_up):
    reference = shop.hold()
    server.intents[reference]["metadata"] = {}

    assert look_up(reference).order_id is None


def test_more_refunds_than_a_page_has_are_found(shop, server, look_up):
    reference = shop.captured()
    ours = shop.refund(reference, 1000)
    for _ in range(250):
        assert server.refund_in_dashboard(ORDER, 1)

    refunds = look_up(reference).refunds

    assert len(refunds) == len({refund.reference for refund in refunds}) == 251
    assert [refund.key for refund in refunds if refund.reference == ours.reference] == [f"{ORDER}:refund"]


@pytest.mark.parametrize("operation", ["retrieve", "refunds"])
def test_all_requests_of_a_look_up_share_one_deadline(shop, stripe, server, look_up, clock, operation):
    reference = shop.captured()
    stripe.dispute()
    slow = stripe_server.meanwhile(lambda: clock.forward(payments.LONGEST_CALL))
    server.on(operation, slow)
    began = clock.monotonic()

    with pytest.raises(Unavailable):
        look_up(reference)
    assert clock.monotonic() - began < payments.LONGEST_CALL + 0.1
    assert not server.made("disputes")


def test_a_slow_stripe_that_answers_in_time_is_enough(shop, stripe, server, look_up, clock):
    reference = shop.captured()
    stripe.dispute()
    for operation in ("retrieve", "refunds", "disputes"):
        server.on(operation, stripe_server.meanwhile(lambda: clock.forward(payments.LONGEST_CALL / 4)))

    assert look_up(reference).dispute.state == "open"


@pytest.mark.parametrize(
    ("values", "state", "failure"),
    [
        ({"status": "requires_action"}, "pending", None),
        ({"status": None}, "pending", None),
        ({"status": "canceled"}, "failed", "the refund is canceled"),
        ({"status": "failed", "failure_reason": "lost_or_stolen_card"}, "failed", "lost_or_stolen_card"),
    ],
)
def test_a_refund_has_the_state_that_stripe_says(shop, server, look_up, values, state, failure):
    reference = shop.captured()
    made = shop.refund(reference)
    server.refunds[made.reference].update(values)

    (refund,) = look_up(reference).refunds
    assert (refund.state, refund.failure) == (state, failure)


def test_a_refund_that_fails_by_itself_is_found_and_listed(shop, stripe, look_up, clock):
    reference = shop.captured(token=FAILING_REFUND)
    shop.refund(reference)
    since = now_ms()
    clock.forward(HOUR)
    (refund,) = look_up(reference).refunds
    clock.forward(MINUTE)

    assert (refund.state, refund.failure) == ("failed", "expired_or_canceled_card")
    assert reference in {event.reference for event in stripe.payments.happened(since).events}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("warning_needs_response", "open"),
        ("warning_under_review", "open"),
        ("warning_closed", "won"),
        ("needs_response", "open"),
        ("under_review", "open"),
        ("won", "won"),
        ("lost", "lost"),
        ("prevented", "won"),
        ("a_status_of_next_year", "open"),
    ],
)
def test_a_dispute_has_the_state_that_stripe_says(shop, stripe, server, look_up, status, state):
    reference = shop.captured()
    stripe.dispute()
    (dispute,) = server.disputes.made.values()
    dispute["status"] = status

    assert look_up(reference).dispute.state == state


def test_the_latest_dispute_counts(shop, stripe, look_up):
    reference = shop.captured()
    stripe.dispute()
    first = look_up(reference).dispute.reference
    stripe.decide("won")
    stripe.dispute()

    assert look_up(reference).dispute.reference != first
    assert look_up(reference).dispute.state == "open"


def test_an_expired_hold_is_found_as_voided(shop, look_up, clock):
    reference = shop.hold()
    clock.forward(7 * 24 * HOUR)

    found = look_up(reference)
    assert (found.stage, found.held) == (Stage.VOIDED, 0)


@pytest.mark.parametrize("field", ["amount", "transaction", "key"])
def test_only_the_rest_of_a_hold_is_left_out_of_the_refunds(shop, stripe, server, look_up, field):
    reference = shop.hold()
    stripe.capture_elsewhere(3000)
    (rest,) = server.refunds.values()
    rest.update(
        {
            "amount": {"amount": 1499},
            "transaction": {"balance_transaction": "txn_1"},
            "key": {"metadata": {"refund_key": "ours"}},
        }[field]
    )

    assert len(look_up(reference).refunds) == 1


def test_a_pending_refund_of_a_whole_capture_is_a_refund(shop, stripe, server, look_up):
    reference = shop.captured(token=stripe.refunded_later)
    made = shop.refund(reference)
    assert isinstance(made, RefundPending)
    server.refunds[made.reference]["balance_transaction"] = None

    assert [refund.state for refund in look_up(reference).refunds] == ["pending"]


# --- what has happened ------------------------------------------------------------------------------------------------


def test_events_are_asked_for_by_type_and_time(stripe, server, clock):
    since = now_ms()
    clock.forward(MINUTE)

    answer = stripe.payments.happened(since)

    (asked,) = server.made("events")
    seconds = since // 1000
    assert asked.params["created"] == {"gte": str(seconds), "lt": str(seconds + MINUTE - 10)}
    assert answer.until == (seconds + MINUTE - 10) * 1000
    assert set(asked.params["types"].values()) == {
        "payment_intent.canceled",
        "refund.created",
        "refund.updated",
        "refund.failed",
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.closed",
    }


def test_events_of_the_last_seconds_are_left_for_later(shop, stripe, clock):
    since = now_ms()
    reference = shop.captured()
    stripe.dispute()
    clock.forward(5)

    assert stripe.payments.happened(since).events == ()
    clock.forward(MINUTE)
    assert [event.reference for event in stripe.payments.happened(since).events] == [reference]


def test_nothing_is_asked_about_the_future(stripe, server):
    since = now_ms() + HOUR * 1000

    assert stripe.payments.happened(since) == payments.Happened((), since)
    assert server.made("events") == []


def test_a_hold_that_expires_is_listed(shop, stripe, server, clock):
    reference = shop.hold()
    clock.forward(7 * 24 * HOUR - 1)
    since = now_ms()
    clock.forward(2)
    server.of(ORDER)  # Stripe cancels it
    clock.forward(MINUTE)

    assert {event.reference for event in stripe.payments.happened(since).events} == {reference}


def test_an_event_about_no_payment_is_left_out(shop, stripe, server, clock):
    since = now_ms()
    shop.captured()
    server.events.record("refund.created", {"id": "re_old", "object": "refund", "payment_intent": None})
    stripe.dispute()
    clock.forward(MINUTE)

    assert len(stripe.payments.happened(since).events) == 1


def test_events_are_read_from_all_pages(shop, stripe, server, clock):
    since = now_ms()
    shop.captured()
    for _ in range(250):
        server.refund_in_dashboard(ORDER, 1)
    clock.forward(MINUTE)

    events = stripe.payments.happened(since).events

    assert len({event.event_id for event in events}) == 250
    assert len(server.made("events")) == 3


def test_more_events_than_fit_a_call_are_read_in_shorter_spans(shop, stripe, server, clock):
    # GIVEN 1,200 refunds in ten hours, and no one who asked meanwhile
    since = until = now_ms()
    shop.captured()
    for _ in range(1200):
        server.refund_in_dashboard(ORDER, 1)
        clock.forward(30)
    clock.forward(MINUTE)

    # WHEN they are asked for in as many calls as it takes, of which none has the time for all of them
    server.on("events", stripe_server.meanwhile(lambda: clock.forward(0.5)), times=1000)
    found, calls = [], 0
    while until < now_ms() - 30_000:
        answer = stripe.payments.happened(until)
        assert answer.until > until
        found, until, calls = [*found, *answer.events], answer.until, calls + 1

    # THEN each was listed once, in order
    assert found[0].at // 1000 == since // 1000
    assert len(found) == len({event.event_id for event in found}) == 1200
    assert [event.at for event in found] == sorted(event.at for event in found)
    assert calls < 30


def test_all_events_of_one_second_are_read(shop, stripe, server, clock):
    since = now_ms()
    shop.captured()
    for _ in range(450):
        server.refund_in_dashboard(ORDER, 1)
    clock.forward(MINUTE)

    assert len(stripe.payments.happened(since).events) == 450


@pytest.mark.parametrize("page", [0, 1])
def test_a_missing_page_leaves_all_events_for_later(shop, stripe, server, clock, page):
    since = now_ms()
    shop.captured()
    for _ in range(150):
        server.refund_in_dashboard(ORDER, 1)
    clock.forward(MINUTE)
    lost = stripe_server.bad_gateway
    server.on("events", stripe_server.meanwhile(lambda: server.on("events", lost)) if page else lost)

    with pytest.raises(Unavailable):
        stripe.payments.happened(since)


def test_all_pages_of_events_share_one_deadline(shop, stripe, server, clock):
    since = now_ms()
    shop.captured()
    for _ in range(150):
        server.refund_in_dashboard(ORDER, 1)
    clock.forward(MINUTE)
    server.on("events", stripe_server.meanwhile(lambda: clock.forward(payments.LONGEST_CALL)))

    with pytest.raises(Unavailable):
        stripe.payments.happened(since)
    assert len(server.made("events")) == 1


def test_our_own_captures_are_not_among_the_events(shop, stripe, clock):
    since = now_ms()
    assert shop.end("capture", shop.hold(OTHER), OTHER) == Captured(4500)
    clock.forward(MINUTE)

    assert stripe.payments.happened(since).events == ()
