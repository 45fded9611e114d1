"""The sweeper finishes unfinished work and reports the age of the oldest."""

import json

import pytest
from botocore.exceptions import ClientError

from dev.simulated import wire
from dev.simulated.account import STACK_NAME
from dev.simulated.wire import Crash
from dev.simulated.world import MUG, body
from handoff.unfinished import INDEX_KEYS
from shop import event_cursor
from tests.support import invariants

MINUTE = 60
HOUR = 60 * MINUTE


@pytest.fixture
def placed_unpublished(world, api):
    """Place orders whose events are not published; return their ids."""

    def place(count):
        world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
        placed = [api.place(body(), key=f"key-{n}").json["orderId"] for n in range(count)]
        world.wire.heal()
        world.functions.stop("OrdersFunction")
        return placed

    return place


@pytest.fixture
def abandon(world, api):
    """Place an order and crash at its nth call; return the order's id."""

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
    """An abandoned order whose payment state is unknown."""
    return abandon(2, wire.crash_after)


@pytest.fixture
def not_polling(world):
    """The provider was asked for its events a moment ago, so the sweeper does not ask now."""
    world.put(
        "LimitsTable", {"id": event_cursor.ITEM, "askedAt": world.clock.ms + HOUR * 1000, "until": world.clock.ms}
    )


# --- nothing to do ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("not_polling")
def test_an_idle_sweep_queries_each_shard_and_the_open_shipments_once(world, order_id):
    with world.wire.watched() as calls:
        report = world.sweep()

    queries = ["dynamodb.Query"] * (4 * 2 + 1)  # shards of orders and of customers, and open shipments
    assert [call.name for call in calls] == [*queries, "dynamodb.UpdateItem"]  # of the time to ask the provider
    assert set(report.values()) == {0}


def test_the_age_is_reported_when_nothing_is_unfinished(world, printed):
    printed()
    world.sweep()

    metric = printed()["UnfinishedAge"]
    assert (metric.unit, metric.dimensions, metric.values) == ("Seconds", {"service": STACK_NAME}, [0.0])


def test_the_age_is_that_of_the_oldest_unfinished_work(world, placed_unpublished, printed):
    placed_unpublished(1)
    world.clock.forward(100)
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
    world.api("bob").place(body())
    world.clock.forward(200)
    printed()

    world.sweep()

    assert printed()["UnfinishedAge"].values == [300.0]


def test_a_failed_run_reports_its_counts_and_no_age(world, placed_unpublished, printed):
    # GIVEN an order to sweep, and a table that cannot be read completely
    placed_unpublished(1)
    world.clock.forward(MINUTE)
    world.wire.on("dynamodb.Query", wire.refuse("AccessDeniedException"), nth=8)
    printed()

    # WHEN a run fails at it
    with pytest.raises(ClientError):
        world.sweep()

    # THEN its counts are reported, but no age, because unread orders may be older
    metrics = printed()
    assert metrics["EventsSwept"].values == [1.0]
    assert "UnfinishedAge" not in metrics


def test_every_run_reports_its_counts(world, printed):
    printed()
    report = world.sweep()

    metrics = printed()
    assert report.keys() >= {"EventsSwept", "OrdersExpired", "PaymentsSettled", "PaymentsStuck", "SweepFailures"}
    assert report.keys() <= metrics.keys()
    assert all(metrics[name].dimensions == {"service": STACK_NAME} for name in report)


# --- events -----------------------------------------------------------------------------------------------------------


def test_a_new_order_is_left_to_its_request_for_a_minute(world, placed_unpublished):
    placed_unpublished(1)
    world.clock.forward(MINUTE - 1)
    assert world.sweep()["EventsSwept"] == 0

    world.clock.forward(1)
    assert world.sweep()["EventsSwept"] == 1


def test_unpublished_events_are_published_and_removed(world, placed_unpublished):
    placed = placed_unpublished(3)
    world.clock.forward(MINUTE)

    assert world.sweep()["EventsSwept"] == 3

    assert sorted(event["Detail"]["data"]["orderId"] for event in world.events()) == sorted(placed)
    invariants.nothing_is_unfinished(world)


def test_events_are_published_in_calls_of_ten(world, order_id, placed_unpublished):
    # GIVEN 23 orders in one shard
    (one,) = placed_unpublished(1)
    order = world.order(one)
    for n in range(22):
        world.put("OrdersTable", order | {"orderId": f"ord_{n}"})
    world.clock.forward(MINUTE)

    # WHEN they are swept
    with world.wire.watched() as calls:
        world.sweep()

    # THEN each call has as many events as the bus accepts
    assert [len(call.request["Entries"]) for call in calls if call.operation == "PutEvents"] == [10, 10, 3]
    invariants.nothing_is_unfinished(world)


def test_a_slow_bus_gets_time_to_answer(world):
    # With a short timeout, events accepted by a slow bus would be published again by each sweep.
    client = world.functions.module("SweeperFunction")._bus._client

    assert client.meta.config.read_timeout >= 4


def test_one_orders_events_are_published_oldest_first(world, api, placed_unpublished):
    # GIVEN an order that was placed and canceled while the bus was down
    (order_id,) = placed_unpublished(1)
    world.wire.on("eventbridge.PutEvents", wire.cannot_connect)
    api.cancel(order_id)
    assert world.order(order_id)["outbox"].keys() == {"1", "2"}

    # WHEN it is swept
    world.clock.forward(MINUTE)
    world.sweep()

    # THEN the events are published in order
    assert world.event_types() == ["order_placed", "order_cancelled"]


def test_only_published_events_are_removed(world, placed_unpublished):
    # GIVEN a bus that rejects the second of three events
    (one,) = placed_unpublished(1)
    order = world.order(one)
    for n in range(2):
        world.put("OrdersTable", order | {"orderId": f"ord_{n}"})
    world.clock.forward(MINUTE)
    some = {"FailedEntryCount": 1, "Entries": [{"EventId": "1"}, {"ErrorCode": "InternalFailure"}, {"EventId": "3"}]}
    world.wire.on("eventbridge.PutEvents", wire.answer(some))

    # WHEN they are swept
    report = world.sweep()

    # THEN the second stays, with its age, and is retried
    assert (report["EventsSwept"], report["SweepFailures"]) == (2, 1)
    (left,) = [order for order in world.items("OrdersTable") if order["outbox"]]
    assert left["unfinishedSince"] == order["unfinishedSince"]
    world.clock.forward(MINUTE)
    assert world.sweep()["EventsSwept"] == 1


def test_only_published_events_of_one_order_are_removed(world, api, placed_unpublished):
    (order_id,) = placed_unpublished(1)
    world.wire.on("eventbridge.PutEvents", wire.cannot_connect)
    api.cancel(order_id)
    world.clock.forward(MINUTE)
    world.wire.on("eventbridge.PutEvents", wire.fail_first_entry)

    world.sweep()

    assert world.order(order_id)["outbox"].keys() == {"1"}


def test_an_event_that_could_not_be_removed_is_published_again(world, placed_unpublished):
    placed_unpublished(1)
    world.clock.forward(MINUTE)
    world.wire.on("dynamodb.UpdateItem", wire.refuse("AccessDeniedException"))

    assert world.sweep()["SweepFailures"] == 1
    world.clock.forward(4 * MINUTE)
    world.sweep()

    assert world.event_types() == ["order_placed", "order_placed"]
    invariants.nothing_is_unfinished(world)


@pytest.fixture
def three_unpublished(world, placed_unpublished):
    """Three orders in one shard whose events are due."""
    unheard = world.order(placed_unpublished(1)[0])
    for n in range(2):
        world.put("OrdersTable", unheard | {"orderId": f"ord_{n}"})
    world.clock.forward(MINUTE)


@pytest.mark.usefixtures("three_unpublished")
def test_what_the_bus_throttles_is_retried_in_the_same_run(world):
    # GIVEN a bus that throttles a call, and then one of its events
    throttled = {"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"}
    some = {"FailedEntryCount": 1, "Entries": [{"EventId": "1"}, throttled, {"EventId": "3"}]}
    world.wire.on("eventbridge.PutEvents", wire.refuse("ThrottlingException"))
    world.wire.on("eventbridge.PutEvents", wire.answer(some), nth=2)

    # WHEN they are swept
    with world.wire.watched() as calls:
        report = world.sweep()

    # THEN each event is accepted once
    assert [len(call.request["Entries"]) for call in calls if call.operation == "PutEvents"] == [3, 3, 1]
    assert (report["EventsSwept"], report["SweepFailures"]) == (3, 0)
    invariants.nothing_is_unfinished(world)


@pytest.mark.usefixtures("three_unpublished")
def test_a_bus_that_keeps_throttling_is_left_alone(world):
    world.wire.always("eventbridge.PutEvents", wire.refuse("ThrottlingException"))
    began = world.clock.ms

    with world.wire.watched() as calls:
        report = world.sweep()

    assert (report["EventsSwept"], report["SweepFailures"]) == (0, 3)
    assert 1 < [call.operation for call in calls].count("PutEvents") < 8
    assert world.clock.ms - began < 4_000


def test_a_broken_bus_is_called_once_per_run(world, placed_unpublished):
    placed_unpublished(5)
    world.clock.forward(MINUTE)
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)

    with world.wire.watched() as calls:
        world.sweep()

    assert len([call for call in calls if call.operation == "PutEvents"]) == 1


def test_a_broken_bus_reschedules_only_the_events_of_its_call(world, placed_unpublished):
    # GIVEN 23 orders in one shard, and a broken bus
    (one,) = placed_unpublished(1)
    order = world.order(one)
    for n in range(22):
        world.put("OrdersTable", order | {"orderId": f"ord_{n}"})
    world.clock.forward(MINUTE)
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)

    # THEN the others are not written, and are due in the next run
    assert world.sweep()["SweepFailures"] == 10


def test_a_broken_bus_does_not_delay_payments(world, api, order_id):
    # GIVEN a canceled order with an unpublished event
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
    api.cancel(order_id)
    world.clock.forward(MINUTE)

    # WHEN it is swept
    report = world.sweep()

    # THEN its payment is voided, and its event is kept
    assert report["PaymentsSettled"] == 1
    assert world.ledger() == {order_id: "void"}
    assert world.order(order_id)["outbox"].keys() == {"2"}
    assert "unfinished" in world.order(order_id)


def test_events_do_not_delay_payments_on_a_slow_table(world, due, placed_unpublished):
    # GIVEN 150 events, a due payment, and transactions that take 40 seconds each
    unheard = world.order(placed_unpublished(1)[0]) | {"unfinished": world.order(due)["unfinished"]}
    for order_id in (unheard["orderId"], *(f"ord_{n}" for n in range(149))):
        world.put("OrdersTable", unheard | {"orderId": order_id})
    world.clock.forward(MINUTE)
    slow = wire.meanwhile(lambda: world.clock.forward(40))
    world.wire.always("dynamodb.TransactWriteItems", slow, where=world.touching("OrdersTable"))

    # WHEN they are swept
    report = world.sweep()

    # THEN one write uses up the 40 s for events, and payments have a separate budget
    assert (report["EventsSwept"], report["PaymentsSettled"]) == (100, 1)


@pytest.mark.usefixtures("not_polling")
def test_no_more_orders_are_read_than_time_allows(world, placed_unpublished):
    # GIVEN 600 orders in one shard, and reads of a hundred that take 15 seconds each
    unheard = world.order(placed_unpublished(1)[0])
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


@pytest.mark.usefixtures("not_polling")
def test_events_are_removed_in_one_write_unless_an_order_changed(world, placed_unpublished):
    # GIVEN 23 orders in one shard, one of which gets another event during publishing
    unheard = world.order(placed_unpublished(1)[0])
    for n in range(22):
        world.put("OrdersTable", unheard | {"orderId": f"ord_{n}"})
    world.clock.forward(MINUTE)
    changed = {"outbox": unheard["outbox"] | {"2": unheard["outbox"]["1"]}}
    add_one = wire.meanwhile(lambda: world.change("OrdersTable", {"orderId": "ord_7"}, **changed))
    world.wire.on("dynamodb.TransactWriteItems", add_one)

    # WHEN they are swept
    with world.wire.watched() as calls:
        world.sweep()

    # THEN all are removed, and the added event stays for the next sweep
    assert [len(call.request["TransactItems"]) for call in calls if call.operation == "TransactWriteItems"] == [23]
    left = {order["orderId"]: order["outbox"].keys() for order in world.items("OrdersTable") if order["outbox"]}
    assert left == {"ord_7": {"2"}}
    world.clock.forward(MINUTE)
    with world.wire.watched() as calls:
        world.sweep()
    assert [call.operation for call in calls if call.operation not in {"Query", "BatchGetItem"}] == [
        "PutEvents",
        "UpdateItem",
        "UpdateItem",  # whether to ask the provider for its events
    ]


@pytest.mark.usefixtures("not_polling")
def test_one_failing_order_does_not_keep_others_in_the_outbox(world, placed_unpublished):
    # GIVEN three orders in one shard, one of which DynamoDB does not write
    unheard = world.order(placed_unpublished(1)[0])
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
        where=lambda call: call.request["Key"].get("orderId") == {"S": refused},
    )

    # WHEN they are swept
    report = world.sweep()
    (write,) = world.wire.named("dynamodb.TransactWriteItems")[1:]  # the first was the reservation
    assert len(write.request["TransactItems"]) == 3

    # THEN the events of the others are removed, and that order is rescheduled
    assert (report["EventsSwept"], report["SweepFailures"]) == (3, 1)
    assert {order["orderId"] for order in world.items("OrdersTable") if order["outbox"]} == {refused}
    assert world.order(refused)["dueAt"] > world.clock.ms


def test_an_order_that_cannot_be_processed_stops_no_other(world, placed_unpublished, logged):
    # GIVEN three orders in one shard, one of which has an outbox that no release has ever written
    unheard = world.order(placed_unpublished(1)[0])
    world.put("OrdersTable", unheard | {"orderId": "ord_0", "outbox": {"first": unheard["outbox"]["1"]}})
    world.put("OrdersTable", unheard | {"orderId": "ord_1"})
    world.clock.forward(MINUTE)

    # WHEN they are swept
    report = world.sweep()

    # THEN the events of the others are published, and that order is rescheduled with its age
    assert (report["EventsSwept"], report["SweepFailures"]) == (2, 1)
    (left,) = [order for order in world.items("OrdersTable") if order["outbox"]]
    assert (left["orderId"], left["unfinishedSince"]) == ("ord_0", unheard["unfinishedSince"])
    assert left["dueAt"] > world.clock.ms
    (line,) = [json.loads(text) for text in logged().splitlines() if "item not swept" in text]
    assert (line["level"], line["order_id"], line["exception_name"]) == ("ERROR", "ord_0", "ValueError")


def test_a_crash_after_publishing_publishes_again(world, placed_unpublished):
    placed_unpublished(1)
    world.clock.forward(MINUTE)
    world.wire.on("eventbridge.PutEvents", wire.crash_after)
    with pytest.raises(Crash):
        world.sweep()

    world.sweep()

    assert world.event_types() == ["order_placed", "order_placed"]
    invariants.nothing_is_unfinished(world)


# --- abandoned orders -------------------------------------------------------------------------------------------------


def test_a_pending_order_expires_after_ten_minutes(world, pending):
    world.clock.forward(10 * MINUTE - 1)
    world.sweep()
    assert world.order(pending)["status"] == "PENDING"
    assert world.available() == 9

    world.clock.forward(1)
    assert world.sweep()["OrdersExpired"] == 1
    assert world.order(pending)["status"] == "REJECTED"
    (rejected,) = [entry for entry in world.order(pending)["history"] if entry["status"] == "REJECTED"][:1]
    assert rejected["reason"] == "expired"
    assert world.available() == 10


def test_sweeping_a_pending_order_reschedules_it_and_keeps_its_age(world, pending):
    before = world.order(pending)
    world.clock.forward(MINUTE)
    world.sweep()

    after = world.order(pending)
    assert after == before | {"dueAt": before["expiresAt"], "unplacedSince": before["history"][0]["at"]}


def test_expiring_an_order_releases_its_stock_in_the_same_write(world, pending):
    world.clock.forward(10 * MINUTE)
    with world.wire.watched() as calls:
        world.sweep()

    (write,) = [call for call in calls if world.table("ProductsTable") in call.tables]
    assert write.tables == {world.table("OrdersTable"), world.table("ProductsTable")}


def test_an_order_finished_just_before_rescheduling_stays_finished(world, placed_unpublished):
    # GIVEN an event that is published and removed between the sweeper's try and its write
    (order_id,) = placed_unpublished(1)
    kept = world.order(order_id).items()
    finished = {name: value for name, value in kept if name not in INDEX_KEYS} | {"outbox": {}}
    world.clock.forward(MINUTE)
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
    world.wire.on("dynamodb.UpdateItem", wire.meanwhile(lambda: world.put("OrdersTable", finished)))

    # WHEN the order is swept
    assert world.sweep()["SweepFailures"] == 1

    # THEN it has no attribute of an index entry
    assert world.order(order_id) == finished


def test_an_order_placed_just_before_it_is_kept_pending_is_not_listed_as_unplaced(world, api, pending):
    # GIVEN a client that retries between the sweeper's read and its write
    world.clock.forward(MINUTE)
    world.wire.on("dynamodb.UpdateItem", wire.meanwhile(lambda: api.place(body())))

    # WHEN the order is swept
    world.sweep()

    # THEN it has no attribute of an index entry
    assert world.order(pending)["status"] == "PLACED"
    assert not {*INDEX_KEYS, "unplacedSince"} & world.order(pending).keys()


def test_an_order_placed_just_after_the_sweeper_has_listed_it_is_not_listed_any_more(world, api):
    # GIVEN a request that is slow between its reservation and its last write
    def meanwhile():
        world.clock.forward(MINUTE)
        world.sweep()
        (waiting,) = world.items("OrdersTable")
        assert "unplacedSince" in waiting

    world.wire.on("dynamodb.UpdateItem", wire.meanwhile(meanwhile))

    # WHEN it places the order
    order_id = api.place(body()).json["orderId"]

    # THEN the order is in the list of placed orders only
    assert "unplacedSince" not in world.order(order_id)


def test_an_order_under_a_lease_does_not_expire(world, pending):
    # GIVEN a due order that a request has just resumed
    world.clock.forward(10 * MINUTE)
    world.change("OrdersTable", {"orderId": pending}, leaseUntil=world.clock.ms + 1)

    # WHEN it is swept
    world.sweep()

    # THEN it is not changed until the lease ends
    assert world.order(pending)["status"] == "PENDING"
    world.clock.forward(1)
    world.sweep()
    assert world.order(pending)["status"] == "REJECTED"


def test_a_resumed_order_gets_ten_more_minutes(world, api, pending):
    world.clock.forward(9 * MINUTE)
    world.wire.on("dynamodb.*", wire.crash_before, where=world.to_provider)
    with pytest.raises(Crash):
        api.place(body())

    world.clock.forward(5 * MINUTE)
    world.sweep()

    assert world.order(pending)["status"] == "PENDING"


def test_an_order_resumed_during_its_expiry_does_not_expire(world, api, pending):
    # GIVEN a client that retries between the sweeper's read and its write
    world.clock.forward(10 * MINUTE)
    answers = []
    world.wire.on("dynamodb.TransactWriteItems", wire.meanwhile(lambda: answers.append(api.place(body()))))

    # WHEN the order is swept
    report = world.sweep()

    # THEN the client's order is placed
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


def test_an_order_never_authorized_is_closed_for_late_requests(world, abandon):
    order_id = abandon(2, wire.crash_before)
    assert world.ledger() == {}

    world.clock.forward(10 * MINUTE)
    world.sweep()

    assert world.ledger() == {order_id: "void"}
    invariants.check(world, {MUG: 10})


def test_a_late_decline_leaves_nothing_to_void(world, abandon):
    order_id = abandon(2, token="tok_decline")

    world.clock.forward(10 * MINUTE)
    world.sweep()

    order = world.order(order_id)
    assert order["payment"] == {"state": "voided", "reason": "nothing was held"}
    invariants.check(world, {MUG: 10})


def test_a_payment_with_an_unknown_state_stays_due(world, abandon):
    # GIVEN an order with a token whose first request the provider loses
    order_id = abandon(2, token="tok_timeout")
    world.clock.forward(10 * MINUTE)

    # WHEN the sweeper calls the provider and gets no answer
    report = world.sweep()

    # THEN the order has expired, and its payment is still due
    assert (report["OrdersExpired"], report["PaymentsSettled"], report["SweepFailures"]) == (1, 0, 1)
    assert world.order(order_id)["paymentDue"]["action"] == "void"

    # AND the next sweep settles it
    world.clock.forward(4 * MINUTE)
    assert world.sweep()["PaymentsSettled"] == 1
    invariants.check(world, {MUG: 10})


# --- payments ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def due(world, api, order_id):
    """A canceled order whose event does not reach its consumer: its payment is due."""
    api.cancel(order_id)
    for queue in ("SettlementQueue", "EmailsQueue", "AnalyticsQueue"):
        world.client("sqs").purge_queue(QueueUrl=world.stack.resource(queue).ref)
    return order_id


def test_a_due_payment_is_settled(world, due):
    world.clock.forward(MINUTE)

    assert world.sweep()["PaymentsSettled"] == 1

    assert world.ledger() == {due: "void"}
    invariants.nothing_is_unfinished(world)


def test_a_due_capture_releases_the_shipment(world, order_id):
    world.wire.on("eventbridge.PutEvents", wire.lose_request)
    world.queues.deliver("FulfillmentFunction")
    world.clock.forward(MINUTE)

    world.sweep()

    assert world.ledger() == {order_id: "capture"}
    assert world.item("ShipmentsTable", orderId=order_id)["state"] == "released"
    world.settle_down(2)  # the next sweep publishes the release
    invariants.nothing_is_unfinished(world)


def test_a_refusal_by_the_provider_is_counted_for_the_alarm(world, due, caplog):
    # GIVEN a hold that does not exist any more
    world.change("SandboxTable", {"key": f"{due}:authorise"}, state="declined")
    world.clock.forward(MINUTE)

    # THEN the due void is refused permanently, and counted
    assert world.sweep()["PaymentsFailed"] == 1
    assert world.order(due)["payment"]["state"] == "failed"
    # AND its outcome is logged with the reason
    reason = world.order(due)["payment"]["reason"]
    assert [record.reason for record in caplog.records if getattr(record, "outcome", "") == "refused"] == [reason]


def test_a_failing_provider_is_retried_with_backoff(world, due):
    # GIVEN a provider that does not answer
    world.wire.always("dynamodb.TransactWriteItems", wire.lose_request, where=world.to_provider)
    since = world.order(due)["unfinishedSince"]

    # WHEN it is retried for half an hour
    pauses = []
    for _ in range(30):
        world.clock.forward(MINUTE)
        if world.sweep()["SweepFailures"]:
            pauses.append(world.order(due)["dueAt"] - world.clock.ms)

    # THEN the pauses grow up to three minutes, and the age is unchanged
    assert pauses[:3] == [60_000, 120_000, 180_000]
    assert set(pauses[3:]) == {180_000}
    assert world.order(due)["unfinishedSince"] == since


@pytest.mark.usefixtures("not_polling")
def test_an_unreachable_provider_does_not_delay_events(world, due, placed_unpublished):
    # GIVEN forty due payments, a provider that hangs, and unpublished events in every shard
    order = world.order(due)
    for n in range(40):
        world.put("OrdersTable", order | {"orderId": f"ord_{n}", "unfinished": n % 4})
    unheard = world.order(placed_unpublished(2)[1])
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

    # THEN payments stop after their budget of 20 s, and all events are published
    assert len([call for call in calls if world.to_provider(call)]) == 7
    assert not [order for order in world.items("OrdersTable") if order["outbox"]]


def test_a_payment_unknown_for_23_hours_is_counted_for_the_alarm(world, due, printed):
    world.wire.always("dynamodb.TransactWriteItems", wire.lose_request, where=world.to_provider)
    world.clock.forward(23 * 3600)
    assert world.sweep()["PaymentsStuck"] == 0

    world.clock.forward(5 * MINUTE)
    printed()
    assert world.sweep()["PaymentsStuck"] == 1
    assert printed()["PaymentsStuck"].values == [1.0]


def test_a_hold_uncaptured_halfway_to_expiry_is_counted(world, order_id, printed):
    # GIVEN a packed order whose hold lasts a week, and a provider that does not answer
    week = 7 * 24 * HOUR
    payment = world.order(order_id)["payment"] | {"expiresAt": world.clock.ms + week * 1000}
    world.change("OrdersTable", {"orderId": order_id}, payment=payment)
    world.wire.always("dynamodb.TransactWriteItems", wire.lose_request, where=world.to_provider)
    world.queues.until_quiet()
    world.clock.forward(week / 2 - HOUR)
    assert world.sweep()["HoldsExpiring"] == 0

    # WHEN half of the week has passed
    world.clock.forward(HOUR)
    printed()
    assert world.sweep()["HoldsExpiring"] == 1
    assert printed()["HoldsExpiring"].values == [1.0]

    # THEN every run counts it until it is captured
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


# --- concurrency and invalid items ------------------------------------------------------------------------------------


def test_two_sweeps_in_a_row_do_no_harm(world, pending, placed_unpublished):
    placed_unpublished(3)
    world.clock.forward(10 * MINUTE)

    world.sweep()
    second = world.sweep()

    assert set(second.values()) == {0}
    world.settle_down(2)
    invariants.check(world, {MUG: 10})


@pytest.mark.parametrize("nth", range(1, 15))
def test_two_sweeps_at_the_same_time_do_no_harm(world, pending, due_of_bob, nth):
    # GIVEN an order to expire, and one to publish and to void
    world.clock.forward(10 * MINUTE)

    # WHEN a second sweep runs in the middle of the first
    reports = []
    world.wire.on("*", wire.meanwhile(lambda: reports.append(world.sweep())), nth=nth)
    reports.append(world.sweep())

    # THEN the result is that of one sweep
    assert len(reports) == 2
    world.settle_down(2)
    invariants.check(world, {MUG: 10})


def test_an_order_changed_by_another_writer_is_logged_as_a_conflict(world, pending, caplog):
    # GIVEN a second sweep that expires the order before the first one writes
    caplog.set_level("INFO")
    world.clock.forward(10 * MINUTE)
    world.wire.on("dynamodb.TransactWriteItems", wire.meanwhile(world.sweep))

    # WHEN the first one runs
    report = world.sweep()

    # THEN it leaves the order alone, and logs why
    assert (report["OrdersExpired"], report["SweepFailures"]) == (0, 0)
    outcomes = [record.outcome for record in caplog.records if hasattr(record, "outcome")]
    assert outcomes == ["expired", "settled", "conflict"]


@pytest.fixture
def due_of_bob(world):
    """A canceled order of Bob's with unpublished events."""
    bob = world.api("bob")
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
    order_id = bob.place(body()).json["orderId"]
    bob.cancel(order_id)
    world.wire.heal()
    return order_id


def test_an_index_entry_of_a_finished_order_is_removed(world, order_id):
    # GIVEN a stale index entry
    world.change(
        "OrdersTable", {"orderId": order_id}, unfinished=0, dueAt=world.clock.ms, unfinishedSince=world.clock.ms
    )

    # WHEN it is swept
    world.sweep()

    # THEN it is removed
    invariants.nothing_is_unfinished(world)


def test_an_order_that_changes_meanwhile_keeps_its_index_entry(world, api, order_id):
    # GIVEN a stale index entry, and a cancellation that makes it valid before it is removed
    world.change(
        "OrdersTable", {"orderId": order_id}, unfinished=0, dueAt=world.clock.ms, unfinishedSince=world.clock.ms
    )
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
    world.wire.on("dynamodb.UpdateItem", wire.meanwhile(lambda: api.cancel(order_id)))

    # WHEN it is swept
    world.sweep()

    # THEN the sweeper finds its event and its payment later
    assert world.order(order_id)["outbox"].keys() == {"2"}
    assert {"unfinished", "dueAt", "unfinishedSince"} <= world.order(order_id).keys()


@pytest.mark.parametrize(
    "fault",
    [wire.refuse("AccessDeniedException"), wire.lose_request, wire.refuse("InternalServerError", 500)],
    ids=["refused", "silent", "broken"],
)
def test_an_order_that_cannot_be_written_does_not_delay_others(world, due, fault):
    # GIVEN two orders whose payments are due, and writes to one of them that always fail
    world.put("OrdersTable", world.order(due) | {"orderId": "ord_other"})
    world.wire.always("dynamodb.UpdateItem", fault, where=lambda call: _is_about(call, due))
    world.clock.forward(MINUTE)

    # WHEN they are swept
    world.sweep()

    # THEN the other is finished
    assert [order["orderId"] for order in world.items("OrdersTable") if "paymentDue" in order] == [due]


def test_an_order_that_cannot_be_read_does_not_delay_others(world, due):
    # GIVEN an invalid item, in the same shard of the index as an order whose payment is due
    shard, due_at = world.order(due)["unfinished"], world.order(due)["dueAt"]
    hint = {"orderId": "ord_broken", "unfinished": shard, "dueAt": due_at, "unfinishedSince": due_at}
    world.put("OrdersTable", hint)
    world.clock.forward(MINUTE)

    # WHEN they are swept
    world.sweep()

    # THEN the order is finished, and the item is rescheduled
    assert "paymentDue" not in world.order(due)
    assert world.item("OrdersTable", orderId="ord_broken") == hint | {"dueAt": world.clock.ms + 60_000}


def test_an_order_with_a_deleted_product_does_not_delay_others(world, pending, due_of_bob):
    world.client("dynamodb").delete_item(TableName=world.table("ProductsTable"), Key={"sku": {"S": MUG}})
    world.change("OrdersTable", {"orderId": pending}, unfinished=world.order(due_of_bob)["unfinished"])
    world.clock.forward(10 * MINUTE)

    world.sweep()

    assert "paymentDue" not in world.order(due_of_bob)


def _is_about(call, order_id):
    return call.request.get("Key", {}).get("orderId") == {"S": order_id}
