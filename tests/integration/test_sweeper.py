"""The sweeper: it finishes whatever was left half done, and says how old the oldest of it is."""

import pytest
from botocore.exceptions import ClientError

from tests.support import invariants, wire
from tests.support.account import STACK_NAME
from tests.support.wire import Crash
from tests.support.world import MUG, body

MINUTE = 60
HOUR = 60 * MINUTE


@pytest.fixture
def placed_unheard(world, api):
    """Places orders whose events the bus does not take; returns their ids."""

    def place(count):
        world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
        placed = [api.place(body(), key=f"key-{n}").json["orderId"] for n in range(count)]
        world.wire.heal()
        world.functions.stop("OrdersFunction")
        return placed

    return place


@pytest.fixture
def abandon(world, api):
    """Places an order and crashes at the nth of its calls; returns the order's id."""

    def crash(nth, fault=wire.crash_before, **values):
        api.get("/catalog")
        world.wire.on("*", fault, nth=nth)
        with pytest.raises(Crash):
            api.place(body(**values))
        world.wire.heal()
        (order,) = world.items("OrdersTable")
        return order["orderId"]

    return crash


@pytest.fixture
def pending(abandon):
    """An order that nobody works on any more; whether anything is held for it, nobody knows."""
    return abandon(2, wire.crash_after)


# --- nothing to do ----------------------------------------------------------------------------------------------------


def test_with_nothing_unfinished_a_sweep_is_one_look_at_each_shard(world, order_id):
    with world.wire.watched() as calls:
        report = world.sweep()

    assert [call.name for call in calls] == ["dynamodb.Query"] * 4 * 2  # shards of orders, and of customers
    assert set(report.values()) == {0}


def test_the_age_is_reported_also_when_nothing_is_unfinished(world, printed):
    printed()
    world.sweep()

    metric = printed()["UnfinishedAge"]
    assert (metric.unit, metric.dimensions, metric.values) == ("Seconds", {"service": STACK_NAME}, [0.0])


def test_the_age_is_that_of_the_oldest(world, placed_unheard, printed):
    placed_unheard(1)
    world.clock.forward(100)
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
    world.api("bob").place(body())
    world.clock.forward(200)
    printed()

    world.sweep()

    assert printed()["UnfinishedAge"].values == [300.0]


def test_a_run_that_fails_reports_what_it_did_and_no_age(world, placed_unheard, printed):
    # GIVEN an order to be swept, and a table that can't be read to its end
    placed_unheard(1)
    world.clock.forward(MINUTE)
    world.wire.on("dynamodb.Query", wire.refuse("AccessDeniedException"), nth=8)
    printed()

    # WHEN a run fails because of it
    with pytest.raises(ClientError):
        world.sweep()

    # THEN what it did is counted; nobody knows the age of what it did not see
    metrics = printed()
    assert metrics["EventsSwept"].values == [1.0]
    assert "UnfinishedAge" not in metrics


def test_every_run_reports_what_it_did(world, printed):
    printed()
    report = world.sweep()

    metrics = printed()
    assert report.keys() >= {"EventsSwept", "OrdersExpired", "PaymentsSettled", "PaymentsStuck", "SweepFailures"}
    assert report.keys() <= metrics.keys()
    assert all(metrics[name].dimensions == {"service": STACK_NAME} for name in report)


# --- events -----------------------------------------------------------------------------------------------------------


def test_a_new_order_is_left_to_its_own_request_for_a_minute(world, placed_unheard):
    placed_unheard(1)
    world.clock.forward(MINUTE - 1)
    assert world.sweep()["EventsSwept"] == 0

    world.clock.forward(1)
    assert world.sweep()["EventsSwept"] == 1


def test_events_left_behind_are_published_and_taken_out(world, placed_unheard):
    placed = placed_unheard(3)
    world.clock.forward(MINUTE)

    assert world.sweep()["EventsSwept"] == 3

    assert sorted(event["Detail"]["data"]["orderId"] for event in world.events()) == sorted(placed)
    invariants.nothing_is_unfinished(world)


def test_events_are_published_ten_a_call(world, order_id, placed_unheard):
    # GIVEN 23 orders in one shard
    (one,) = placed_unheard(1)
    order = world.order(one)
    for n in range(22):
        world.put("OrdersTable", order | {"orderId": f"ord_{n}"})
    world.clock.forward(MINUTE)

    # WHEN they are swept
    with world.wire.watched() as calls:
        world.sweep()

    # THEN the bus gets as many at once as it takes
    assert [len(call.request["Entries"]) for call in calls if call.operation == "PutEvents"] == [10, 10, 3]
    invariants.nothing_is_unfinished(world)


def test_a_slow_bus_is_waited_for(world):
    # Or what it takes would never be known as taken, and go out again with each sweep.
    client = world.functions.module("SweeperFunction")._bus._client

    assert client.meta.config.read_timeout >= 4


def test_one_orders_events_are_published_oldest_first(world, api, placed_unheard):
    # GIVEN an order that was placed and cancelled while the bus was dead
    (order_id,) = placed_unheard(1)
    world.wire.on("eventbridge.PutEvents", wire.cannot_connect)
    api.cancel(order_id)
    assert world.order(order_id)["outbox"].keys() == {"1", "2"}

    # WHEN it is swept
    world.clock.forward(MINUTE)
    world.sweep()

    # THEN the events come in their order
    assert world.event_types() == ["order_placed", "order_cancelled"]


def test_only_what_the_bus_took_is_taken_out(world, placed_unheard):
    # GIVEN a bus that refuses the second of three events
    (one,) = placed_unheard(1)
    order = world.order(one)
    for n in range(2):
        world.put("OrdersTable", order | {"orderId": f"ord_{n}"})
    world.clock.forward(MINUTE)
    some = {"FailedEntryCount": 1, "Entries": [{"EventId": "1"}, {"ErrorCode": "InternalFailure"}, {"EventId": "3"}]}
    world.wire.on("eventbridge.PutEvents", wire.answer(some))

    # WHEN they are swept
    report = world.sweep()

    # THEN the second stays, with its age, and is tried again
    assert (report["EventsSwept"], report["SweepFailures"]) == (2, 1)
    (left,) = [order for order in world.items("OrdersTable") if order["outbox"]]
    assert left["unfinishedSince"] == order["unfinishedSince"]
    world.clock.forward(MINUTE)
    assert world.sweep()["EventsSwept"] == 1


def test_of_one_orders_events_only_those_that_the_bus_took_are_taken_out(world, api, placed_unheard):
    (order_id,) = placed_unheard(1)
    world.wire.on("eventbridge.PutEvents", wire.cannot_connect)
    api.cancel(order_id)
    world.clock.forward(MINUTE)
    world.wire.on("eventbridge.PutEvents", wire.fail_first_entry)

    world.sweep()

    assert world.order(order_id)["outbox"].keys() == {"1"}


def test_an_event_that_could_not_be_taken_out_is_published_again(world, placed_unheard):
    placed_unheard(1)
    world.clock.forward(MINUTE)
    world.wire.on("dynamodb.UpdateItem", wire.refuse("AccessDeniedException"))

    assert world.sweep()["SweepFailures"] == 1
    world.clock.forward(4 * MINUTE)
    world.sweep()

    assert world.event_types() == ["order_placed", "order_placed"]
    invariants.nothing_is_unfinished(world)


def test_a_dead_bus_is_asked_once_a_run(world, placed_unheard):
    placed_unheard(5)
    world.clock.forward(MINUTE)
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)

    with world.wire.watched() as calls:
        world.sweep()

    assert len([call for call in calls if call.operation == "PutEvents"]) == 1


def test_a_dead_bus_puts_off_only_what_it_was_asked_to_take(world, placed_unheard):
    # GIVEN 23 orders in one shard, and a dead bus
    (one,) = placed_unheard(1)
    order = world.order(one)
    for n in range(22):
        world.put("OrdersTable", order | {"orderId": f"ord_{n}"})
    world.clock.forward(MINUTE)
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)

    # THEN the others cost no write, and are due in the next run
    assert world.sweep()["SweepFailures"] == 10


def test_a_dead_bus_does_not_hold_up_payments(world, api, order_id):
    # GIVEN a cancelled order whose event the bus did not take
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
    api.cancel(order_id)
    world.clock.forward(MINUTE)

    # WHEN it is swept
    report = world.sweep()

    # THEN its payment is voided all the same, and its event is kept
    assert report["PaymentsSettled"] == 1
    assert world.ledger() == {order_id: "void"}
    assert world.order(order_id)["outbox"].keys() == {"2"}
    assert "unfinished" in world.order(order_id)


def test_a_slow_table_does_not_let_events_hold_up_payments(world, due, placed_unheard):
    # GIVEN 150 events beside a payment that is due, and transactions that take 40 seconds each
    unheard = world.order(placed_unheard(1)[0]) | {"unfinished": world.order(due)["unfinished"]}
    for order_id in (unheard["orderId"], *(f"ord_{n}" for n in range(149))):
        world.put("OrdersTable", unheard | {"orderId": order_id})
    world.clock.forward(MINUTE)
    slow = wire.meanwhile(lambda: world.clock.forward(40))
    world.wire.always("dynamodb.TransactWriteItems", slow, where=world.touching("OrdersTable"))

    # WHEN they are swept
    report = world.sweep()

    # THEN events have their budget of 40 s, which one write uses up, and payments have theirs
    assert (report["EventsSwept"], report["PaymentsSettled"]) == (100, 1)


def test_no_more_orders_are_read_than_there_is_time_for(world, placed_unheard):
    # GIVEN 600 orders in one shard, and reads of a hundred that take 15 seconds each
    unheard = world.order(placed_unheard(1)[0])
    for n in range(599):
        world.put("OrdersTable", unheard | {"orderId": f"ord_{n}"})
    world.clock.forward(MINUTE)
    world.wire.always("dynamodb.BatchGetItem", wire.meanwhile(lambda: world.clock.forward(15)))

    # WHEN they are swept
    with world.wire.watched() as calls:
        report = world.sweep()

    # THEN three reads use up the 40 s for events, and two more the 20 s for payments
    assert report["EventsSwept"] == 200
    assert sum(call.operation == "BatchGetItem" for call in calls) == 5


def test_events_are_taken_out_in_one_write_unless_one_of_their_orders_has_changed(world, placed_unheard):
    # GIVEN 23 orders in one shard, one of which gets another event while the others are published
    unheard = world.order(placed_unheard(1)[0])
    for n in range(22):
        world.put("OrdersTable", unheard | {"orderId": f"ord_{n}"})
    world.clock.forward(MINUTE)
    changed = {"outbox": unheard["outbox"] | {"2": unheard["outbox"]["1"]}}
    add_one = wire.meanwhile(lambda: world.change("OrdersTable", {"orderId": "ord_7"}, **changed))
    world.wire.on("dynamodb.TransactWriteItems", add_one)

    # WHEN they are swept
    with world.wire.watched() as calls:
        world.sweep()

    # THEN all are taken out, and what was added stays for the next sweep
    assert [len(call.request["TransactItems"]) for call in calls if call.operation == "TransactWriteItems"] == [23]
    left = {order["orderId"]: order["outbox"].keys() for order in world.items("OrdersTable") if order["outbox"]}
    assert left == {"ord_7": {"2"}}
    world.clock.forward(MINUTE)
    with world.wire.watched() as calls:
        world.sweep()
    assert [call.operation for call in calls if call.operation not in {"Query", "BatchGetItem"}] == [
        "PutEvents",
        "UpdateItem",
    ]


def test_an_order_that_cannot_be_written_does_not_keep_the_others_of_its_write_in_the_outbox(world, placed_unheard):
    # GIVEN three orders in one shard, one of which DynamoDB refuses to write
    unheard = world.order(placed_unheard(1)[0])
    for n in range(2):
        world.put("OrdersTable", unheard | {"orderId": f"ord_{n}"})
    world.clock.forward(MINUTE)
    refused = "ord_0"
    reason = {"Code": "ValidationError", "Message": "Item size to update has exceeded the maximum allowed size"}

    def refuse_one(call, deliver):
        keys = [write["Update"]["Key"]["orderId"]["S"] for write in call.request["TransactItems"]]
        reasons = [reason if key == refused else {"Code": "None"} for key in keys]
        return wire.refuse("TransactionCanceledException", CancellationReasons=reasons)(call, deliver)

    world.wire.on("dynamodb.TransactWriteItems", refuse_one)
    world.wire.on(
        "dynamodb.UpdateItem",
        wire.refuse("ValidationException"),
        where=lambda call: call.request["Key"]["orderId"]["S"] == refused,
    )

    # WHEN they are swept
    report = world.sweep()
    (write,) = world.wire.named("dynamodb.TransactWriteItems")[1:]  # the first was the reservation
    assert len(write.request["TransactItems"]) == 3

    # THEN the others' events are taken out, and that one is put off
    assert (report["EventsSwept"], report["SweepFailures"]) == (3, 1)
    assert {order["orderId"] for order in world.items("OrdersTable") if order["outbox"]} == {refused}
    assert world.order(refused)["dueAt"] > world.clock.ms


def test_a_crash_after_publishing_publishes_again(world, placed_unheard):
    placed_unheard(1)
    world.clock.forward(MINUTE)
    world.wire.on("eventbridge.PutEvents", wire.crash_after)
    with pytest.raises(Crash):
        world.sweep()

    world.sweep()

    assert world.event_types() == ["order_placed", "order_placed"]
    invariants.nothing_is_unfinished(world)


# --- orders that nobody finishes --------------------------------------------------------------------------------------


def test_a_pending_order_is_given_up_after_ten_minutes_and_not_before(world, pending):
    world.clock.forward(10 * MINUTE - 1)
    world.sweep()
    assert world.order(pending)["status"] == "PENDING"
    assert world.available() == 9

    world.clock.forward(1)
    assert world.sweep()["OrdersExpired"] == 1
    assert world.order(pending)["status"] == "REJECTED"
    assert world.order(pending)["history"][-1]["reason"] == "expired"
    assert world.available() == 10


def test_a_look_at_a_pending_order_moves_its_next_look_and_not_its_age(world, pending):
    before = world.order(pending)
    world.clock.forward(MINUTE)
    world.sweep()

    after = world.order(pending)
    assert after["dueAt"] == before["expiresAt"]
    assert after == before | {"dueAt": before["expiresAt"]}


def test_the_stock_goes_back_in_the_write_that_gives_the_order_up(world, pending):
    world.clock.forward(10 * MINUTE)
    with world.wire.watched() as calls:
        world.sweep()

    (write,) = [call for call in calls if world.table("ProductsTable") in call.tables]
    assert write.tables == {world.table("OrdersTable"), world.table("ProductsTable")}


def test_an_order_that_is_finished_just_before_it_is_put_off_stays_finished(world, api, pending):
    # GIVEN a client that comes back between the sweeper's look and its write
    world.clock.forward(MINUTE)
    world.wire.on("dynamodb.UpdateItem", wire.meanwhile(lambda: api.place(body())))

    # WHEN the order is swept
    world.sweep()

    # THEN it has no place in the index, nor part of one
    assert world.order(pending)["status"] == "PLACED"
    assert not {"unfinished", "dueAt", "unfinishedSince"} & world.order(pending).keys()


def test_an_order_under_a_live_lease_is_not_given_up(world, pending):
    # GIVEN an order that is due, and on which somebody has begun to work again just now
    world.clock.forward(10 * MINUTE)
    world.change("OrdersTable", {"orderId": pending}, leaseUntil=world.clock.ms + 1)

    # WHEN it is swept
    world.sweep()

    # THEN it is left alone until the lease is over
    assert world.order(pending)["status"] == "PENDING"
    world.clock.forward(1)
    world.sweep()
    assert world.order(pending)["status"] == "REJECTED"


def test_an_order_that_is_resumed_has_ten_more_minutes(world, api, pending):
    world.clock.forward(9 * MINUTE)
    world.wire.on("dynamodb.*", wire.crash_before, where=world.to_provider)
    with pytest.raises(Crash):
        api.place(body())

    world.clock.forward(5 * MINUTE)
    world.sweep()

    assert world.order(pending)["status"] == "PENDING"


def test_an_order_that_is_resumed_while_it_is_given_up_is_not_given_up(world, api, pending):
    # GIVEN a client that comes back between the sweeper's look and its write
    world.clock.forward(10 * MINUTE)
    answers = []
    world.wire.on("dynamodb.TransactWriteItems", wire.meanwhile(lambda: answers.append(api.place(body()))))

    # WHEN the order is swept
    report = world.sweep()

    # THEN the client has the order
    assert [answer.status for answer in answers] == [201]
    assert (report["OrdersExpired"], world.order(pending)["status"]) == (0, "PLACED")
    world.settle_down(2)
    invariants.check(world, {MUG: 10})


def test_a_hold_that_may_exist_is_voided(world, pending):
    assert world.ledger() == {pending: "held"}

    world.clock.forward(10 * MINUTE)
    world.sweep()

    assert world.ledger() == {pending: "void"}
    assert world.order(pending)["payment"]["state"] == "voided"
    invariants.nothing_is_unfinished(world)


def test_an_order_for_which_the_provider_was_never_asked_is_closed_for_late_requests(world, abandon):
    order_id = abandon(2, wire.crash_before)
    assert world.ledger() == {}

    world.clock.forward(10 * MINUTE)
    world.sweep()

    assert world.ledger() == {order_id: "void"}
    invariants.check(world, {MUG: 10})


def test_an_order_whose_payment_is_declined_late_has_nothing_to_void(world, abandon):
    order_id = abandon(2, token="tok_decline")

    world.clock.forward(10 * MINUTE)
    world.sweep()

    order = world.order(order_id)
    assert order["payment"] == {"state": "voided", "reason": "nothing was held"}
    invariants.check(world, {MUG: 10})


def test_what_the_provider_does_not_say_for_certain_stays_due(world, abandon):
    # GIVEN an order with a token whose first request the provider loses
    order_id = abandon(2, token="tok_timeout")
    world.clock.forward(10 * MINUTE)

    # WHEN the sweeper asks, and gets no answer
    report = world.sweep()

    # THEN the order is given up, and its payment is still due
    assert (report["OrdersExpired"], report["PaymentsSettled"], report["SweepFailures"]) == (1, 0, 1)
    assert world.order(order_id)["paymentDue"]["action"] == "void"

    # AND the next look settles it
    world.clock.forward(4 * MINUTE)
    assert world.sweep()["PaymentsSettled"] == 1
    invariants.check(world, {MUG: 10})


# --- payments ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def due(world, api, order_id):
    """A cancelled order whose consumer never hears of it: its payment is due."""
    api.cancel(order_id)
    for queue in ("FulfillmentQueue", "EmailsQueue", "AnalyticsQueue"):
        world.client("sqs").purge_queue(QueueUrl=world.stack.resource(queue).ref)
    return order_id


def test_a_payment_that_is_due_is_settled(world, due):
    world.clock.forward(MINUTE)

    assert world.sweep()["PaymentsSettled"] == 1

    assert world.ledger() == {due: "void"}
    invariants.nothing_is_unfinished(world)


def test_a_capture_that_is_due_is_made_and_releases_the_shipment(world, order_id):
    world.wire.on("eventbridge.PutEvents", wire.lose_request)
    world.queues.deliver("FulfillmentFunction")
    world.clock.forward(MINUTE)

    world.sweep()

    assert world.ledger() == {order_id: "capture"}
    assert world.item("ShipmentsTable", orderId=order_id)["state"] == "released"
    invariants.nothing_is_unfinished(world)


def test_a_refusal_of_the_providers_is_counted_for_a_human(world, due):
    # GIVEN a hold that somebody else has captured
    world.change("SandboxTable", {"key": f"{due}:authorise"}, state="capture")
    world.clock.forward(MINUTE)

    # THEN the void that is due is refused for good, and counted
    assert world.sweep()["PaymentsFailed"] == 1
    assert world.order(due)["payment"]["state"] == "failed"


def test_a_provider_that_fails_is_asked_later_and_later_and_the_age_goes_on(world, due):
    # GIVEN a provider that does not answer
    world.wire.always("dynamodb.TransactWriteItems", wire.lose_request, where=world.to_provider)
    since = world.order(due)["unfinishedSince"]

    # WHEN it is asked for half an hour
    pauses = []
    for _ in range(30):
        world.clock.forward(MINUTE)
        if world.sweep()["SweepFailures"]:
            pauses.append(world.order(due)["dueAt"] - world.clock.ms)

    # THEN the pauses grow up to three minutes, and the order is as old as ever
    assert pauses[:3] == [60_000, 120_000, 180_000]
    assert set(pauses[3:]) == {180_000}
    assert world.order(due)["unfinishedSince"] == since


def test_a_dead_provider_does_not_hold_up_events(world, due, placed_unheard):
    # GIVEN forty payments that are due, a provider that hangs, and events left behind in every shard
    order = world.order(due)
    for n in range(40):
        world.put("OrdersTable", order | {"orderId": f"ord_{n}", "unfinished": n % 4})
    unheard = world.order(placed_unheard(2)[1])
    for shard in range(4):
        world.put("OrdersTable", unheard | {"orderId": f"ord_unheard_{shard}", "unfinished": shard})
    world.clock.forward(MINUTE)

    def hang(call, deliver):
        world.clock.forward(3)
        return wire.lose_request(call, deliver)

    world.wire.always("dynamodb.*", hang, where=world.to_provider)

    # WHEN they are swept
    with world.wire.watched() as calls:
        world.sweep()

    # THEN the provider is given up after its budget of 20 s, and the events are all out
    assert len([call for call in calls if world.to_provider(call)]) == 7
    assert not [order for order in world.items("OrdersTable") if order["outbox"]]


def test_what_stays_unknown_for_23_hours_is_counted_for_a_human(world, due, printed):
    world.wire.always("dynamodb.TransactWriteItems", wire.lose_request, where=world.to_provider)
    world.clock.forward(23 * 3600)
    assert world.sweep()["PaymentsStuck"] == 0

    world.clock.forward(5 * MINUTE)
    printed()
    assert world.sweep()["PaymentsStuck"] == 1
    assert printed()["PaymentsStuck"].values == [1.0]


def test_a_hold_that_is_not_captured_by_half_its_life_is_counted_until_it_is(world, order_id, printed):
    # GIVEN a packed order whose hold lasts a week, and a provider that does not answer
    week = 7 * 24 * HOUR
    payment = world.order(order_id)["payment"] | {"expiresAt": world.clock.ms + week * 1000}
    world.change("OrdersTable", {"orderId": order_id}, payment=payment)
    world.wire.always("dynamodb.TransactWriteItems", wire.lose_request, where=world.to_provider)
    world.queues.until_quiet()
    world.clock.forward(week / 2 - HOUR)
    assert world.sweep()["HoldsExpiring"] == 0

    # WHEN half of the week is over
    world.clock.forward(HOUR)
    printed()
    assert world.sweep()["HoldsExpiring"] == 1
    assert printed()["HoldsExpiring"].values == [1.0]

    # THEN it is counted in every run that looks at it, until it is captured
    world.wire.heal()
    world.clock.forward(5 * MINUTE)
    world.sweep()
    world.clock.forward(5 * MINUTE)
    assert world.sweep()["HoldsExpiring"] == 0
    assert world.ledger() == {order_id: "capture"}


def test_a_crash_after_settling_settles_once(world, due):
    world.clock.forward(MINUTE)
    world.wire.on("dynamodb.TransactWriteItems", wire.crash_after, where=world.to_provider)
    with pytest.raises(Crash):
        world.sweep()

    world.sweep()

    assert world.ledger() == {due: "void"}
    invariants.nothing_is_unfinished(world)


# --- more than one, and more than enough ------------------------------------------------------------------------------


def test_two_sweeps_in_a_row_do_no_harm(world, pending, placed_unheard):
    placed_unheard(3)
    world.clock.forward(10 * MINUTE)

    world.sweep()
    second = world.sweep()

    assert set(second.values()) == {0}
    world.settle_down(2)
    invariants.check(world, {MUG: 10})


@pytest.mark.parametrize("nth", range(1, 15))
def test_two_sweeps_at_the_same_time_do_no_harm(world, pending, due_of_bob, nth):
    # GIVEN an order to expire, and one to announce and to void
    world.clock.forward(10 * MINUTE)

    # WHEN a second sweep runs in the middle of the first
    reports = []
    world.wire.on("*", wire.meanwhile(lambda: reports.append(world.sweep())), nth=nth)
    reports.append(world.sweep())

    # THEN it is as if there had been one
    assert len(reports) == 2
    world.settle_down(2)
    invariants.check(world, {MUG: 10})


@pytest.fixture
def due_of_bob(world):
    """A cancelled order of Bob's, of which the bus has heard nothing."""
    bob = world.api("bob")
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
    order_id = bob.place(body()).json["orderId"]
    bob.cancel(order_id)
    world.wire.heal()
    return order_id


def test_an_index_entry_of_a_finished_order_is_taken_out(world, order_id):
    # GIVEN an index entry that is only a hint, and wrong
    world.change(
        "OrdersTable", {"orderId": order_id}, unfinished=0, dueAt=world.clock.ms, unfinishedSince=world.clock.ms
    )

    # WHEN it is swept
    world.sweep()

    # THEN it is gone
    invariants.nothing_is_unfinished(world)


def test_an_order_that_changes_just_before_its_index_entry_is_taken_out_keeps_it(world, api, order_id):
    # GIVEN an index entry that is wrong, and a cancellation that makes it right before it is taken out
    world.change(
        "OrdersTable", {"orderId": order_id}, unfinished=0, dueAt=world.clock.ms, unfinishedSince=world.clock.ms
    )
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
    world.wire.on("dynamodb.UpdateItem", wire.meanwhile(lambda: api.cancel(order_id)))

    # WHEN it is swept
    world.sweep()

    # THEN the sweeper will find its event and its payment
    assert world.order(order_id)["outbox"].keys() == {"2"}
    assert {"unfinished", "dueAt", "unfinishedSince"} <= world.order(order_id).keys()


@pytest.mark.parametrize(
    "fault",
    [wire.refuse("AccessDeniedException"), wire.lose_request, wire.refuse("InternalServerError", 500)],
    ids=["refused", "silent", "broken"],
)
def test_an_order_that_cannot_be_written_does_not_hold_up_the_others(world, due, fault):
    # GIVEN two orders whose payments are due, and writes to one of them that always fail
    world.put("OrdersTable", world.order(due) | {"orderId": "ord_other"})
    world.wire.always("dynamodb.UpdateItem", fault, where=lambda call: _is_about(call, due))
    world.clock.forward(MINUTE)

    # WHEN they are swept
    world.sweep()

    # THEN the other is finished
    assert [order["orderId"] for order in world.items("OrdersTable") if "paymentDue" in order] == [due]


def test_an_order_that_cannot_be_read_does_not_hold_up_the_others(world, due):
    # GIVEN an item that is no order, in the same place of the index as an order whose payment is due
    shard, due_at = world.order(due)["unfinished"], world.order(due)["dueAt"]
    hint = {"orderId": "ord_broken", "unfinished": shard, "dueAt": due_at, "unfinishedSince": due_at}
    world.put("OrdersTable", hint)
    world.clock.forward(MINUTE)

    # WHEN they are swept
    world.sweep()

    # THEN the order is finished, and the item is looked at later
    assert "paymentDue" not in world.order(due)
    assert world.item("OrdersTable", orderId="ord_broken") == hint | {"dueAt": world.clock.ms + 60_000}


def test_an_order_whose_product_is_gone_does_not_hold_up_the_others(world, pending, due_of_bob):
    world.client("dynamodb").delete_item(TableName=world.table("ProductsTable"), Key={"sku": {"S": MUG}})
    world.change("OrdersTable", {"orderId": pending}, unfinished=world.order(due_of_bob)["unfinished"])
    world.clock.forward(10 * MINUTE)

    world.sweep()

    assert "paymentDue" not in world.order(due_of_bob)


def _is_about(call, order_id):
    return call.request.get("Key", {}).get("orderId") == {"S": order_id}
