"""Analytics: every order is counted exactly once, on the day on which it was placed."""

import json
from decimal import Decimal

import pytest
from botocore.exceptions import ConnectTimeoutError

from dev.invariants import counters
from dev.simulated import wire
from dev.simulated.account import STACK_NAME
from dev.simulated.messages import message
from dev.simulated.world import MUG, TEE, body
from handoff.consumer import BACKOFF
from shop.sales_generations import POINTER

ANALYTICS = "AnalyticsFunction"
DAY_ONE, DAY_TWO = "2026-11-23", "2026-11-24"
VISIBILITY = 366  # just longer than the queue's visibility timeout, in seconds


def sums(world):
    """Return the counters of all shards added up, without zeros."""
    rows = counters(world.items("SalesTable"))
    return {key: tuple(row.values()) for key, row in rows.items() if any(row.values())}


def place(world, count, *lines):
    """Place orders one after the other; return their ids."""
    return [world.api().place(body(*lines), key=f"key-{n}").json["orderId"] for n in range(count)]


def writes(world):
    """Return the transactions on the sales table."""
    found = [call for call in world.wire.calls if world.table("SalesTable") in call.tables]
    assert {call.operation for call in found} <= {"BatchGetItem", "TransactWriteItems"}
    return [call for call in found if call.operation == "TransactWriteItems"]


def test_orders_units_and_revenue_are_counted_by_day_and_product(world):
    world.stock(TEE, unit_price=2000)
    place(world, 2, (MUG, 2), (TEE, 1))

    world.queues.deliver(ANALYTICS)

    assert sums(world) == {
        (DAY_ONE, "all"): (2, 6, 9000),
        (DAY_ONE, f"sku#{MUG}"): (2, 4, 5000),
        (DAY_ONE, f"sku#{TEE}"): (2, 2, 4000),
    }


def test_a_batch_is_counted_in_one_transaction(world):
    place(world, 5)

    world.queues.deliver(ANALYTICS)

    (write,) = writes(world)
    assert len(write.request["TransactItems"]) == 5 + 2
    assert sums(world)[DAY_ONE, "all"] == (5, 5, 6250)


def test_a_batch_reads_its_orders_and_the_generations_in_one_call(world):
    place(world, 5)

    with world.wire.watched() as calls:
        world.queues.deliver(ANALYTICS)

    assert [call.operation for call in calls] == ["BatchGetItem", "TransactWriteItems"]


def test_counters_change_only_in_a_transaction_with_the_marker(world):
    place(world, 3)
    world.queues.deliver(ANALYTICS)

    for write in writes(world):
        kinds = [next(iter(item)) for item in write.request["TransactItems"]]
        assert kinds == ["Put"] * 3 + ["Update"] * 2


# --- exactly once -----------------------------------------------------------------------------------------------------


def test_the_same_event_twice_in_a_batch_is_counted_once(world, order_id):
    world.queues.send(ANALYTICS, message("order_placed", order_id, 1))

    assert world.queues.deliver(ANALYTICS) == 2

    assert sums(world)[DAY_ONE, "all"] == (1, 1, 1250)
    assert world.queues.waiting(ANALYTICS) == 0


def test_the_same_event_in_a_later_batch_is_counted_once(world, order_id):
    world.queues.deliver(ANALYTICS)
    world.queues.send(ANALYTICS, message("order_placed", order_id, 1))
    world.queues.deliver(ANALYTICS)

    assert sums(world)[DAY_ONE, "all"] == (1, 1, 1250)
    assert world.queues.waiting(ANALYTICS) == 0


def test_a_repeat_does_not_stop_new_events_of_its_batch(world):
    old, *_ = place(world, 1)
    world.queues.deliver(ANALYTICS)
    place(world, 4)
    world.queues.send(ANALYTICS, message("order_placed", old, 1))

    world.queues.deliver(ANALYTICS)

    assert sums(world)[DAY_ONE, "all"] == (4, 4, 5000)
    assert world.queues.waiting(ANALYTICS) == 0


@pytest.mark.parametrize("times", [1, 2], ids=["first answer lost", "all answers lost"])
def test_a_count_whose_answer_is_lost_is_counted_once(world, times):
    place(world, 3)
    world.wire.on("dynamodb.TransactWriteItems", wire.lose_response, times=times)

    for _ in range(3):
        world.queues.deliver(ANALYTICS)
        world.clock.forward(VISIBILITY)

    assert sums(world)[DAY_ONE, "all"] == (3, 3, 3750)
    assert world.queues.waiting(ANALYTICS) == 0


@pytest.mark.parametrize("fault", [wire.crash_before, wire.crash_after])
def test_a_count_that_crashes_is_counted_once(world, fault):
    place(world, 3)
    world.wire.on("dynamodb.TransactWriteItems", fault)

    for _ in range(2):
        world.queues.deliver(ANALYTICS)
        world.clock.forward(VISIBILITY)

    assert sums(world)[DAY_ONE, "all"] == (3, 3, 3750)


def test_the_same_events_counted_by_two_instances_at_once_are_counted_once(world, order_id):
    world.queues.send(ANALYTICS, message("order_placed", order_id, 1))
    world.wire.on("dynamodb.TransactWriteItems", wire.meanwhile(lambda: world.queues.deliver(ANALYTICS)))

    world.functions.invoke(ANALYTICS, {"Records": world.queues.receive(ANALYTICS, 1)})

    assert sums(world)[DAY_ONE, "all"] == (1, 1, 1250)


def test_a_conflict_with_another_instance_is_retried(world, order_id):
    reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}, {"Code": "None"}]
    world.wire.on(
        "dynamodb.TransactWriteItems", wire.refuse("TransactionCanceledException", CancellationReasons=reasons), times=2
    )

    world.queues.deliver(ANALYTICS)

    assert sums(world)[DAY_ONE, "all"] == (1, 1, 1250)


def test_a_replay_changes_nothing(world):
    placed = place(world, 3)
    world.queues.deliver(ANALYTICS)
    before = world.items("SalesTable")

    world.clock.forward(90 * 86_400)
    for order_id in placed:
        world.queues.send(ANALYTICS, message("order_placed", order_id, 1))
    world.queues.deliver(ANALYTICS)

    assert world.items("SalesTable") == before


# --- cancellations ----------------------------------------------------------------------------------------------------


def test_a_cancellation_subtracts_the_sale(world, api, order_id):
    world.queues.deliver(ANALYTICS)
    api.cancel(order_id)
    world.queues.deliver(ANALYTICS)

    assert sums(world) == {}


def test_a_cancellation_is_subtracted_on_the_day_of_the_order(world, api, order_id):
    # GIVEN an order that was counted yesterday, and one of today
    world.queues.deliver(ANALYTICS)
    world.clock.forward(86_400)
    api.place(body(), key="key-2")

    # WHEN yesterday's is canceled
    api.cancel(order_id)
    world.queues.deliver(ANALYTICS)

    # THEN only yesterday's sales change
    assert sums(world) == {(DAY_TWO, "all"): (1, 1, 1250), (DAY_TWO, f"sku#{MUG}"): (1, 1, 1250)}


def test_a_late_event_is_counted_on_the_day_of_the_order(world, order_id):
    world.clock.forward(3 * 86_400)
    world.queues.deliver(ANALYTICS)

    assert {day for day, _ in sums(world)} == {DAY_ONE}


def test_a_cancellation_before_its_order_is_counted(world, api, order_id):
    # GIVEN a cancellation that arrives before its order's event
    api.cancel(order_id)
    world.client("sqs").purge_queue(QueueUrl=world.stack.resource("AnalyticsQueue").ref)
    world.queues.send(ANALYTICS, message("order_cancelled", order_id, 2))
    world.queues.deliver(ANALYTICS)
    assert sums(world)[DAY_ONE, "all"] == (-1, -1, -1250)

    # WHEN the order's event arrives
    world.queues.send(ANALYTICS, message("order_placed", order_id, 1))
    world.queues.deliver(ANALYTICS)

    # THEN they cancel each other out
    assert sums(world) == {}


def test_placed_and_canceled_in_one_batch_add_up_to_zero(world, api, order_id):
    api.cancel(order_id)

    assert world.queues.deliver(ANALYTICS) == 2

    assert sums(world) == {}
    assert len([row for row in world.items("SalesTable") if row["entry"] == "counted"]) == 2


# --- refunds ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def released(world, api):
    """Return an order of two mugs and a tee that was released and counted on the first day; now it is the second."""
    world.stock(TEE, unit_price=2000)
    order_id = api.place(body((MUG, 2), (TEE, 1))).json["orderId"]
    world.queues.until_quiet()
    world.clock.forward(86_400)
    return order_id


def refund(world, order_id, **wanted):
    """Refund and count; each refund has a key of its own."""
    key = f"refund-{world.order(order_id)['sequence']}"
    assert world.program("refunds:write").refund(order_id, key=key, **wanted).status == 201
    world.queues.until_quiet()


def day_two(world):
    """Return the counters of the second day, by entry."""
    return {entry: counts for (day, entry), counts in sums(world).items() if day == DAY_TWO}


def test_a_refund_is_subtracted_on_its_own_day(world, released):
    before = sums(world)

    refund(world, released, lines=[{"sku": TEE, "quantity": 1}], restock=True)

    assert day_two(world) == {"all": (0, -1, -2000), f"sku#{TEE}": (-1, -1, -2000)}
    assert {key: counts for key, counts in sums(world).items() if key[0] == DAY_ONE} == before


def test_a_refund_of_an_amount_is_divided_among_the_products(world, released):
    refund(world, released, amount=450)

    assert day_two(world) == {"all": (0, 0, -450), f"sku#{MUG}": (0, 0, -250), f"sku#{TEE}": (0, 0, -200)}


def test_an_order_that_was_refunded_and_returned_nets_to_zero(world, released):
    refund(world, released, amount=450)
    refund(world, released, lines=[{"sku": MUG, "quantity": 1}], restock=True)
    refund(world, released, restock=True)

    assert day_two(world) == {"all": (-1, -3, -4500), f"sku#{MUG}": (-1, -2, -2500), f"sku#{TEE}": (-1, -1, -2000)}


def test_the_same_refund_event_twice_is_counted_once(world, released):
    refund(world, released, amount=450)
    world.queues.send(ANALYTICS, message("order_refunded", released, world.order(released)["sequence"]))
    world.queues.deliver(ANALYTICS)

    assert day_two(world)["all"] == (0, 0, -450)


def test_a_refund_that_is_not_completed_yet_is_retried(world, released):
    world.program("refunds:write").refund(released, amount=450)
    requested = world.order(released)["sequence"]

    world.queues.send(ANALYTICS, message("order_refunded", released, requested + 1))
    world.queues.deliver(ANALYTICS)
    assert (day_two(world), world.queues.waiting(ANALYTICS)) == ({}, 1)

    world.queues.until_quiet("SettlementFunction")
    world.clock.forward(11)
    world.queues.until_quiet(ANALYTICS)
    assert day_two(world)["all"] == (0, 0, -450)


def test_the_refund_of_a_cancelled_order_is_skipped(world, api, order_id, printed):
    # GIVEN an order that was captured in the provider's dashboard before its customer cancelled it
    world.queues.deliver(ANALYTICS)
    (hold,) = world.items("SandboxTable")
    world.change("SandboxTable", {"key": hold["key"]}, state="capture")
    api.cancel(order_id)

    # WHEN the void finds the money, and it is refunded
    world.queues.until_quiet("SettlementFunction")
    assert world.event_types()[-2:] == ["refund_requested", "order_refunded"]
    printed()
    world.queues.until_quiet(ANALYTICS)

    # THEN only the cancellation is counted
    assert sums(world) == {}
    assert sum(printed()["EventsSkipped"].values) == 1


# --- batches ----------------------------------------------------------------------------------------------------------


def test_a_missing_order_does_not_delay_others_of_its_batch(world):
    place(world, 2)
    world.queues.send(ANALYTICS, message("order_placed", "ord_unseen", 1))

    world.queues.deliver(ANALYTICS)

    assert sums(world)[DAY_ONE, "all"] == (2, 2, 2500)
    assert world.queues.waiting(ANALYTICS) == 1


def test_unreadable_and_missing_orders_have_different_reasons(world):
    # GIVEN three orders, one of them unreadable, and the event of an order that does not exist
    broken, *_ = place(world, 3)
    world.change("OrdersTable", {"orderId": broken}, total=Decimal("1.5"))
    world.queues.send(ANALYTICS, message("order_placed", "ord_unseen", 1))

    # WHEN their batch is delivered, and redelivered until nothing is left
    assert world.queues.deliver(ANALYTICS) == 4
    while world.queues.waiting(ANALYTICS):
        world.clock.forward(max(BACKOFF) + 1)
        world.queues.deliver(ANALYTICS)

    # THEN the readable orders are counted, and each dead letter has its reason
    assert sums(world)[DAY_ONE, "all"] == (2, 2, 2500)
    assert {letter.attributes["reason"] for letter in world.queues.dead_letters(ANALYTICS)} == {
        f"order {broken} is not readable",
        "order ord_unseen is missing or outdated",
    }


def test_a_full_batch_is_counted_in_transactions_of_at_most_100_items(world, order_id):
    # GIVEN a hundred orders
    order = world.order(order_id)
    world.queues.deliver(ANALYTICS)
    for n in range(100):
        world.put("OrdersTable", order | {"orderId": f"ord_{n}"})
        world.queues.send(ANALYTICS, message("order_placed", f"ord_{n}", 1))

    # WHEN they arrive in one batch
    assert world.queues.deliver(ANALYTICS) == 100

    # THEN all are counted, and no transaction is too large
    assert sums(world)[DAY_ONE, "all"] == (101, 101, 101 * 1250)
    assert [len(write.request["TransactItems"]) for write in writes(world)[1:]] == [100, 4]


def test_a_batch_stops_in_time_and_the_rest_is_redelivered(world):
    # GIVEN orders of fifty products each, one per transaction, and a table that is slow and then fails
    for n in range(50):
        world.stock(f"SKU-{n:03d}", unit_price=1, available=100)
    for n in range(12):
        lines = ((f"SKU-{m:03d}", 1) for m in range(50))
        assert world.api().place(body(*lines), key=f"key-{n}").status == 201
    for n, order in enumerate(world.items("OrdersTable")):
        world.change("OrdersTable", {"orderId": order["orderId"]}, placedAt=f"2026-10-{n + 1:02d}T10:00:00.000Z")

    def late(_call, _deliver):
        world.clock.forward(7)
        raise ConnectTimeoutError(endpoint_url="dynamodb")

    world.wire.always("dynamodb.TransactWriteItems", late, where=world.touching("SalesTable"))

    # WHEN they arrive in one batch
    started = world.clock.ms
    world.queues.deliver(ANALYTICS)

    # THEN it stops after the transactions that it had time for, long before the Lambda timeout
    assert (world.clock.ms - started) / 1000 <= 28
    # AND each event is counted after its own backoff
    assert len(world.wire.named("sqs.ChangeMessageVisibility")) == 12
    world.wire.heal()
    world.clock.forward(11)
    world.queues.until_quiet(ANALYTICS)
    assert sum(orders for (_, entry), (orders, _, _) in sums(world).items() if entry == "all") == 12


def test_the_lag_of_each_event_of_a_full_batch_is_reported(world, order_id, capsys):
    # GIVEN a hundred events
    for _ in range(99):
        world.queues.send(ANALYTICS, message("order_placed", order_id, 1))
    capsys.readouterr()

    # WHEN they arrive in one batch
    assert world.queues.deliver(ANALYTICS) == 100

    # THEN each is in analytics' metrics, in as many lines as CloudWatch's limits require
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert {(line["service"], line["consumer"]) for line in lines} == {(STACK_NAME, "analytics")}
    for name in ("EventLagReceived", "EventLagDone"):
        counts = [len(line[name]) for line in lines if name in line]
        assert (sum(counts), max(counts) <= 100) == (100, True)


def test_during_a_rebuild_repeats_are_those_of_the_current_generation(world, order_id, printed):
    # GIVEN an event that was counted, and a rebuild that started afterwards
    world.queues.deliver(ANALYTICS)
    lease = {"currentGeneration": 1, "nextGeneration": 2, "builder": "another", "leaseUntil": world.clock.ms + 60_000}
    world.put("SalesTable", {"bucketId": POINTER, "entry": POINTER, **lease})
    world.api().place(body(), key="another")
    world.queues.send(ANALYTICS, message("order_placed", order_id, 1))
    printed()

    # WHEN it is delivered again, with a new one
    assert world.queues.deliver(ANALYTICS) == 2

    # THEN only it is a repeat
    assert printed()["EventsRepeated"].values == [1.0]


def test_a_failing_transaction_does_not_delay_the_others(world):
    # GIVEN two orders of fifty products each: too many for one transaction
    for n in range(100):
        world.stock(f"SKU-{n:03d}", unit_price=1)
    for key, first in (("one", 0), ("two", 50)):
        assert world.api().place(body(*((f"SKU-{n:03d}", 1) for n in range(first, first + 50))), key=key).status == 201
    world.wire.on("dynamodb.TransactWriteItems", wire.refuse("AccessDeniedException"))

    # WHEN the first transaction fails
    world.queues.deliver(ANALYTICS)

    # THEN the second order is counted, and the first is redelivered
    assert sums(world)[DAY_ONE, "all"] == (1, 50, 50)
    assert world.queues.waiting(ANALYTICS) == 1
    world.clock.forward(11)
    world.queues.deliver(ANALYTICS)
    assert sums(world)[DAY_ONE, "all"] == (2, 100, 100)


def test_events_of_orders_that_cannot_be_read_are_redelivered(world):
    place(world, 2)
    world.wire.on("dynamodb.BatchGetItem", wire.refuse("AccessDeniedException"))

    world.queues.deliver(ANALYTICS)
    assert world.queues.waiting(ANALYTICS) == 2

    world.clock.forward(11)
    world.queues.deliver(ANALYTICS)
    assert sums(world)[DAY_ONE, "all"] == (2, 2, 2500)


def test_unprocessed_keys_are_read_again(world):
    first, second = place(world, 2)
    answered = {
        "Responses": {world.table("OrdersTable"): []},
        "UnprocessedKeys": {
            world.table("OrdersTable"): {"Keys": [{"orderId": {"S": first}}, {"orderId": {"S": second}}]}
        },
    }
    world.wire.on("dynamodb.BatchGetItem", wire.answer(answered))

    world.queues.deliver(ANALYTICS)

    assert sums(world)[DAY_ONE, "all"] == (2, 2, 2500)


def test_events_that_are_not_sales_become_dead_letters(world):
    # GIVEN an order, and in the same batch events that are not for analytics
    (order_id,) = place(world, 1)
    world.queues.send(ANALYTICS, message("shipment_prepared", order_id, 1))
    profile = json.loads(message("user_profile_updated", order_id, 1))
    profile["detail"]["data"] = {"userId": "ada", "changedFields": ["name"]}
    world.queues.send(ANALYTICS, json.dumps(profile))

    world.queues.deliver(ANALYTICS)

    # THEN the order is counted once, and the others are dead letters that say why
    assert sums(world)[DAY_ONE, "all"] == (1, 1, 1250)
    reasons = {letter.attributes["reason"] for letter in world.queues.dead_letters(ANALYTICS)}
    assert reasons == {"shipment_prepared is not counted", "user_profile_updated is not counted"}
