"""A backlog drains with few calls per event, and in bounded memory."""

import pytest

from dev.simulated import wire
from dev.simulated.messages import message
from dev.simulated.world import TEE, body
from tests.support import invariants

ANALYTICS = "AnalyticsFunction"
MOST_CALLS = {"analytics": 0.3, "sweeper": 0.2}  # per event of a full batch


@pytest.fixture
def copies(world):
    """Make copies of an order with new ids; return the ids."""

    def make(order, count):
        made = [f"ord_{n:026}" for n in range(count)]
        for order_id in made:
            world.put("OrdersTable", order | {"orderId": order_id})
        return made

    return make


def test_a_batch_with_duplicates_is_counted_exactly_once_with_few_calls(world, api, copies):
    # GIVEN orders of two products, ten of them counted already
    world.stock(TEE, unit_price=2000)
    order = world.order(api.place(body((TEE, 1), ("MUG-01", 1))).json["orderId"])
    world.queues.deliver(ANALYTICS)
    placed = copies(order, 90)
    for order_id in placed[:10]:
        world.queues.send(ANALYTICS, message("order_placed", order_id, 1))
    world.queues.deliver(ANALYTICS)

    # WHEN the events of all orders arrive in one batch, ten of them twice
    for order_id in placed + placed[-10:]:
        world.queues.send(ANALYTICS, message("order_placed", order_id, 1))
    with world.wire.watched() as calls:
        assert world.queues.deliver(ANALYTICS) == 100

    # THEN the batch reads once, and each order counts once
    assert len(calls) <= MOST_CALLS["analytics"] * 100
    assert [call.operation for call in calls].count("BatchGetItem") == 1
    assert world.snapshot().totals["all"]["orders"] == 91
    assert world.queues.waiting(ANALYTICS) == 0


def test_the_sweeper_publishes_what_it_read_before_it_reads_more(world, api, copies):
    # GIVEN 130 unpublished orders in one shard (the items of thousands of orders would not fit into memory)
    world.wire.on("eventbridge.PutEvents", wire.cannot_connect)
    order = world.order(api.place(body()).json["orderId"])
    copies(order, 129)
    world.clock.forward(60)

    # WHEN they are swept
    with world.wire.watched() as calls:
        assert world.sweep()["EventsSwept"] == 130

    # THEN it reads as many as one call returns, and continues when their events are published
    reads = [call for call in calls if call.operation == "BatchGetItem" and call.tables == {world.table("OrdersTable")}]
    steps = [call.operation for call in calls if call in reads or call.operation == "PutEvents"]
    assert steps == ["BatchGetItem", *["PutEvents"] * 10, "BatchGetItem", *["PutEvents"] * 3]
    invariants.nothing_is_unfinished(world)
    # AND the calls per event are a share of a read, of a publication and of a write
    polls = [call for call in calls if call.tables & {world.table("LimitsTable"), world.table("SandboxTable")}]
    assert len(calls) - len(polls) <= MOST_CALLS["sweeper"] * 130


def test_an_idle_sweep_queries_each_shard_of_each_table_once(world, order_id):
    shards = int(world.stack.environment("SweeperFunction")["UNFINISHED_SHARDS"])

    with world.wire.watched() as calls:
        world.sweep()

    of_shards = [call for call in calls if ":shard" in call.values]
    queried = [(call.operation, *call.tables, *call.values[":shard"].values()) for call in of_shards]
    tables = (world.table("OrdersTable"), world.table("CustomersTable"))
    assert sorted(queried) == sorted(("Query", table, str(shard)) for table in tables for shard in range(shards))
    # AND the open shipments once, and the provider's events between the two writes of their cursor
    others = [{world.table(name)} for name in ("ShipmentsTable", "LimitsTable", "SandboxTable", "LimitsTable")]
    assert [call.tables for call in calls if call not in of_shards] == others
