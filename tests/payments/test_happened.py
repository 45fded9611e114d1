"""The contract of asking what has happened at the provider, for every provider."""

import pytest

from handoff.clock import now_ms
from shop.payments import Unavailable
from tests.support.payment_providers import ORDER, OTHER

MINUTE = 60
DAY = 24 * 60 * MINUTE


@pytest.fixture
def happened(provider, clock):
    """Waits until the provider lists the latest events; returns those from a time on, in as many calls as it needs."""

    def ask(since):
        clock.forward(MINUTE)
        events, until = [], since
        while until < now_ms() - MINUTE / 2 * 1000:
            answer = provider.payments.happened(until)
            assert answer.until > until
            events, until = [*events, *answer.events], answer.until
        assert until <= now_ms()
        return events

    return ask


def cancel(shop, provider):
    reference = shop.hold()
    provider.cancel_elsewhere()
    return reference


def refund(shop, provider):
    reference = shop.captured()
    provider.refund_elsewhere(1000)
    return reference


def return_refund(shop, provider):
    reference = refund(shop, provider)
    provider.return_refund()
    return reference


def dispute(shop, provider):
    reference = shop.captured()
    provider.dispute()
    return reference


def lose_dispute(shop, provider):
    reference = dispute(shop, provider)
    provider.decide("lost")
    return reference


@pytest.mark.parametrize("act", [cancel, refund, return_refund, dispute, lose_dispute])
def test_what_others_did_is_listed_with_the_payment(shop, provider, happened, act):
    since = now_ms()
    reference = act(shop, provider)
    at = now_ms()

    events = happened(since)

    assert {event.reference for event in events} == {reference}
    assert all(since - 1000 < event.at <= at for event in events)
    assert len({event.event_id for event in events}) == len(events)


def test_nothing_has_happened_to_a_hold(shop, happened):
    since = now_ms()
    shop.hold()

    assert happened(since) == []


def test_each_event_is_listed_after_its_time_only(shop, provider, happened, clock):
    began = now_ms()
    reference = refund(shop, provider)
    clock.forward(10 * MINUTE)
    between = now_ms()
    provider.dispute()

    (disputed,) = happened(between)
    everything = happened(began)

    assert disputed.reference == reference
    assert len(everything) > 1
    assert everything[-1] == disputed  # oldest first
    assert [event.at for event in everything] == sorted(event.at for event in everything)
    assert happened(now_ms()) == []


def test_asking_from_where_the_last_answer_ended_misses_and_repeats_nothing(shop, provider, happened, clock):
    shop.captured()
    since = until = now_ms()
    steps = []
    for _ in range(7):
        provider.refund_elsewhere(1)
        clock.forward(13.7)
        answer = provider.payments.happened(until)
        assert answer.until >= until
        steps, until = [*steps, *answer.events], answer.until
    steps += happened(until)

    assert len(steps) == len({event.event_id for event in steps}) == 7
    assert steps == happened(since)


def test_events_of_all_payments_are_listed(shop, provider, happened):
    since = now_ms()
    shop.captured(OTHER)
    dispute(shop, provider)
    cancelled = shop.hold("ord_c")
    shop.end("void", cancelled, "ord_c")

    events = {event.reference for event in happened(since)}

    assert provider.payments.look_up(next(iter(events))).order_id in {ORDER, "ord_c"}
    assert shop.authorize(provider.approved, OTHER).reference not in events


def test_a_day_that_nobody_asked_about_is_listed(shop, provider, happened, clock):
    since = now_ms()
    reference = dispute(shop, provider)
    clock.forward(3 * DAY)

    assert [event.reference for event in happened(since)] == [reference]


def test_without_a_connection_no_event_is_skipped(shop, provider, happened, clock):
    since = now_ms()
    reference = dispute(shop, provider)
    clock.forward(MINUTE)

    with provider.cut(), pytest.raises(Unavailable):
        provider.payments.happened(since)
    assert [event.reference for event in happened(since)] == [reference]
