"""Call counts: the calls of each invocation, in order. One more call fails a test."""

from collections import Counter

import pytest

from bench.scenarios import ANALYTICS, EMAILS, FULFILLMENT, SETTLEMENT, MeteredShop
from dev.simulated.world import body
from handoff.unfinished import INDEX

PROVIDER = "provider"
CONSUMERS = {EMAILS, ANALYTICS, FULFILLMENT, SETTLEMENT}
GET, PUT, UPDATE = "dynamodb.GetItem", "dynamodb.PutItem", "dynamodb.UpdateItem"
QUERY, BATCH_GET, TRANSACTION = "dynamodb.Query", "dynamodb.BatchGetItem", "dynamodb.TransactWriteItems"
PUBLISH, SEND_MAIL = "eventbridge.PutEvents", "sesv2.SendEmail"

NEW_ORDER = [TRANSACTION, PROVIDER, UPDATE, PUBLISH, UPDATE]
MAIL = [BATCH_GET, PUT, SEND_MAIL, UPDATE]
COUNT = [BATCH_GET, TRANSACTION]


@pytest.fixture
def shop(world):
    """A shop with warm functions and a meter on all calls."""
    return MeteredShop(world)


def sequence(log):
    return [PROVIDER if call.to_provider else call.name for call in log.calls]


@pytest.mark.parametrize("lines", [1, 3, 50])
def test_a_new_order_makes_four_aws_calls_and_one_provider_call(shop, lines):
    log, _ = shop.new_order(lines)

    assert sequence(log) == NEW_ORDER
    assert (log.aws_calls, log.provider_calls, log.sequential_calls) == (4, 1, 5)


def test_a_repeat_makes_one_call(shop):
    _, order_id = shop.new_order(key="again")

    repeat, same_id = shop.new_order(key="again")

    assert sequence(repeat) == [TRANSACTION]
    assert same_id == order_id


@pytest.mark.parametrize("lines", [1, 3, 50])
def test_an_order_writes_its_index_twice_and_its_products_once(shop, lines):
    log, _ = shop.new_order(lines)

    assert log.write_units[f"OrdersTable/{INDEX}"] == 2  # added by the first write, removed by the last
    assert log.write_units["OrdersTable/byUser"] == 1
    assert "OrdersTable/unplaced" not in log.write_units
    assert log.write_units["ProductsTable"] == 2 * lines  # one unit each, double in a transaction
    assert log.read_units == {"CustomersTable": 2}  # whether the customer has an address


def test_an_order_of_three_real_lines_is_reserved_below_one_kilobyte(shop):
    log, _ = shop.new_order(3)

    assert log.calls[0].write_units["OrdersTable"] == 2  # one unit, double in a transaction


def test_a_settled_order_is_removed_from_its_index_and_not_moved_in_it(shop):
    shop.new_order(3)
    shop.deliver(FULFILLMENT)

    assert shop.deliver(SETTLEMENT).write_units[f"OrdersTable/{INDEX}"] == 1


def test_an_orders_whole_life_takes_at_most_its_calls_and_units(shop):
    logs = [shop.new_order(3)[0], *map(shop.deliver, (EMAILS, ANALYTICS, FULFILLMENT, SETTLEMENT, EMAILS))]

    assert sum(log.aws_calls for log in logs) == 22
    assert sum(log.provider_calls for log in logs) == 3
    assert sum(sum(log.write_units.values()) for log in logs) == 50


def test_calls_of_declined_and_out_of_stock_orders(shop):
    declined, _ = shop.new_order(token="tok_decline")

    assert sequence(declined) == [TRANSACTION, PROVIDER, TRANSACTION]
    assert sequence(shop.out_of_stock()) == [TRANSACTION]


def test_calls_of_an_order_whose_customer_has_to_act(shop):
    api = shop.api

    def calls_of(request):
        with shop.meter.record() as log:
            answer = request()
        return answer, sequence(log)

    acting = body(token="tok_action", customerAction=True)
    waits, calls = calls_of(lambda: api.place(acting))
    assert (waits.status, calls) == (202, [TRANSACTION, PROVIDER, UPDATE])

    repeat, calls = calls_of(lambda: api.place(acting))
    assert (repeat.status, calls) == (202, [TRANSACTION, PROVIDER])

    api.act(waits.json["clientSecret"])
    confirmed, calls = calls_of(lambda: api.confirm(waits.json["orderId"]))
    assert (confirmed.status, calls) == (200, [GET, PROVIDER, UPDATE, PUBLISH, UPDATE])


def test_a_lookup_and_a_list_make_one_call(shop):
    _, order_id = shop.new_order()

    assert sequence(shop.look_up(order_id)) == [GET]
    assert sequence(shop.list_orders()) == [QUERY]


def test_calls_of_the_consumers_of_a_placed_order(shop):
    shop.new_order(3)

    assert sequence(shop.deliver(EMAILS)) == MAIL
    assert sequence(shop.deliver(ANALYTICS)) == COUNT
    assert sequence(shop.deliver(FULFILLMENT)) == [GET, TRANSACTION, PUBLISH, UPDATE]  # prepares, publishes
    # reads the hold, captures, releases the shipment, publishes
    assert sequence(shop.deliver(SETTLEMENT)) == [GET, PROVIDER, PROVIDER, TRANSACTION, PUBLISH, UPDATE]
    assert sequence(shop.deliver(EMAILS)) == MAIL
    assert not CONSUMERS & set(shop.world.queues.busy())


def test_calls_of_a_return_and_a_refund_and_of_their_consumers(shop):
    _, order_id = shop.new_order(3)
    shop.drain()

    assert sequence(shop.request_return(order_id)) == [GET, UPDATE, PUBLISH, UPDATE]
    assert sequence(shop.deliver(EMAILS)) == MAIL
    assert sequence(shop.refund(order_id, restock=True)) == [GET, UPDATE, PUBLISH, UPDATE]
    # looks for the refund, makes it, restocks, publishes
    assert sequence(shop.deliver(SETTLEMENT)) == [GET, PROVIDER, PROVIDER, TRANSACTION, PUBLISH, UPDATE]
    assert sequence(shop.deliver(EMAILS)) == MAIL
    assert sequence(shop.deliver(ANALYTICS)) == COUNT
    assert not CONSUMERS & set(shop.world.queues.busy())


def test_calls_of_the_consumers_of_a_canceled_order(shop):
    _, order_id = shop.new_order(3)
    cancelled = shop.cancel(order_id)
    assert sequence(cancelled) == [GET, TRANSACTION, PUBLISH, UPDATE]

    # Each consumer gets both events in one batch. The order is already canceled, so it is neither mailed nor prepared.
    assert sequence(shop.deliver(EMAILS)) == [BATCH_GET, *MAIL]
    assert sequence(shop.deliver(ANALYTICS)) == COUNT
    assert sequence(shop.deliver(FULFILLMENT)) == [GET]
    assert sequence(shop.deliver(SETTLEMENT)) == [GET, PROVIDER, PROVIDER, UPDATE]


def test_calls_of_packing_by_hand(shop):
    _, order_id = shop.new_order()

    assert sequence(shop.pack(order_id)) == [GET, TRANSACTION, PUBLISH, UPDATE]


def test_a_list_of_a_status_makes_one_call(shop, world):
    for status in ("PLACED", "REJECTED"):
        assert [call.name for call in _calls_of(world, f"/orders?status={status}")] == [QUERY]


def _calls_of(world, path):
    with world.wire.watched() as calls:
        assert world.api().get(path).status == 200
    return calls


def test_a_bounce_makes_one_call(shop):
    assert sequence(shop.bounce()) == [UPDATE]


@pytest.mark.parametrize("orders", [1, 40])
def test_analytics_handles_a_batch_in_two_calls(shop, orders):
    for _ in range(orders):
        shop.new_order(3)

    assert sequence(shop.deliver(ANALYTICS)) == COUNT


def test_the_sweeper_reads_publishes_and_clears_in_batches(shop, world):
    shards, orders = int(world.stack.parameters["UnfinishedShards"]), 30
    shop.leave_unpublished(orders)

    calls = Counter(sequence(shop.sweep()))

    assert calls.pop(TRANSACTION) <= shards
    assert calls.pop(QUERY) == shards * 2 + 1  # and one of the open shipments
    assert calls.pop(BATCH_GET) <= shards
    assert calls.pop(PUBLISH) <= orders / 10 + shards
    assert calls.pop(UPDATE) == 1  # whether the provider was asked for its events in the last minutes
    assert not calls


@pytest.mark.parametrize("orders", [30, 300])
def test_a_customers_history_adds_no_cost(shop, world, orders):
    _, order_id = shop.new_order()
    order = world.order(order_id)
    for n in range(orders):
        placed_at = f"2026-10-{n % 28 + 1:02}T10:{n % 60:02}:00.{n:03}Z"
        other_id = "ord_" + f"{n:026}".translate(str.maketrans("0189", "abcd"))
        world.put("OrdersTable", order | {"orderId": other_id, "placedAt": placed_at})

    listed, looked_up = shop.list_orders(), shop.look_up(order_id)

    assert (sequence(listed), listed.read_units) == ([QUERY], {"OrdersTable/byUser": 0.5})
    assert (sequence(looked_up), looked_up.read_units) == ([GET], {"OrdersTable": 1.0})
