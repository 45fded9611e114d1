"""Canceling an order: outcomes and permissions."""

import pytest

from dev.simulated import wire
from dev.simulated.wire import Crash
from dev.simulated.world import MUG, TEE, body
from tests.support import invariants


@pytest.fixture
def order_id(world, api):
    """A placed order of two mugs and a tee."""
    world.stock(TEE)
    return api.place(body((MUG, 2), (TEE, 1))).json["orderId"]


def test_a_canceled_order_is_returned_in_its_new_state(api, order_id):
    answer = api.cancel(order_id)

    assert (answer.status, answer.json["status"], answer.json["sequence"]) == (200, "CANCELLED", 2)
    assert [entry["status"] for entry in answer.json["history"]] == ["PENDING", "PLACED", "CANCELLED"]


def test_canceling_returns_the_stock_in_the_same_write(world, api, order_id):
    with world.wire.watched() as calls:
        api.cancel(order_id)

    (cancelling,) = [call for call in calls if call.operation == "TransactWriteItems"]
    assert cancelling.tables == {
        world.table(name) for name in ("OrdersTable", "ProductsTable", "ShipmentsTable", "LimitsTable")
    }
    assert (world.available(MUG), world.available(TEE)) == (10, 10)


def test_a_cancellation_is_published(world, api, order_id):
    api.cancel(order_id)

    assert world.event_types() == ["order_placed", "order_cancelled"]
    assert world.events()[-1]["Detail"]["metadata"]["sequence"] == 2


def test_a_canceled_order_is_voided_and_not_shipped(world, api, order_id):
    api.cancel(order_id)
    world.queues.until_quiet()

    assert world.ledger() == {order_id: "void"}
    assert world.items("ShipmentsTable") == []
    assert world.order(order_id)["payment"]["state"] == "voided"
    invariants.check(world, {MUG: 10, TEE: 10})


def test_canceling_is_idempotent(world, api, order_id):
    first, second = api.cancel(order_id), api.cancel(order_id)

    assert (second.status, second.json) == (200, first.json)
    assert world.event_types().count("order_cancelled") == 1
    assert world.available(MUG) == 10


def test_a_prepared_order_cannot_be_canceled(world, api, order_id):
    world.queues.until_quiet()

    answer = api.cancel(order_id)

    assert (answer.status, answer.problem, answer.json["orderId"]) == (409, "not-cancellable", order_id)
    assert world.available(MUG) == 8


def test_preparing_wins_over_a_concurrent_cancellation(world, api, order_id):
    # GIVEN a cancellation that has read the order before fulfillment prepares it
    world.wire.on(
        "dynamodb.TransactWriteItems", wire.meanwhile(lambda: world.queues.until_quiet("FulfillmentFunction"))
    )

    # WHEN it continues
    answer = api.cancel(order_id)

    # THEN it is too late
    assert (answer.status, answer.problem) == (409, "not-cancellable")
    world.queues.until_quiet()
    invariants.check(world, {MUG: 10, TEE: 10})


def test_a_cancellation_wins_over_concurrent_preparing(world, api, order_id):
    # GIVEN a fulfillment that has read the order before it is canceled
    cancel = wire.meanwhile(lambda: api.cancel(order_id))
    world.wire.on("dynamodb.TransactWriteItems", cancel, where=world.touching("ShipmentsTable"))

    # WHEN it continues
    world.settle_down(2)

    # THEN nothing is shipped or charged
    assert world.ledger() == {order_id: "void"}
    invariants.check(world, {MUG: 10, TEE: 10})


def test_two_concurrent_cancellations_return_the_stock_once(world, api, order_id):
    answers = []
    world.wire.on("dynamodb.TransactWriteItems", wire.meanwhile(lambda: answers.append(api.cancel(order_id))))

    answers.append(api.cancel(order_id))

    assert [answer.status for answer in answers] == [200, 200]
    assert (world.available(MUG), world.available(TEE)) == (10, 10)


def test_a_cancellation_during_publishing_keeps_the_index_entry(world, api):
    # GIVEN an unpublished cancellation between publishing the order's event and removing it
    def cancel():
        world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
        (order,) = world.items("OrdersTable")
        api.cancel(order["orderId"])

    clearing = wire.meanwhile(cancel)
    world.wire.on(
        "dynamodb.UpdateItem", clearing, where=lambda call: "REMOVE #outbox" in call.request["UpdateExpression"]
    )

    # WHEN the order is placed
    order = world.order(api.place(body()).json["orderId"])

    # THEN the sweeper finds the cancellation's event and the payment later
    assert order["outbox"].keys() == {"2"}
    assert {"unfinished", "dueAt", "unfinishedSince", "paymentDue"} <= order.keys()


@pytest.fixture
def unpublished(world, api):
    """A placed order with an unpublished event; the bus works again."""
    world.wire.on("eventbridge.PutEvents", wire.cannot_connect)
    order_id = api.place(body()).json["orderId"]
    world.functions.stop("OrdersFunction")
    return order_id


def test_canceling_leaves_a_recent_event_to_its_own_writer(world, api, unpublished):
    api.cancel(unpublished)

    assert [event["DetailType"] for event in world.events()] == ["order_cancelled"]
    assert world.order(unpublished)["outbox"].keys() == {"1"}


def test_canceling_removes_only_published_events(world, api, unpublished):
    world.clock.forward(60)
    world.wire.on("eventbridge.PutEvents", wire.fail_first_entry)

    api.cancel(unpublished)

    assert world.order(unpublished)["outbox"].keys() == {"1"}


def test_events_that_cannot_be_removed_do_not_change_the_response(world, api, unpublished):
    world.wire.on("dynamodb.UpdateItem", wire.refuse("AccessDeniedException"))

    assert api.cancel(unpublished).status == 200

    assert world.order(unpublished)["outbox"].keys() == {"1", "2"}


def test_a_cancellation_keeps_the_age_of_unfinished_work(world, api):
    # GIVEN an order with an unpublished event
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
    order_id = api.place(body()).json["orderId"]
    since = world.order(order_id)["unfinishedSince"]

    # WHEN it is canceled later
    world.clock.forward(30)
    api.cancel(order_id)

    # THEN it has been unfinished since it was placed
    assert world.order(order_id)["unfinishedSince"] == since


def test_an_order_in_progress_cannot_be_canceled_yet(world, api):
    world.wire.on("dynamodb.*", wire.crash_before, where=world.to_provider)
    with pytest.raises(Crash):
        api.place(body())
    (order,) = world.items("OrdersTable")

    answer = api.cancel(order["orderId"])

    assert (answer.status, answer.problem, answer.headers["retry-after"]) == (409, "in-progress", "25")
    assert answer.json["detail"] == "The order is still being placed. Retry the same request in 25 s."


@pytest.fixture
def abandoned(api, world):
    """A PENDING order whose request returned 503 and released the lease."""
    order_id = api.place(body((MUG, 2), token="tok_timeout")).json["orderId"]
    world.clock.forward(1)
    return order_id


def test_an_abandoned_order_is_canceled_at_once(world, api, abandoned):
    answer = api.cancel(abandoned)

    assert (answer.status, answer.json["status"], answer.json["history"][-1]["reason"]) == (
        200,
        "REJECTED",
        "abandoned",
    )
    assert (world.available(MUG), world.event_types()) == (10, [])
    world.settle_down()
    assert world.order(abandoned)["payment"]["state"] == "voided"
    invariants.check(world, {MUG: 10})


def test_canceling_an_abandoned_order_is_idempotent(world, api, abandoned):
    first, second = api.cancel(abandoned), api.cancel(abandoned)

    assert (second.status, second.json) == (200, first.json)
    assert world.available(MUG) == 10


def test_the_key_of_an_abandoned_order_says_that_it_was_canceled(api, abandoned):
    api.cancel(abandoned)

    answer = api.place(body((MUG, 2), token="tok_timeout"))

    assert (answer.status, answer.problem, answer.json["orderId"]) == (409, "order-abandoned", abandoned)


def test_an_order_whose_request_died_is_canceled_after_its_lease(world, api):
    world.wire.on("dynamodb.*", wire.crash_before, where=world.to_provider)
    with pytest.raises(Crash):
        api.place(body())
    (order,) = world.items("OrdersTable")

    assert api.cancel(order["orderId"]).problem == "in-progress"
    world.clock.forward(25)

    assert api.cancel(order["orderId"]).json["status"] == "REJECTED"


def test_a_resumed_order_wins_over_a_concurrent_cancellation(world, api, abandoned):
    # GIVEN a cancellation that has read the order before a request with the same key resumes and places it
    resume = wire.meanwhile(lambda: api.place(body((MUG, 2), token="tok_timeout")))
    world.wire.on("dynamodb.TransactWriteItems", resume)

    # WHEN it continues
    answer = api.cancel(abandoned)

    # THEN it cancels the placed order
    assert (answer.status, answer.json["status"]) == (200, "CANCELLED")
    world.settle_down()
    invariants.check(world, {MUG: 10})


def test_a_rejected_order_cannot_be_canceled(api):
    declined = api.place(body(token="tok_decline"))

    assert api.cancel(declined.json["orderId"]).problem == "not-cancellable"


def test_the_order_of_another_user_is_not_found_for_canceling(world, order_id):
    answer = world.api("bob").cancel(order_id)

    assert (answer.status, answer.problem) == (404, "no-such-order")
    assert world.order(order_id)["status"] == "PLACED"


def test_a_cancellation_under_contention_is_503_and_changes_nothing(world, api, order_id):
    reasons = [{"Code": "TransactionConflict"}, {"Code": "None"}, {"Code": "None"}]
    world.wire.always(
        "dynamodb.TransactWriteItems", wire.refuse("TransactionCanceledException", CancellationReasons=reasons)
    )

    answer = api.cancel(order_id)

    assert (answer.status, answer.problem) == (503, "try-later")
    assert answer.json["detail"] == (
        "Too many concurrent updates. Retry the same request, with the same Idempotency-Key if it has one."
    )
    assert world.order(order_id)["status"] == "PLACED"


def test_the_sweeper_publishes_an_unpublished_cancellation(world, api, order_id):
    world.wire.on("eventbridge.PutEvents", wire.lose_request)

    assert api.cancel(order_id).status == 200
    assert world.order(order_id)["outbox"].keys() == {"2"}
    world.settle_down(2)
    invariants.check(world, {MUG: 10, TEE: 10})
