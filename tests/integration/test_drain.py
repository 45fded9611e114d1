"""A backlog drains with few calls for each event, and its size is no matter of memory."""

import pytest

from tests.support import invariants, wire
from tests.support.messages import message
from tests.support.world import TEE, body

ANALYTICS = "AnalyticsFunction"
MOST_CALLS = {"analytics": 0.3, "sweeper": 0.2}  # for each event of a full batch


@pytest.fixture
def copies(world):
    """Makes copies of an order, under ids of their own; returns the ids."""

    def make(order, count):
        made = [f"ord_{n:026}" for n in range(count)]
        for order_id in made:
            world.put("OrdersTable", order | {"orderId": order_id})
        return made

    return make


def test_a_batch_of_a_hundred_with_repeats_is_counted_exactly_once_with_few_calls(world, api, copies):
    # GIVEN orders of two products, ten of which are counted already
    world.stock(TEE, unit_price=2000)
    order = world.order(api.place(body((TEE, 1), ("MUG-01", 1))).json["orderId"])
    world.queues.deliver(ANALYTICS)
    placed = copies(order, 90)
    for order_id in placed[:10]:
        world.queues.send(ANALYTICS, message("order_placed", order_id, 1))
    world.queues.deliver(ANALYTICS)

    # WHEN the events of all of them come in one batch, and ten of them twice
    for order_id in placed + placed[-10:]:
        world.queues.send(ANALYTICS, message("order_placed", order_id, 1))
    with world.wire.watched() as calls:
        assert world.queues.deliver(ANALYTICS) == 100

    # THEN the batch reads once, and each order counts once
    assert len(calls) <= MOST_CALLS["analytics"] * 100
    assert [call.operation for call in calls].count("BatchGetItem") == 1
    units = sum(number for _, entry, name, number in invariants.sales(world) if (entry, name) == ("all", "orders"))
    assert units == 91
    assert world.queues.waiting(ANALYTICS) == 0


def test_the_sweeper_publishes_what_it_has_read_before_it_reads_more_with_few_calls(world, api, copies):
    # GIVEN 130 orders in one shard whose events the bus did not take: of thousands, the items would not fit the memory
    world.wire.on("eventbridge.PutEvents", wire.cannot_connect)
    order = world.order(api.place(body()).json["orderId"])
    copies(order, 129)
    world.clock.forward(60)

    # WHEN they are swept
    with world.wire.watched() as calls:
        assert world.sweep()["EventsSwept"] == 130

    # THEN it reads as many as one call takes, and goes on when their events are out
    steps = [call.operation for call in calls if call.operation in {"BatchGetItem", "PutEvents"}]
    assert steps == ["BatchGetItem", *["PutEvents"] * 10, "BatchGetItem", *["PutEvents"] * 3]
    invariants.nothing_is_unfinished(world)
    # AND each event takes its share of a read, of a publication and of a write
    assert len(calls) <= MOST_CALLS["sweeper"] * 130


def test_with_nothing_to_do_a_sweep_is_one_query_for_each_shard_and_table(world, order_id):
    shards = int(world.stack.environment("SweeperFunction")["UNFINISHED_SHARDS"])

    with world.wire.watched() as calls:
        world.sweep()

    asked = [(call.operation, *call.tables, *call.values[":shard"].values()) for call in calls]
    tables = (world.table("OrdersTable"), world.table("CustomersTable"))
    assert sorted(asked) == sorted(("Query", table, str(shard)) for table in tables for shard in range(shards))
