"""Idempotency-Key: the same key returns the same response."""

from unicodedata import normalize

import pytest

from dev.simulated import wire
from dev.simulated.wire import Crash
from dev.simulated.world import ADDRESS, MUG, TEE, body

HASH = "7242b2a100d73f895a3d9364a5585e310c9214e2f0c5ff950e6cfc444c24b5ed"  # of body(): test_fingerprints.py
WHOLE_DIGEST = "2:24092dac0cf0edee782157bc00078ef1ed2532e7d70e75a5a138daa55e9c02d7"  # of body() with the former address


def test_a_repeat_returns_the_same_response(api):
    assert api.place(body()).json == api.place(body()).json


def test_a_repeat_reserves_and_charges_nothing(world, api):
    api.place(body())
    api.place(body())

    assert world.available() == 9
    assert len(world.items("SandboxTable")) == len(world.items("OrdersTable")) == 1
    assert world.event_types() == ["order_placed"]


def test_a_repeat_makes_one_call(world, api):
    api.place(body())

    with world.wire.watched() as calls:
        assert api.place(body()).status == 201

    assert len(calls) == 1


@pytest.mark.parametrize("change", [{"unitPrice": 9999}, {"listed": False}, {"available": 0}])
def test_a_repeat_ignores_changes_of_the_product(world, api, change):
    # GIVEN a placed order, and a product that has changed since
    first = api.place(body())
    world.change("ProductsTable", {"sku": MUG}, **change)

    # WHEN the same request is sent to a warm and to a new instance
    warm = api.place(body())
    world.functions.stop("OrdersFunction")
    fresh = api.place(body())

    # THEN the response is the first one
    assert warm.json == fresh.json == first.json
    assert warm.status == fresh.status == 201


def test_a_repeat_ignores_a_changed_total(world, api):
    first = api.place(body(expectedTotal=1250))
    world.stock(unit_price=9999)
    world.functions.stop("OrdersFunction")

    assert api.place(body(expectedTotal=1250)).json == first.json


@pytest.mark.parametrize("step", ["cancel", "fulfill"])
def test_a_repeat_ignores_later_states_of_the_order(world, api, step):
    first = api.place(body())
    if step == "cancel":
        api.cancel(first.json["orderId"])
    world.queues.until_quiet()

    assert api.place(body()).json == first.json


@pytest.mark.parametrize(
    "other",
    [body((MUG, 2)), body(token="tok_decline"), body(expectedTotal=1250), body((TEE, 1)), body((MUG, 1), (TEE, 1))],
)
def test_another_body_under_the_same_key_is_422(world, api, other):
    world.stock(TEE)
    api.place(body())

    answer = api.place(other)

    assert (answer.status, answer.problem) == (422, "key-reused")
    assert (world.available(MUG), world.available(TEE)) == (9, 10)


def test_another_body_with_unknown_products_is_422(api):
    api.place(body())

    assert api.place(body(("NO-SUCH", 1))).status == 422


def test_whitespace_and_member_order_do_not_change_the_body(api):
    first = api.place(body())
    same = dict(reversed(body().items()))

    assert api.place(same).json == first.json


def test_another_users_same_key_is_another_order(world):
    world.customer("bob")
    ada, bob = world.api("ada").place(body()), world.api("bob").place(body())

    assert ada.status == bob.status == 201
    assert ada.json["orderId"] != bob.json["orderId"]
    assert world.available() == 8


def test_another_key_is_another_order(api):
    assert api.place(body(), key="one").json["orderId"] != api.place(body(), key="two").json["orderId"]


# --- orders of earlier releases, which have no fingerprint ------------------------------------------------------------


def test_an_order_of_an_earlier_release_is_known_by_its_hash(world, api):
    # GIVEN an order as an earlier release has stored it
    first = api.place(body())
    stored = world.order(first.json["orderId"])
    del stored["fingerprint"]
    world.put("OrdersTable", stored | {"requestHash": HASH})

    # THEN a repeat gets the first outcome, and another body is refused
    assert (api.place(body()).status, api.place(body()).json) == (201, first.json)
    assert api.place(body((MUG, 2))).status == 422


def test_a_pending_order_of_an_earlier_release_is_resumed_and_finished(world, api, abandoned):
    stored = world.order(abandoned)
    del stored["fingerprint"]
    world.put("OrdersTable", stored | {"requestHash": HASH})
    world.clock.forward(25)

    answer = api.place(body())

    assert (answer.status, answer.json["orderId"]) == (201, abandoned)
    assert world.ledger() == {abandoned: "held"}


def test_an_order_with_the_longer_fingerprint_of_an_earlier_release_is_known(world, api):
    recorded = body(shippingAddress=ADDRESS | {"postalCode": "W1"})
    first = api.place(recorded)
    key = {"orderId": first.json["orderId"]}
    world.change("OrdersTable", key, fingerprint=WHOLE_DIGEST, requestHash="", refunds={})

    assert api.place(recorded).json == first.json
    assert api.place(recorded | {"paymentToken": "tok_other"}).status == 422


def test_an_order_has_the_hash_that_earlier_releases_compare(world, api):
    # During a deployment and after a rollback, they get some of the repeats.
    assert world.order(api.place(body()).json["orderId"])["requestHash"] == HASH


def test_a_name_with_accents_composed_in_another_way_is_the_same_request(api):
    name = "Ame\u0301lie"
    first = api.place(body(shippingAddress=ADDRESS | {"name": name}))

    again = api.place(body(shippingAddress=ADDRESS | {"name": normalize("NFC", name)}))

    assert (again.status, again.json) == (201, first.json)


# --- in progress ------------------------------------------------------------------------------------------------------


@pytest.fixture
def abandoned(world, api):
    """An order whose request died while it waited for the provider: PENDING, under a live lease."""
    api.get("/catalog")
    world.wire.on("dynamodb.*", wire.crash_before, where=world.to_provider)
    with pytest.raises(Crash):
        api.place(body())
    (order,) = world.items("OrdersTable")
    assert order["status"] == "PENDING"
    return order["orderId"]


def test_a_key_in_progress_is_409_with_retry_after(world, api, abandoned):
    answer = api.place(body())

    assert (answer.status, answer.problem, answer.json["orderId"]) == (409, "in-progress", abandoned)
    assert answer.headers["retry-after"] == "25"
    assert world.items("SandboxTable") == []


def test_a_key_in_progress_is_free_after_retry_after(world, api, abandoned):
    world.clock.forward(int(api.place(body()).headers["retry-after"]))

    answer = api.place(body())
    assert (answer.status, answer.json["orderId"]) == (201, abandoned)


def test_another_body_under_a_key_in_progress_is_422(api, abandoned):
    assert api.place(body((MUG, 2))).status == 422


def test_an_abandoned_order_is_resumed_as_it_was_stored(world, api, abandoned):
    # GIVEN an abandoned order, whose product has changed since and is gone
    world.change("ProductsTable", {"sku": MUG}, unitPrice=9999, listed=False, available=0)
    world.clock.forward(25)
    world.functions.stop("OrdersFunction")

    # WHEN the same key is used again
    answer = api.place(body())

    # THEN the order is placed with the price and the stock of the reservation
    assert (answer.status, answer.json["total"]) == (201, 1250)
    assert world.available() == 0
    assert world.ledger() == {abandoned: "held"}


def test_only_one_of_two_requests_resumes_the_order(world, api, abandoned):
    # GIVEN a second request that acquires the lease between the first one's read and write
    world.clock.forward(25)

    def another():
        world.wire.on("dynamodb.*", wire.crash_before, where=world.to_provider)
        with pytest.raises(Crash):
            api.place(body())

    world.wire.on("dynamodb.UpdateItem", wire.meanwhile(another), where=lambda call: ":leaseUntil" in call.values)

    # THEN the first request does not acquire it
    answer = api.place(body())
    assert (answer.status, answer.problem) == (409, "in-progress")


def test_a_lost_answer_of_the_lease_write_still_resumes(world, api, abandoned):
    world.clock.forward(25)
    world.wire.on("dynamodb.UpdateItem", wire.lose_response, where=lambda call: ":leaseUntil" in call.values)

    assert api.place(body()).status == 201


def test_two_requests_that_resume_an_order_place_it_once(world, api, abandoned):
    # GIVEN a second request between the first one's read and its acquiring the lease
    world.clock.forward(25)
    answers = []
    another = wire.meanwhile(lambda: answers.append(api.place(body())))
    world.wire.on("dynamodb.UpdateItem", another, where=lambda call: ":leaseUntil" in call.values)

    # WHEN the first request continues
    answers.append(api.place(body()))

    # THEN both get the same order
    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].json == answers[1].json
    assert len(world.events()) == 1


def test_the_key_of_an_expired_order_returns_order_expired(world, api, abandoned):
    world.clock.forward(600)
    world.sweep()

    answer = api.place(body())
    assert (answer.status, answer.problem, answer.json["orderId"]) == (409, "order-expired", abandoned)


def test_an_order_that_expires_during_authorization_is_not_placed(world, api):
    # GIVEN a request that hangs at the provider until the sweeper has expired its order
    api.get("/catalog")

    def hang():
        world.clock.forward(700)
        world.sweep()

    world.wire.on("dynamodb.*", wire.meanwhile(hang), where=world.to_provider)

    # WHEN it continues
    late = api.place(body())

    # THEN the order is not placed, the key reports it, and nothing is held or reserved
    assert late.status in (409, 503)
    assert api.place(body()).problem == "order-expired"
    assert world.ledger() == {late.json["orderId"]: "void"}
    assert world.available() == 10


# --- a provider that does not answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["tok_timeout", "tok_timeout_held", "tok_fail_once"])
def test_the_key_can_be_retried_at_once_after_a_provider_failure(world, api, token):
    # WHEN the provider fails the first time
    first = api.place(body(token=token))

    # THEN the response tells the client how to continue
    assert (first.status, first.problem) == (503, "try-later")
    assert first.headers["retry-after"] == "2"
    assert first.headers["location"] == f"/orders/{first.json['orderId']}"

    # AND the same key places the order, without waiting for a lease
    second = api.place(body(token=token))
    assert (second.status, second.json["orderId"]) == (201, first.json["orderId"])
    assert world.ledger() == {second.json["orderId"]: "held"}
    assert world.available() == 9


def test_a_lease_that_cannot_be_released_does_not_change_the_response(world, api, logged):
    # GIVEN a provider that does not answer, and a lease that cannot be released
    world.wire.always("dynamodb.UpdateItem", wire.lose_request, where=lambda call: ":leaseUntil" in call.values)

    # WHEN an order is placed
    first = api.place(body(token="tok_timeout"))

    # THEN the response tells the client how to continue, and the log gives the reason of the delay
    assert (first.status, first.problem) == (503, "try-later")
    assert first.headers["location"] == f"/orders/{first.json['orderId']}"
    (line,) = [line for line in logged().splitlines() if "lease not released" in line]
    assert "ReadTimeoutError" in line
    # AND the same key continues after the lease
    world.wire.heal()
    world.clock.forward(25)
    assert api.place(body(token="tok_timeout")).status == 201


def test_the_location_shows_the_pending_order(api):
    first = api.place(body(token="tok_timeout"))

    found = api.get(first.headers["location"])
    assert (found.status, found.json["status"]) == (200, "PENDING")


@pytest.mark.parametrize(
    "fault", [wire.cannot_connect, wire.lose_request, wire.lose_response, wire.refuse("InternalServerError", 500)]
)
def test_a_failing_provider_ends_with_one_hold(world, api, fault):
    world.wire.on("dynamodb.*", fault, where=world.to_provider)

    assert [api.place(body()).status for _ in range(2)] == [503, 201]
    assert list(world.ledger().values()) == ["held"]


def test_the_provider_is_called_once_per_request(world, api):
    world.wire.always("dynamodb.*", wire.lose_request, where=world.to_provider)

    api.place(body())

    assert len([call for call in world.wire.calls if world.to_provider(call)]) == 1
