"""Call counts: how many calls each invocation makes, one after the other. A call more and one of these is red."""

from collections import Counter

import pytest

from bench.scenarios import ANALYTICS, EMAILS, FULFILLMENT, MeteredShop
from handoff.unfinished import INDEX

PROVIDER = "provider"
GET, PUT, UPDATE = "dynamodb.GetItem", "dynamodb.PutItem", "dynamodb.UpdateItem"
QUERY, BATCH_GET, TRANSACTION = "dynamodb.Query", "dynamodb.BatchGetItem", "dynamodb.TransactWriteItems"
PUBLISH, SEND_MAIL = "eventbridge.PutEvents", "sesv2.SendEmail"

WAY_OF_A_NEW_ORDER = [TRANSACTION, PROVIDER, UPDATE, PUBLISH, UPDATE]
WAY_OF_A_MAIL = [GET, GET, PUT, SEND_MAIL, UPDATE]


@pytest.fixture
def shop(world):
    """A shop whose functions are warm, and meters on all that they call."""
    return MeteredShop(world)


def way(log):
    return [PROVIDER if call.to_provider else call.name for call in log.calls]


@pytest.mark.parametrize("lines", [1, 3, 50])
def test_a_new_order_takes_four_calls_to_aws_and_one_to_the_provider(shop, lines):
    log, _ = shop.new_order(lines)

    assert way(log) == WAY_OF_A_NEW_ORDER
    assert (log.aws_calls, log.provider_calls, log.sequential_calls) == (4, 1, 5)


def test_a_repeat_takes_one_call(shop):
    _, order_id = shop.new_order(key="again")

    repeat, same_id = shop.new_order(key="again")

    assert way(repeat) == [TRANSACTION]
    assert same_id == order_id


@pytest.mark.parametrize("lines", [1, 3, 50])
def test_an_order_writes_its_index_entries_twice_and_its_products_once(shop, lines):
    log, _ = shop.new_order(lines)

    assert log.write_units[f"OrdersTable/{INDEX}"] == 2  # put by the first write, taken out by the last
    assert log.write_units["OrdersTable/byUser"] == 1
    assert log.write_units["ProductsTable"] == 2 * lines  # one unit each, and twice in a transaction
    assert log.read_units == {}


def test_orders_that_come_to_nothing(shop):
    declined, _ = shop.new_order(token="tok_decline")

    assert way(declined) == [TRANSACTION, PROVIDER, TRANSACTION]
    assert way(shop.out_of_stock()) == [TRANSACTION]


def test_reading(shop):
    _, order_id = shop.new_order()

    assert way(shop.look_up(order_id)) == [GET]
    assert way(shop.list_orders()) == [QUERY]


def test_what_follows_a_placed_order(shop):
    shop.new_order(3)

    assert way(shop.deliver(EMAILS)) == WAY_OF_A_MAIL
    assert way(shop.deliver(ANALYTICS)) == [QUERY, BATCH_GET, TRANSACTION]
    assert way(shop.deliver(FULFILLMENT)) == [GET, TRANSACTION, PUBLISH, UPDATE]  # prepares, and announces it
    assert way(shop.deliver(FULFILLMENT)) == [GET, PROVIDER, TRANSACTION]  # captures
    assert way(shop.deliver(EMAILS)) == WAY_OF_A_MAIL
    assert shop.world.queues.busy() == []


def test_what_follows_a_cancelled_order(shop):
    _, order_id = shop.new_order(3)
    cancelled = shop.cancel(order_id)
    assert way(cancelled) == [GET, TRANSACTION, PUBLISH, UPDATE]

    # Each consumer gets both events in one batch. The placed order is overtaken: it is neither mailed nor prepared.
    assert way(shop.deliver(EMAILS)) == [GET, *WAY_OF_A_MAIL]
    assert way(shop.deliver(ANALYTICS)) == [QUERY, BATCH_GET, TRANSACTION]
    assert way(shop.deliver(FULFILLMENT)) == [GET, GET, PROVIDER, UPDATE]


def test_a_mail_that_comes_back(shop):
    assert way(shop.bounce()) == [UPDATE]


@pytest.mark.parametrize("orders", [1, 40])
def test_analytics_takes_a_whole_batch_in_three_calls(shop, orders):
    for _ in range(orders):
        shop.new_order(3)

    assert way(shop.deliver(ANALYTICS)) == [QUERY, BATCH_GET, TRANSACTION]


def test_an_idle_sweeper_asks_each_shard_of_each_table_once(shop, world):
    shards = int(world.stack.parameters["UnfinishedShards"])

    assert way(shop.sweep()) == [QUERY] * shards * 2


def test_a_sweeper_with_a_backlog_reads_publishes_and_clears_many_at_once(shop, world):
    shards, orders = int(world.stack.parameters["UnfinishedShards"]), 30
    shop.leave_unpublished(orders)

    calls = Counter(way(shop.sweep()))

    assert calls.pop(TRANSACTION) <= shards
    assert calls.pop(QUERY) == shards * 2
    assert calls.pop(BATCH_GET) <= shards
    assert calls.pop(PUBLISH) <= orders / 10 + shards
    assert not calls


@pytest.mark.parametrize("orders", [30, 300])
def test_a_customers_history_costs_nothing(shop, world, orders):
    _, order_id = shop.new_order()
    order = world.order(order_id)
    for n in range(orders):
        placed_at = f"2026-10-{n % 28 + 1:02}T10:{n % 60:02}:00.{n:03}Z"
        other_id = "ord_" + f"{n:026}".translate(str.maketrans("0189", "abcd"))
        world.put("OrdersTable", order | {"orderId": other_id, "placedAt": placed_at})

    listed, looked_up = shop.list_orders(), shop.look_up(order_id)

    assert (way(listed), listed.read_units) == ([QUERY], {"OrdersTable/byUser": 0.5})
    assert (way(looked_up), looked_up.read_units) == ([GET], {"OrdersTable": 1.0})
