"""Rebuild the sales: count all orders into a new generation of counters while orders keep coming."""

import signal
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from dev.invariants import counters
from dev.simulated import wire
from dev.simulated.messages import message
from dev.simulated.world import MUG, TEE, body
from handoff import aws
from handoff.attribute_values import to_item
from handoff.clock import now_ms
from ops import rebuild
from ops.cli import main as cli
from ops.cli.options import Target
from ops.rebuild import LEASE, SETTLED, Rebuild, RebuildError
from shop.sales_generations import POINTER, GenerationStore, TakenOver
from tests.support import invariants

ANALYTICS = "AnalyticsFunction"
DAY = "2026-11-23"


def sums(world, generation=None):
    """Return the counters of a generation, all shards added up."""
    rows = counters(world.items("SalesTable"), generation)
    return {key: tuple(row.values()) for key, row in rows.items()}


def rebuilding(world):
    """Return a rebuild that runs over the wire."""
    return Rebuild(
        world.wire.session.create_client("dynamodb", config=aws.config()),
        orders_table=world.table("OrdersTable"),
        sales_table=world.table("SalesTable"),
        shards=4,
    )


def run(world, progress=lambda _: None):
    return rebuilding(world).run(progress)


def prune(world):
    return rebuild.prune(world.client("dynamodb"), world.table("SalesTable"), lambda _: None)


def generations(world):
    return GenerationStore(world.client("dynamodb"), world.table("SalesTable")).read()


def place(world, count, *lines, start=0):
    """Place orders one after the other; return their ids."""
    return [world.api().place(body(*lines), key=f"key-{n}").json["orderId"] for n in range(start, start + count)]


def lose_events(world):
    """Lose the waiting messages of analytics."""
    world.clock.forward(61)  # SQS purges a queue once a minute
    world.client("sqs").purge_queue(QueueUrl=world.stack.resource("AnalyticsQueue").ref)


@pytest.fixture
def counted(world):
    """Three orders, one of them canceled, all counted."""
    world.stock(TEE, unit_price=2000)
    placed = place(world, 3, (MUG, 2), (TEE, 1))
    world.api().cancel(placed[0])
    world.queues.until_quiet(ANALYTICS)
    return placed


@pytest.fixture
def small_pages(monkeypatch):
    """Pages of one order."""
    monkeypatch.setattr(rebuild, "_PAGE", 1)


# --- result -----------------------------------------------------------------------------------------------------------


def test_the_rebuilt_generation_equals_the_old_one(world, counted):
    before = sums(world, 1)

    done = run(world)

    assert (done.generation, done.orders, done.events) == (2, 3, 4)
    assert sums(world, 2) == before
    assert before[DAY, "all"] == (2, 6, 9000)


def test_refunds_are_rebuilt_as_they_were_counted(world, counted):
    # GIVEN orders that were refunded in parts on another day, one of them fully returned
    world.queues.until_quiet()
    world.clock.forward(86_400)
    shop = world.program("refunds:write")
    for order_id in counted[1:]:
        assert shop.refund(order_id, key="1", amount=333).status == 201
        world.queues.until_quiet()
    assert shop.refund(counted[1], key="2", restock=True).status == 201
    world.queues.until_quiet()
    before = sums(world, 1)
    assert len({day for day, _ in before}) == 2

    run(world)

    assert sums(world, 2) == before


def test_events_are_counted_in_the_new_generation_afterwards(world, counted):
    run(world)
    old = sums(world, 1)

    place(world, 1, start=10)
    world.queues.deliver(ANALYTICS)

    assert sums(world)[DAY, "all"] == (3, 7, 10250)
    assert sums(world, 1) == old
    assert generations(world).counted == (2,)


def test_a_rebuild_counts_orders_whose_events_were_lost(world):
    # GIVEN an order whose event never arrived, and another whose cancellation did not
    (lost,) = place(world, 1, (MUG, 2))
    lose_events(world)
    (cancelled,) = place(world, 1, start=1)
    world.queues.deliver(ANALYTICS)
    world.api().cancel(cancelled)
    lose_events(world)
    assert sums(world)[DAY, "all"] == (1, 1, 1250)

    # WHEN the sales are rebuilt
    run(world)

    # THEN only the order that is not canceled is counted
    assert world.order(lost)["status"] == "PLACED"
    assert sums(world)[DAY, "all"] == (1, 2, 2500)


def test_a_late_event_is_not_counted_again(world, order_id):
    # GIVEN an order that was rebuilt before its event arrived
    run(world)
    assert sums(world)[DAY, "all"] == (1, 1, 1250)

    # WHEN the event arrives
    world.queues.deliver(ANALYTICS)

    # THEN it is a repeat
    assert sums(world)[DAY, "all"] == (1, 1, 1250)
    assert world.queues.waiting(ANALYTICS) == 0


def test_orders_that_were_never_placed_are_not_counted(world, order_id):
    # GIVEN a declined order, and one that is prepared
    world.api().place(body(token="tok_decline"), key="key-2")
    world.settle_down()
    assert world.order(order_id)["status"] == "PREPARED"

    done = run(world)

    assert (done.orders, done.events) == (2, 1)
    invariants.sales_are_exact(world)


def test_sales_stay_on_the_day_of_the_order(world, order_id):
    world.clock.forward(3 * 86_400)
    run(world)

    assert {day for day, _ in sums(world)} == {DAY}


def test_a_rebuild_without_orders_counts_nothing(world):
    assert run(world).events == 0
    assert sums(world) == {}


def test_a_rebuild_reads_consistently(world, counted):
    # A stale order or pointer would leave a gap that nothing reports.
    with world.wire.watched() as calls:
        run(world)
        world.queues.send(ANALYTICS, message("order_placed", counted[1], 1))
        world.queues.deliver(ANALYTICS)

    reads = [call for call in calls if call.operation in {"Scan", "Query"}]
    assert {call.operation for call in reads} == {"Scan", "Query"}
    assert all(call.request["ConsistentRead"] for call in reads)


# --- concurrent orders ------------------------------------------------------------------------------------------------


def test_events_during_a_rebuild_are_counted_once_per_generation(world, counted, small_pages):
    # GIVEN changes between any two pages of orders: a new order, a cancellation, a duplicate event
    standing = iter(counted[1:])
    keys = iter(range(100, 200))

    def goes_on(_said):
        fresh = place(world, 1, start=next(keys))[0]
        cancelled = next(standing, None)
        if cancelled:
            world.api().cancel(cancelled)
        world.queues.send(ANALYTICS, message("order_placed", fresh, 1))
        world.queues.until_quiet(ANALYTICS)

    # WHEN the sales are rebuilt meanwhile (changes stop after the first pages, so that the scan ends)
    pages = iter(range(4))
    run(world, lambda said: goes_on(said) if next(pages, None) is not None else None)

    # THEN both generations are equal, and agree with the orders
    assert generations(world).counted == (2,)
    assert sums(world, 1) == sums(world, 2)
    invariants.sales_are_exact(world)


def test_an_event_between_the_scan_and_the_switch_is_counted(world, counted):
    # GIVEN an order that is placed after the scan, and delivered before the switch
    def late():
        place(world, 1, start=50)
        world.queues.deliver(ANALYTICS)

    world.wire.on("dynamodb.UpdateItem", wire.meanwhile(late), where=lambda call: ":switchedAt" in call.values)

    run(world)

    assert sums(world)[DAY, "all"] == (3, 7, 10250)
    invariants.sales_are_exact(world)


def test_a_batch_that_spans_a_whole_rebuild_is_not_lost(world, order_id):
    # GIVEN a batch whose consumer has read the current generation and the orders
    world.wire.on("dynamodb.TransactWriteItems", wire.meanwhile(lambda: run(world)))

    # WHEN the whole rebuild happens before it writes
    world.queues.deliver(ANALYTICS)

    # THEN its order was part of the rebuild
    assert generations(world).current == 2
    assert sums(world, 2)[DAY, "all"] == (1, 1, 1250)


def test_a_failing_generation_does_not_stop_the_other(world, order_id):
    # GIVEN a generation that is being built, and whose write fails
    store = GenerationStore(world.client("dynamodb"), world.table("SalesTable"))
    store.announce("another", now=now_ms(), lease_until=now_ms() + LEASE)
    world.wire.on("dynamodb.TransactWriteItems", wire.refuse("AccessDeniedException"), nth=2)

    # WHEN the event is delivered twice
    world.queues.deliver(ANALYTICS)
    assert (sums(world, 1)[DAY, "all"], sums(world, 2)) == ((1, 1, 1250), {})
    world.clock.forward(11)
    world.queues.deliver(ANALYTICS)

    # THEN both generations have counted it once
    assert sums(world, 1)[DAY, "all"] == sums(world, 2)[DAY, "all"] == (1, 1, 1250)


def test_a_generation_that_dynamodb_leaves_out_is_read_again(world, order_id):
    # GIVEN a generation that is being built, and an answer without the item that names it
    store = GenerationStore(world.client("dynamodb"), world.table("SalesTable"))
    store.announce("another", now=now_ms(), lease_until=now_ms() + LEASE)
    pointer = {"bucketId": {"S": POINTER}, "entry": {"S": POINTER}}
    answered = {
        "Responses": {world.table("OrdersTable"): [to_item(world.order(order_id))]},
        "UnprocessedKeys": {world.table("SalesTable"): {"Keys": [pointer]}},
    }
    world.wire.on("dynamodb.BatchGetItem", wire.answer(answered))

    world.queues.deliver(ANALYTICS)

    assert sums(world, 1)[DAY, "all"] == sums(world, 2)[DAY, "all"] == (1, 1, 1250)


def test_a_rebuild_makes_no_transaction_larger(world, counted):
    GenerationStore(world.client("dynamodb"), world.table("SalesTable")).announce(
        "another", now=now_ms(), lease_until=now_ms() + LEASE
    )
    place(world, 5, start=20)
    with world.wire.watched() as calls:
        world.queues.deliver(ANALYTICS)

    writes = [call for call in calls if call.operation == "TransactWriteItems"]
    assert [len(write.request["TransactItems"]) for write in writes] == [7, 7]


# --- interrupted and concurrent rebuilds ------------------------------------------------------------------------------


@pytest.mark.parametrize("nth", range(1, 8))
@pytest.mark.parametrize("fault", [wire.crash_before, wire.crash_after])
def test_a_rebuild_that_crashes_at_any_call_is_resumed(world, counted, small_pages, nth, fault):
    # GIVEN a rebuild that crashed at one of its calls, and whose lease has expired
    world.wire.on("dynamodb.*", fault, nth=nth)
    with pytest.raises(wire.Crash):
        run(world)
    world.wire.heal()
    world.clock.forward(LEASE / 1000 + 1)

    # WHEN another order is placed, and the rebuild runs again
    place(world, 1, start=30)
    world.queues.until_quiet(ANALYTICS)
    run(world)

    # THEN the current generation is right
    invariants.sales_are_exact(world)
    assert generations(world).building is None


def test_an_interrupted_rebuild_resumes_at_its_last_page(world, counted, small_pages):
    # GIVEN a rebuild that is interrupted after its first page
    def interrupt(_said):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(world, interrupt)
    assert generations(world).building == 2

    # WHEN it runs again
    said = []
    done = run(world, said.append)

    # THEN only the other orders are read
    assert said[0].startswith("resuming generation 2 after order ord_")
    assert (done.generation, done.orders) == (2, 2)
    invariants.sales_are_exact(world)


def test_a_concurrent_rebuild_is_rejected(world, counted):
    told = []

    def second(_said):
        with pytest.raises(RebuildError, match="Another rebuild is running") as refused:
            run(world)
        told.append(str(refused.value))

    run(world, second)

    assert told
    assert "in 120 s" in told[0]
    assert generations(world).current == 2
    invariants.sales_are_exact(world)


def test_a_rebuild_whose_lease_was_taken_over_does_not_switch(world, counted):
    # GIVEN a rebuild that pauses for longer than its lease, while another one resumes it and ends
    def overtaken(_said):
        world.clock.forward(LEASE / 1000 + 1)
        run(world)

    # THEN the first one fails, and nothing is switched twice
    with pytest.raises(RebuildError, match="took over this one"):
        run(world, overtaken)
    assert generations(world).current == 2
    invariants.sales_are_exact(world)


def test_a_rebuild_that_starts_as_another_ends_builds_the_next(world, counted):
    # GIVEN a whole rebuild between the first one's read of the pointer and its write
    whole = wire.meanwhile(lambda: run(world))
    world.wire.on("dynamodb.UpdateItem", whole, where=world.touching("SalesTable"))

    # THEN it does not reuse the generation that it has read
    assert run(world).generation == 3
    assert generations(world).current == 3
    invariants.sales_are_exact(world)


@pytest.mark.parametrize("where", ["announce", "switch"])
def test_a_pointer_write_whose_answer_is_lost_is_recognized(world, counted, where):
    nth = 1 if where == "announce" else 3
    world.wire.on("dynamodb.UpdateItem", wire.lose_response, nth=nth, where=world.touching("SalesTable"))

    assert run(world).generation == 2

    assert generations(world).counted == (2,)
    invariants.sales_are_exact(world)


def test_a_failed_call_keeps_the_old_generation(world, counted):
    before = sums(world)
    world.wire.on("dynamodb.Scan", wire.refuse("AccessDeniedException"))

    with pytest.raises(RebuildError, match=r"AccessDeniedException.*counters in use are unchanged"):
        run(world)

    assert sums(world) == before
    assert generations(world).current == 1
    run(world)  # the lease was released
    assert sums(world) == before


def test_an_unreadable_order_is_reported_and_stops_the_switch(world, counted, small_pages):
    # GIVEN an order that was never counted, with an unknown status
    broken = world.order(counted[1]) | {"orderId": "ord_broken"}
    world.put("OrdersTable", broken | {"status": "NONSENSE"})
    place(world, 1, start=40)

    # WHEN the sales are rebuilt
    with pytest.raises(RebuildError, match="1 orders cannot be read: ord_broken"):
        run(world)

    # THEN nothing is switched until the order is fixed; then it is counted
    assert generations(world).current == 1
    world.put("OrdersTable", broken)
    assert run(world).generation == 2
    invariants.sales_are_exact(world)


def test_the_lease_of_another_rebuild_cannot_be_renewed(world):
    store = GenerationStore(world.client("dynamodb"), world.table("SalesTable"))
    store.announce("one", now=now_ms(), lease_until=now_ms() + LEASE)

    with pytest.raises(TakenOver):
        store.keep("two", built_up_to=None, lease_until=now_ms())


# --- pruning ----------------------------------------------------------------------------------------------------------


def test_pruning_removes_replaced_generations_only(world, counted):
    run(world)
    run(world)
    counts = sums(world, 3)
    world.clock.forward(SETTLED / 1000 + 1)

    assert prune(world) > 0

    assert sums(world) == counts
    assert {row["bucketId"].partition("#")[0] for row in world.items("SalesTable")} == {"3", POINTER}
    assert prune(world) == 0


def test_pruning_waits_until_no_report_reads_the_old_generation(world, counted):
    run(world)

    with pytest.raises(RebuildError, match="Try again in 60 s"):
        prune(world)
    assert sums(world, 1)


def test_pruning_keeps_a_generation_that_is_being_built(world, counted):
    run(world)
    world.clock.forward(SETTLED / 1000 + 1)
    building = []

    def interrupt(_said):
        prune(world)
        building.append(sums(world, 3))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(world, interrupt)

    assert building[0] == sums(world, 2)


def test_pruning_removes_more_items_than_fit_into_one_call(world):
    for n in range(60):
        world.put("SalesTable", {"bucketId": f"1#event#{n}", "entry": "counted"})
    world.put("SalesTable", {"bucketId": POINTER, "entry": POINTER, "currentGeneration": 2})

    assert prune(world) == 60
    assert [row["bucketId"] for row in world.items("SalesTable")] == [POINTER]


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_terminated_rebuild_says_how_to_resume(world, counted, small_pages, sends_signal, monkeypatch):
    # GIVEN a signal while the second page is read
    deployment = SimpleNamespace(
        dynamodb=world.wire.session.create_client("dynamodb", config=aws.config()),
        resource=world.table,
        parameters={"SalesShards": "4"},
    )
    monkeypatch.setattr(Target, "deployment", lambda self: deployment)
    world.wire.on("dynamodb.Scan", wire.meanwhile(lambda: sends_signal(signal.SIGTERM)), nth=2)

    first = CliRunner().invoke(cli.main, ["rebuild", "sales"])
    second = CliRunner().invoke(cli.main, ["rebuild", "sales"])

    # THEN the command says that nothing has changed, and the next run resumes at once
    assert first.exit_code == 143
    assert first.stderr == f"Error: Interrupted by SIGTERM. {rebuild.UNCHANGED}\n"
    assert second.exit_code == 0
    assert "resuming generation 2 after order" in second.stdout
