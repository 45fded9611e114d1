"""Placing an order: every outcome for the customer."""

import pytest

from dev.simulated import wire
from dev.simulated.world import ADDRESS, MUG, TEE, body
from tests.support import invariants


@pytest.fixture
def warm(world, api):
    """An API whose function has the catalog cached."""
    api.get("/catalog")
    return api


def test_a_placed_order_returns_201_with_its_location(api):
    # WHEN an order is placed
    answer = api.place(body((MUG, 2)))

    # THEN the response is the order
    assert answer.status == 201
    assert answer.headers["location"] == f"/orders/{answer.json['orderId']}"
    assert answer.json == {
        "orderId": answer.json["orderId"],
        "status": "PLACED",
        "placedAt": "2026-11-23T10:00:00.000Z",
        "lines": [{"sku": MUG, "name": "Mug-01", "quantity": 2, "unitPrice": 1250}],
        "total": 2500,
        "currency": "EUR",
        "shippingAddress": ADDRESS,
    }


def test_a_placed_order_is_reserved_paid_stored_and_published(world, api):
    order_id = api.place(body((MUG, 2))).json["orderId"]

    assert world.available() == 8
    assert world.ledger() == {order_id: "held"}
    assert world.order(order_id)["status"] == "PLACED"
    assert world.event_types() == ["order_placed"]


def test_a_new_order_makes_four_aws_calls_and_one_provider_call(world, warm):
    with world.wire.watched() as calls:
        warm.place(body())

    assert [call.name for call in calls if not world.to_provider(call)] == [
        "dynamodb.TransactWriteItems",
        "dynamodb.UpdateItem",
        "eventbridge.PutEvents",
        "dynamodb.UpdateItem",
    ]
    assert [call.name for call in calls if world.to_provider(call)] == ["dynamodb.PutItem"]


def test_stock_and_order_are_stored_before_the_provider_is_called(world, warm):
    stored = {}

    def read_tables():
        (stored["order"],) = world.items("OrdersTable")
        stored["available"] = world.available()

    # GIVEN a hook that reads the tables when the provider is called
    world.wire.on("dynamodb.*", wire.meanwhile(read_tables), where=world.to_provider)

    # WHEN an order is placed
    warm.place(body())

    # THEN the order was pending at that time, and its stock reserved
    assert stored["order"]["status"] == "PENDING"
    assert stored["available"] == 9


def test_a_placed_order_has_no_unfinished_work(world, api):
    order_id = api.place(body()).json["orderId"]

    order = world.order(order_id)
    assert order["outbox"] == {}
    assert not {"unfinished", "dueAt", "unfinishedSince"} & order.keys()


def test_the_event_has_ids_and_metadata_only(world, api):
    order_id = api.place(body(), **{"X-Correlation-Id": "trace-me"}).json["orderId"]

    (event,) = world.events()
    assert event["Source"] == "handoff.orders"
    assert event["EventBusName"] == world.stack.resource("Bus").ref
    assert event["Detail"] == {
        "metadata": {
            "eventId": f"{order_id}-1",
            "version": 1,
            "timestamp": "2026-11-23T10:00:00.000Z",
            "sequence": 1,
            "correlationId": "trace-me",
        },
        "data": {"orderId": order_id, "userId": "ada"},
    }


def test_the_event_carries_the_trace_header(world, api):
    api.place(body())

    (event,) = world.events()
    ((_, header),) = world.functions.traces
    assert event["TraceHeader"] == header.partition(";Lineage")[0]


def test_the_correlation_id_is_returned(api):
    assert api.place(body(), **{"X-Correlation-Id": "trace-me"}).headers["x-correlation-id"] == "trace-me"


def test_an_unusable_correlation_id_is_replaced(api):
    answer = api.place(body(), **{"X-Correlation-Id": "no spaces, please"})

    assert answer.status == 201
    assert " " not in answer.headers["x-correlation-id"]


def test_an_order_can_have_fifty_different_products(world, api):
    skus = [f"SKU-{n:02d}" for n in range(50)]
    for sku in skus:
        world.stock(sku, available=1, unit_price=100)

    answer = api.place(body(*((sku, 1) for sku in skus)))

    assert (answer.status, answer.json["total"]) == (201, 5000)
    assert [world.available(sku) for sku in skus] == [0] * 50


def test_lines_with_the_same_product_are_merged(world, api):
    answer = api.place(body((MUG, 1), (MUG, 2)))

    assert [(line["sku"], line["quantity"]) for line in answer.json["lines"]] == [(MUG, 3)]
    assert world.available() == 7


# --- declined ---------------------------------------------------------------------------------------------------------


def test_a_declined_payment_returns_402_and_releases_the_stock(world, api):
    answer = api.place(body(token="tok_decline"))

    assert (answer.status, answer.problem) == (402, "payment-declined")
    assert world.available() == 10
    assert world.order(answer.json["orderId"])["status"] == "REJECTED"
    assert world.event_types() == []


def test_rejecting_an_order_releases_its_stock_and_counts_it_in_the_same_write(world, warm):
    with world.wire.watched() as calls:
        warm.place(body(token="tok_decline"))

    rejecting = calls[-1]
    assert rejecting.name == "dynamodb.TransactWriteItems"
    written = {world.table(name) for name in ("OrdersTable", "ProductsTable", "LimitsTable")}
    assert rejecting.tables == written


def test_a_declined_order_keeps_no_token_and_no_index_entry(world, api):
    order = world.order(api.place(body(token="tok_decline")).json["orderId"])

    assert not {"paymentToken", "unfinished", "dueAt", "unfinishedSince"} & order.keys()


def test_the_key_of_a_declined_order_replays_the_decline(world, api):
    api.place(body(token="tok_decline"))

    with world.wire.watched() as calls:
        answer = api.place(body(token="tok_decline"))

    assert (answer.status, answer.problem) == (402, "payment-declined")
    assert not any(world.to_provider(call) for call in calls)


# --- out of stock -----------------------------------------------------------------------------------------------------


def test_out_of_stock_lists_the_products_and_the_available_units(world, api):
    world.stock(TEE, available=1)

    answer = api.place(body((MUG, 1), (TEE, 2)))

    assert (answer.status, answer.problem) == (409, "out-of-stock")
    assert answer.json["products"] == [{"sku": TEE, "available": 1}]


def test_out_of_stock_changes_nothing(world, api):
    world.stock(TEE, available=1)

    api.place(body((MUG, 1), (TEE, 2)))

    assert (world.available(MUG), world.available(TEE)) == (10, 1)
    assert world.items("OrdersTable") == world.items("SandboxTable") == []


def test_out_of_stock_leaves_the_key_free(world, api):
    # GIVEN an order that was rejected as out of stock
    world.stock(available=1)
    assert api.place(body((MUG, 2))).status == 409

    # WHEN the product is restocked and the same key is used again
    world.stock(available=2)

    # THEN the order is placed
    assert api.place(body((MUG, 2))).status == 201
    invariants.stock_adds_up(world, {MUG: 2})


def test_the_last_unit_is_sold_once(world, api):
    world.stock(available=1)

    assert [api.place(body(), key=key).status for key in ("first", "second")] == [201, 409]
    assert world.available() == 0


# --- prices -----------------------------------------------------------------------------------------------------------


def test_a_total_that_could_not_be_expected_is_refused(world, api):
    # GIVEN products whose prices add up to one cent more than expectedTotal may have
    world.stock(TEE, unit_price=10**12 - 1250)
    world.stock("PEN-01", unit_price=1)

    # THEN the order that costs as much is possible, and the one above is not
    above = api.place(body((MUG, 1), (TEE, 1), ("PEN-01", 1)))
    assert (above.status, above.problem, above.json["total"]) == (409, "total-too-large", 10**12 + 1)
    assert world.items("OrdersTable") == []
    assert api.place(body((MUG, 1), (TEE, 1), expectedTotal=10**12)).status == 201


def test_a_changed_total_is_rejected_with_the_new_total(world, api):
    answer = api.place(body(expectedTotal=1000))

    assert (answer.status, answer.problem, answer.json["total"]) == (409, "total-changed", 1250)
    assert world.items("OrdersTable") == []


def test_the_same_key_can_accept_the_new_total(api):
    api.place(body(expectedTotal=1000))

    assert api.place(body(expectedTotal=1250)).status == 201


def test_the_current_price_is_used_when_the_cached_one_is_old(world, warm):
    # GIVEN an outdated cached catalog
    world.stock(unit_price=1300)

    # WHEN an order is placed
    answer = warm.place(body())

    # THEN it is placed at the current price
    assert (answer.status, answer.json["total"]) == (201, 1300)
    assert world.ledger().keys() == {answer.json["orderId"]}
    invariants.money_has_owners(world)


def test_a_retry_with_a_new_price_has_a_new_request_token(world, warm):
    world.stock(unit_price=1300)

    with world.wire.watched() as calls:
        warm.place(body())

    tokens = [call.request["ClientRequestToken"] for call in calls if call.operation == "TransactWriteItems"]
    assert len(set(tokens)) == len(tokens) == 2


def test_the_expected_total_is_compared_with_the_current_price(world, warm):
    world.stock(unit_price=1300)

    answer = warm.place(body(expectedTotal=1250))

    assert (answer.problem, answer.json["total"]) == ("total-changed", 1300)
    assert world.available() == 10


def test_prices_that_keep_changing_return_try_later(world, warm):
    prices = iter(range(2000, 3000))
    change = wire.meanwhile(lambda: world.stock(unit_price=next(prices)))
    world.wire.always("dynamodb.TransactWriteItems", change, world.touching("OrdersTable"))

    answer = warm.place(body())

    assert (answer.status, answer.problem) == (503, "try-later")
    assert world.available() == 10


def test_the_catalog_is_cached_for_a_minute(world, warm, frozen_for):
    world.stock(name="Another name")
    frozen_for(60)
    assert warm.get("/catalog").json["products"][0]["name"] == "Mug-01"

    frozen_for(1)
    assert warm.get("/catalog").json["products"][0]["name"] == "Another name"


def test_a_product_missing_in_the_cache_can_be_ordered(world, warm):
    world.stock(TEE)
    world.clock.forward(6)

    assert warm.place(body((TEE, 1))).status == 201


@pytest.mark.parametrize("change", [{"unitPrice": "dear"}, {"unitPrice": "1250"}, {"listed": "true"}])
def test_a_product_whose_row_became_invalid_cannot_be_ordered(world, warm, change):
    world.change("ProductsTable", {"sku": MUG}, **change)

    answer = warm.place(body())

    assert (answer.status, answer.fields) == (400, ["lines.0.sku"])
    assert world.items("OrdersTable") == []


# --- contention -------------------------------------------------------------------------------------------------------


def _conflict(items):
    reasons = [{"Code": "TransactionConflict"}] + [{"Code": "None"}] * (items - 1)
    return wire.refuse("TransactionCanceledException", CancellationReasons=reasons)


def test_a_conflict_with_another_order_is_retried(world, warm):
    world.wire.on("dynamodb.TransactWriteItems", _conflict(2), times=3)

    assert warm.place(body()).status == 201


def test_a_conflict_in_the_commit_is_retried(world, warm):
    world.wire.on("dynamodb.UpdateItem", wire.refuse("TransactionConflictException"), times=3)

    assert warm.place(body()).status == 201
    invariants.money_has_owners(world)


def test_the_key_can_be_retried_at_once_after_commit_conflicts(world, warm):
    # GIVEN a commit that conflicts at every try
    conflict = wire.refuse("TransactionConflictException")
    world.wire.always("dynamodb.UpdateItem", conflict, where=lambda call: ":placedAt" in call.values)
    answer = warm.place(body())
    assert (answer.status, answer.problem) == (503, "try-later")

    # WHEN the conflicts end
    world.wire.heal()

    # THEN the same key places the order, with the same payment hold
    assert warm.place(body()).status == 201
    invariants.money_has_owners(world)
    invariants.stock_adds_up(world, {MUG: 10})


def test_endless_conflicts_return_503_and_change_nothing(world, warm):
    world.wire.always("dynamodb.TransactWriteItems", _conflict(2))

    answer = warm.place(body())

    assert (answer.status, answer.problem) == (503, "try-later")
    assert answer.headers["retry-after"]
    assert world.items("OrdersTable") == []


def test_an_unreachable_dynamodb_returns_503(world, warm):
    world.wire.always("dynamodb.*", wire.cannot_connect)

    answer = warm.place(body())

    assert (answer.status, answer.problem) == (503, "unavailable")
    assert answer.headers["retry-after"]


def test_no_payment_hold_is_requested_without_time_to_commit(world, warm, logged):
    # GIVEN a reservation that takes most of the request's time
    world.wire.on("dynamodb.TransactWriteItems", wire.meanwhile(lambda: world.clock.forward(9)))

    # WHEN an order is placed
    answer = warm.place(body())

    # THEN the provider is not called, no log blames it, and the same key can be retried at once
    assert (answer.status, answer.problem) == (503, "try-later")
    assert answer.json["detail"].startswith("The request ran out of time. ")
    assert "no time left to authorize the payment" in logged()
    assert "payment provider gave no answer" not in logged()
    assert world.items("SandboxTable") == []
    assert warm.place(body()).status == 201


def test_the_event_is_left_to_the_sweeper_without_time_to_publish(world, warm):
    # GIVEN a commit that takes most of the request's time
    world.wire.on("dynamodb.UpdateItem", wire.meanwhile(lambda: world.clock.forward(13)))

    # WHEN an order is placed
    with world.wire.watched() as calls:
        answer = warm.place(body())

    # THEN the response comes at once, and the sweeper publishes the event
    assert answer.status == 201
    assert "PutEvents" not in [call.operation for call in calls]
    world.clock.forward(60)
    world.sweep()
    assert world.event_types() == ["order_placed"]


def test_an_order_is_not_priced_again_without_time_for_it(world, warm):
    # GIVEN a delisted product, and a slow reservation
    world.stock(listed=False)
    world.wire.on("dynamodb.TransactWriteItems", wire.meanwhile(lambda: world.clock.forward(7)))

    # WHEN an order is placed
    with world.wire.watched() as calls:
        answer = warm.place(body())

    # THEN no call starts that might not end in time, and the next request reports the delisted product
    assert (answer.status, answer.problem) == (503, "try-later")
    assert answer.json["detail"].startswith("The request ran out of time. ")
    assert "GetItem" not in [call.operation for call in calls]
    assert warm.place(body()).fields == ["lines.0.sku"]
