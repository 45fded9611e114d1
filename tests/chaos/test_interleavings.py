"""Concurrent handlers: all promises hold in any interleaving of their calls.

Each test is a scenario (see `tests.support.race_harness`) that is run in many orders: first those with the fewest
changes of the turn, and then others drawn at random.
"""

import json

import pytest

from dev.simulated.world import MUG, TEE, body
from handoff.clock import from_iso
from tests.support.races import (
    ANALYTICS,
    EMAILS,
    EXPIRY,
    FIRST_LOOK,
    FULFILLMENT,
    LEASE,
    ORDER,
    REFUSED,
    SETTLEMENT,
    race,
    said,
)
from tests.support.scheduler import Race

pytestmark = pytest.mark.timeout(7200)


# --- one key, two requests --------------------------------------------------------------------------------------------


@race
def test_the_same_request_twice(harness):
    one, two = harness.api(), harness.api()

    answers = yield Race([lambda: one.place(body()), lambda: two.place(body())])

    # THEN both get the same order, or one gets in-progress, and only one of them has called the provider
    assert said(*answers) in (["201", "201"], ["201", "in-progress"])
    assert {answer.json["orderId"] for answer in answers} == {ORDER}
    asked = [call for call in harness.world.wire.named("dynamodb.PutItem") if harness.world.to_provider(call)]
    assert len(asked) == 1


@race
def test_the_same_request_twice_with_a_crash(harness):
    one, two = harness.api(), harness.api()

    answers = yield Race([lambda: one.place(body()), lambda: two.place(body())], deaths=1)

    assert set(said(*answers)) <= {"201", "in-progress"}


@race
def test_the_same_declined_request_twice(harness):
    one, two = harness.api(), harness.api()
    declined = body(token="tok_decline")

    answers = yield Race([lambda: one.place(declined), lambda: two.place(declined)])

    assert said(*answers) in (["payment-declined"] * 2, ["in-progress", "payment-declined"])
    assert harness.world.available() == 10


@race
def test_the_same_request_twice_with_a_silent_provider(harness):
    one, two = harness.api(), harness.api()
    timing_out = body(token="tok_timeout_held")

    answers = yield Race([lambda: one.place(timing_out), lambda: two.place(timing_out)])

    assert said(*answers) in (["201", "try-later"], ["in-progress", "try-later"])


@race
def test_the_same_key_with_another_body(harness):
    one, two = harness.api(), harness.api()

    first, second = yield Race([lambda: one.place(body((MUG, 1))), lambda: two.place(body((MUG, 2)))])

    assert said(first, second) == ["201", "key-reused"]
    assert harness.world.available() == (9 if first.status == 201 else 8)


# --- a key's second attempt -------------------------------------------------------------------------------------------


@race
def test_a_slow_attempt_and_its_successor(harness):
    one, two = harness.api(), harness.api()

    answers = yield Race([lambda: one.place(body()), lambda: two.place(body())], pauses=[LEASE], deaths=1)

    assert set(said(*answers)) <= {"201", "in-progress", "try-later"}
    assert {answer.json["orderId"] for answer in answers if answer} <= {ORDER}


@race
def test_a_slow_declined_attempt_and_its_successor(harness):
    one, two = harness.api(), harness.api()
    declined = body(token="tok_decline")

    answers = yield Race([lambda: one.place(declined), lambda: two.place(declined)], pauses=[LEASE])

    assert set(said(*answers)) <= {"payment-declined", "in-progress", "try-later"}


@race
def test_a_slow_attempt_releases_only_its_own_lease(harness):
    # GIVEN a provider that loses the first answer, and two requests with a pause between them
    one, two, three = harness.api(), harness.api(), harness.api()
    timing_out = body(token="tok_timeout")

    # WHEN a third request arrives
    handlers = [lambda: one.place(timing_out), lambda: two.place(timing_out), lambda: three.place(timing_out)]
    answers = yield Race(handlers, pauses=[LEASE])

    # THEN at most one of them works on the order at a time
    assert set(said(*answers)) <= {"201", "in-progress", "try-later"}


def _given_up_too_soon(harness):
    order = harness.world.order(ORDER)
    last = order["history"][-1]
    return last.get("reason") == "expired" and from_iso(last["at"]) < max(order["leaseUntil"], order["expiresAt"])


@pytest.fixture(params=["dynamodb.PutItem", "dynamodb.UpdateItem"], ids=["before the hold", "after the hold"])
def dies_before(request):
    """The call before which an order's first attempt crashes."""
    return request.param


def test_an_order_that_is_resumed_as_it_expires(run, dies_before):
    def scenario(harness):
        # GIVEN an order whose first attempt crashed ten minutes ago
        harness.strike(lambda: harness.world.api().place(body()), dies_before)
        harness.world.clock.forward(EXPIRY)
        api = harness.api()

        # WHEN the request is retried while the sweeper expires the order
        answer, _ = yield Race([lambda: api.place(body()), harness.sweep()])

        # THEN it is placed or has expired, but never expires after it was resumed
        assert said(answer) in (["201"], ["order-expired"])
        assert not _given_up_too_soon(harness)

    run(scenario)


@race
def test_two_requests_resume_an_order_as_it_expires(harness):
    harness.strike(lambda: harness.world.api().place(body()), "dynamodb.UpdateItem")
    harness.world.clock.forward(EXPIRY)
    one, two = harness.api(), harness.api()

    answers = yield Race([lambda: one.place(body()), lambda: two.place(body()), harness.sweep()], deaths=1)

    assert set(said(*answers[:2])) <= {"201", "in-progress", "order-expired"}
    assert not _given_up_too_soon(harness)


@race
def test_a_slow_request_and_the_sweeper(harness):
    api = harness.api()

    # The request is slower than the sweeper's first check, and than the order's expiry.
    handlers = [lambda: api.place(body()), harness.sweep(), harness.sweep()]
    answer, *_ = yield Race(handlers, pauses=[FIRST_LOOK, EXPIRY])

    assert said(answer) in (["201"], ["try-later"], ["order-expired"])
    assert not _given_up_too_soon(harness)


# --- the last unit ----------------------------------------------------------------------------------------------------


@race
def test_two_orders_for_the_last_unit(harness):
    harness.stock(MUG, 1)
    ada, bob = harness.api("ada"), harness.api("bob")

    answers = yield Race([lambda: ada.place(body()), lambda: bob.place(body())], deaths=1)

    assert "201" in said(*answers) or None in answers
    assert set(said(*answers)) <= {"201", "out-of-stock"}
    assert said(*answers).count("201") <= 1


@race
def test_two_orders_for_the_last_units_in_three_shards(harness):
    harness.stock(MUG, 3)
    harness.split(MUG, 2)()
    ada, bob = harness.api("ada"), harness.api("bob")

    answers = yield Race([lambda: ada.place(body((MUG, 2))), lambda: bob.place(body((MUG, 2)))], deaths=1)

    assert "201" in said(*answers) or None in answers
    assert set(said(*answers)) <= {"201", "out-of-stock"}
    assert said(*answers).count("201") <= 1


@race
def test_two_orders_refill_an_empty_shard(harness):
    harness.stock(MUG, 0)
    harness.split(MUG, 2)()
    harness.stock(MUG, 30, shards=2)
    ada, bob = harness.api("ada"), harness.api("bob")

    answers = yield Race([lambda: ada.place(body()), lambda: bob.place(body())], deaths=1)

    assert set(said(*answers)) <= {"201"}


@race
def test_two_orders_of_the_last_units_while_shards_are_removed(harness):
    harness.stock(MUG, 3)
    harness.split(MUG, 2)()
    ada, bob = harness.api("ada"), harness.api("bob")

    placing = [lambda: ada.place(body((MUG, 2))), lambda: bob.place(body((MUG, 2)))]
    *answers, _ = yield Race([*placing, harness.split(MUG, 1)])

    assert said(*answers) == ["201", "out-of-stock"]


@race
def test_an_order_while_shards_are_added(harness):
    harness.stock(MUG, 4)
    ada = harness.api("ada")

    answer, _ = yield Race([lambda: ada.place(body((MUG, 3))), harness.split(MUG, 3)])

    assert answer.status == 201


@race
def test_two_orders_for_two_last_units_in_different_order(harness):
    harness.stock(MUG, 1)
    harness.stock(TEE, 1)
    ada, bob = harness.api("ada"), harness.api("bob")

    answers = yield Race(
        [lambda: ada.place(body((MUG, 1), (TEE, 1))), lambda: bob.place(body((TEE, 1), (MUG, 1)))], deaths=1
    )

    assert said(*answers).count("201") <= 1


@race
def test_the_last_unit_and_a_declined_payment(harness):
    harness.stock(MUG, 1)
    ada, bob = harness.api("ada"), harness.api("bob")

    declined, other = yield Race([lambda: ada.place(body(token="tok_decline")), lambda: bob.place(body())])

    assert said(declined, other) in (
        ["201", "payment-declined"],
        ["201", "out-of-stock"],
        ["out-of-stock", "payment-declined"],
    )


# --- cancelling -------------------------------------------------------------------------------------------------------


@race
def test_canceling_twice(harness):
    harness.world.api().place(body())
    one, two = harness.api(), harness.api()

    answers = yield Race([lambda: one.cancel(ORDER), lambda: two.cancel(ORDER)], deaths=1)

    assert set(said(*answers)) <= {"200"}


@race
def test_canceling_during_preparation(harness):
    harness.world.api().place(body())
    api, queues = harness.api(), harness.queues(FULFILLMENT)

    answer, _ = yield Race([lambda: api.cancel(ORDER), lambda: queues.deliver(FULFILLMENT)], deaths=1)

    assert said(answer) in (["200"], ["not-cancellable"], [])
    if answer:
        assert harness.world.order(ORDER)["status"] == ("CANCELLED" if answer.status == 200 else "PREPARED")


@race
def test_canceling_during_placement(harness):
    # GIVEN a bus that rejects cancellations temporarily
    ada, again = harness.api(), harness.api()
    harness.world.wire.always(
        "eventbridge.PutEvents", REFUSED, where=lambda call: "order_cancelled" in str(call.request)
    )

    # WHEN an order is canceled while it is placed, published and cleared
    placed, cancelled = yield Race([lambda: ada.place(body()), lambda: again.cancel(ORDER)])

    # THEN clearing one event does not hide the added one
    assert said(placed) == ["201"]
    assert said(cancelled) in (["200"], ["no-such-order"], ["in-progress"])


@race
def test_canceling_while_the_sweeper_publishes(harness):
    # GIVEN an order with an unpublished event
    harness.strike(lambda: harness.world.api().place(body()), "eventbridge.PutEvents", REFUSED)
    harness.world.clock.forward(FIRST_LOOK)
    api = harness.api()

    # WHEN its customer cancels it while the sweeper publishes and clears
    answer, _ = yield Race([lambda: api.cancel(ORDER), harness.sweep()], deaths=1)

    # THEN it is canceled, and both events are published
    assert said(answer) in (["200"], [])


@race
def test_placing_canceling_and_the_sweeper(harness):
    ada, again = harness.api(), harness.api()
    handlers = [lambda: ada.place(body()), lambda: again.cancel(ORDER), harness.sweep()]

    placed, cancelled, _ = yield Race(handlers, pauses=[FIRST_LOOK], deaths=1)

    assert said(placed) in (["201"], ["try-later"], [])
    assert said(cancelled) in (["200"], ["no-such-order"], ["in-progress"], [])


@race
def test_preparing_canceling_and_the_sweeper(harness):
    harness.world.api().place(body())
    api, queues = harness.api(), harness.queues(FULFILLMENT)
    handlers = [lambda: api.cancel(ORDER), lambda: queues.deliver(FULFILLMENT), harness.sweep()]

    answer, *_ = yield Race(handlers, pauses=[FIRST_LOOK], deaths=1)

    assert said(answer) in (["200"], ["not-cancellable"], [])


# --- profiles ---------------------------------------------------------------------------------------------------------


def _put(api, name, **headers):
    return api.call("PUT", "/me", json.dumps({"name": name, "email": f"{name.lower()}@example.com"}), **headers)


def _steps(harness):
    return [entry["sequence"] for entry in harness.world.item("CustomersTable", userId="ada").get("history", [])]


def _profile_events(harness):
    return {event["Detail"]["metadata"]["sequence"] for event in harness.world.events()}


@race
def test_two_changes_of_a_profile(harness):
    one, two = harness.api(), harness.api()

    answers = yield Race([lambda: _put(one, "Ada"), lambda: _put(two, "Grace")], deaths=1)

    assert set(said(*answers)) <= {"200"}
    assert _profile_events(harness) == set(_steps(harness))


@race
def test_two_changes_of_a_profile_one_of_them_unpublished(harness):
    # GIVEN a bus that rejects one of two changes temporarily
    one, two = harness.api(), harness.api()
    harness.world.wire.always("eventbridge.PutEvents", REFUSED, where=lambda call: "fails" in str(call.request))

    # WHEN both are made concurrently
    answers = yield Race([lambda: _put(one, "Edith"), lambda: _put(two, "Grace", **{"x-correlation-id": "fails"})])

    # THEN both are published in the end
    assert said(*answers) == ["200", "200"]
    assert _profile_events(harness) == set(_steps(harness)) == {1, 2}


@race
def test_a_change_while_the_last_one_is_published_and_mailed(harness):
    # GIVEN a change with an unpublished event
    harness.strike(lambda: _put(harness.world.api(), "Grace"), "eventbridge.PutEvents", REFUSED)
    harness.world.clock.forward(FIRST_LOOK)
    api, queues = harness.api(), harness.queues(EMAILS)

    # WHEN there is another one while the sweeper publishes and clears, and mails are sent
    handlers = [lambda: _put(api, "Edith"), harness.sweep(), lambda: queues.deliver(EMAILS)]
    answer, *_ = yield Race(handlers, deaths=1)

    # THEN both are notified, each at both addresses
    assert said(answer) in (["200"], [])
    assert _profile_events(harness) == set(_steps(harness))
    told = {mail["to"] for mail in harness.world.mails()}
    assert {"ada@example.com", "grace@example.com"} <= told


# --- two sweepers -----------------------------------------------------------------------------------------------------


def _unpublished(harness):
    harness.strike(lambda: harness.world.api().place(body()), "eventbridge.PutEvents", REFUSED)
    harness.world.clock.forward(FIRST_LOOK)


def _expired(harness):
    harness.strike(lambda: harness.world.api().place(body()), "dynamodb.UpdateItem")
    harness.world.clock.forward(EXPIRY)


def _void_due(harness):
    harness.world.api().place(body())
    harness.strike(lambda: harness.world.api().cancel(ORDER), "eventbridge.PutEvents")
    harness.world.clock.forward(FIRST_LOOK)


def _capture_due(harness):
    harness.world.api().place(body())
    harness.strike(lambda: harness.world.queues.deliver(FULFILLMENT), "eventbridge.PutEvents")
    harness.world.clock.forward(FIRST_LOOK)


@pytest.mark.parametrize("left_behind", [_unpublished, _expired, _void_due, _capture_due])
def test_two_sweepers(run, left_behind):
    def scenario(harness):
        left_behind(harness)

        reports = yield Race([harness.sweep(), harness.sweep()], deaths=1)

        assert sum(report["OrdersExpired"] for report in reports if report) <= 1
        assert not any(report["PaymentsFailed"] for report in reports if report)

    run(scenario)


# --- an event that is delivered twice ---------------------------------------------------------------------------------


def _placed(harness):
    harness.world.api().place(body())


def _cancelled(harness):
    harness.world.api().place(body())
    harness.world.api().cancel(ORDER)


def _prepared(harness):
    harness.world.api().place(body())
    harness.world.queues.deliver(FULFILLMENT)


@pytest.mark.parametrize(
    ("function", "happened"),
    [
        *((function, happened) for function in (EMAILS, ANALYTICS) for happened in (_placed, _cancelled)),
        (FULFILLMENT, _placed),
        *((SETTLEMENT, happened) for happened in (_cancelled, _prepared)),
    ],
)
def test_a_batch_delivered_twice_concurrently(run, function, happened):
    def scenario(harness):
        happened(harness)
        records = harness.world.queues.receive(function)
        one, two = harness.queues(function), harness.queues(function)

        yield Race([lambda: one.hand_over(function, records), lambda: two.hand_over(function, records)], deaths=1)

    run(scenario)


@race
def test_batches_that_overlap(harness):
    # GIVEN three sales in two batches that share one of them
    for key in ("one", "two", "three"):
        harness.world.api().place(body(), key=key)
    records = harness.world.queues.receive(ANALYTICS)
    one, two = harness.queues(ANALYTICS), harness.queues(ANALYTICS)

    yield Race([lambda: one.hand_over(ANALYTICS, records[:2]), lambda: two.hand_over(ANALYTICS, records[1:])], deaths=1)


@pytest.mark.parametrize("happened", [_cancelled, _prepared])
def test_a_payment_that_the_consumer_and_the_sweeper_settle(run, happened):
    def scenario(harness):
        happened(harness)
        harness.world.clock.forward(FIRST_LOOK)
        queues = harness.queues(SETTLEMENT)

        _, report = yield Race([lambda: queues.deliver(SETTLEMENT), harness.sweep()], deaths=1)

        assert not report or not report["PaymentsFailed"]

    run(scenario)
