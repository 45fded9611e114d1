"""Concurrent handlers after an order was placed: packing, capture, refunds and returns, in any interleaving."""

import pytest

from dev.simulated.world import MUG, body
from tests.support import provider_events
from tests.support.merchant import Merchant
from tests.support.races import FIRST_LOOK, FULFILLMENT, LEASE, ORDER, REFUSED, SETTLEMENT, race, race_with, said
from tests.support.scheduler import Race

pytestmark = pytest.mark.timeout(7200)

TOTAL = 2500


def place(harness, token="tok_approve"):
    harness.world.api().place(body((MUG, 2), token=token))


def pack(harness, token="tok_approve"):
    place(harness, token)
    harness.world.queues.deliver(FULFILLMENT)


def ship(harness, token="tok_approve"):
    place(harness, token)
    harness.world.until_quiet()


def request_refund(harness, token="tok_approve"):
    ship(harness, token)
    assert harness.world.program("refunds:write").refund(ORDER, amount=TOTAL).status == 201


def refunds(harness):
    """Return the states of the order's refunds."""
    return sorted(refund["state"] for refund in harness.world.order(ORDER)["refunds"].values())


def assert_one_has_won(cancelled, packed):
    """Check that an order was either cancelled or packed; a crash hides an answer."""
    assert (*said(cancelled), *said(packed)) in (
        *[("200", "not-packable"), ("not-cancellable", "200")],
        *[("200",), ("not-cancellable",), ("not-packable",)],
    )


# --- packing ----------------------------------------------------------------------------------------------------------


@race
def test_canceling_while_it_is_packed_by_hand(harness):
    place(harness)
    api, warehouse = harness.api(), harness.program("shipments:write")

    answers = yield Race([lambda: api.cancel(ORDER), lambda: warehouse.pack(ORDER)], deaths=1)

    assert_one_has_won(*answers)


@race
def test_packing_by_hand_and_automatically(harness):
    place(harness)
    warehouse, queues = harness.program("shipments:write"), harness.queues(FULFILLMENT)

    answer, _ = yield Race([lambda: warehouse.pack(ORDER), lambda: queues.deliver(FULFILLMENT)], deaths=1)

    assert said(answer) in (["200"], [])
    assert harness.world.order(ORDER)["status"] == "PREPARED"


@race_with(PACKING="manual")
def test_canceling_while_a_shipment_is_opened(harness):
    place(harness)
    api, queues = harness.api(), harness.queues(FULFILLMENT)

    answer, _ = yield Race([lambda: api.cancel(ORDER), lambda: queues.deliver(FULFILLMENT)])

    # THEN no shipment waits to be packed
    assert said(answer) == ["200"]
    assert harness.world.items("ShipmentsTable") == []


@race_with(PACKING="manual")
def test_canceling_while_an_open_shipment_is_packed(harness):
    pack(harness)
    api, warehouse = harness.api(), harness.program("shipments:write")

    answers = yield Race([lambda: api.cancel(ORDER), lambda: warehouse.pack(ORDER)], deaths=1)

    assert_one_has_won(*answers)


@race_with(PACKING="manual")
def test_opening_and_packing_a_shipment(harness):
    place(harness)
    warehouse, queues = harness.program("shipments:write"), harness.queues(FULFILLMENT)

    answer, _ = yield Race([lambda: warehouse.pack(ORDER), lambda: queues.deliver(FULFILLMENT)])

    # THEN the packed shipment is not opened again
    assert said(answer) == ["200"]
    assert [shipment["state"] for shipment in harness.world.items("ShipmentsTable")] == ["released"]


# --- an abandoned order -----------------------------------------------------------------------------------------------


@race
def test_abandoning_an_order_that_is_resumed(harness):
    # GIVEN an order whose first attempt crashed, and whose lease is over
    harness.strike(lambda: place(harness), "dynamodb.UpdateItem")
    harness.world.clock.forward(LEASE)
    ada, again = harness.api(), harness.api()

    # WHEN its customer cancels it while the same request is repeated
    placed, cancelled = yield Race([lambda: ada.place(body((MUG, 2))), lambda: again.cancel(ORDER)], deaths=1)

    # THEN it is placed, or rejected, and a placed one can be canceled
    assert said(placed) in (["201"], ["order-abandoned"], ["in-progress"], [])
    assert said(cancelled) in (["200"], ["in-progress"], [])
    if said(placed) == ["201"] and said(cancelled) == ["200"]:
        assert harness.world.order(ORDER)["status"] == "CANCELLED"
    if said(placed) == ["order-abandoned"]:
        assert harness.world.order(ORDER)["status"] == "REJECTED"


@race
def test_a_slow_attempt_is_abandoned(harness):
    # GIVEN a request that is slower than its lease
    ada, again = harness.api(), harness.api()

    handlers = [lambda: ada.place(body((MUG, 2))), lambda: again.cancel(ORDER), harness.sweep()]
    placed, cancelled, _ = yield Race(handlers, pauses=[LEASE])

    assert said(placed) in (["201"], ["order-abandoned"], ["try-later"])
    assert said(cancelled) in (["200"], ["in-progress"], ["no-such-order"])


# --- the merchant acts at the provider --------------------------------------------------------------------------------


@race
def test_a_capture_and_the_merchants_capture(harness):
    pack(harness)
    queues = harness.queues(SETTLEMENT)

    yield Race([lambda: queues.deliver(SETTLEMENT), lambda: Merchant(harness.world).capture(ORDER)], deaths=1)

    assert harness.world.order(ORDER)["payment"]["state"] == "captured"


@race
def test_a_void_and_the_merchants_capture(harness):
    place(harness)
    harness.world.api().cancel(ORDER)
    queues = harness.queues(SETTLEMENT)

    yield Race([lambda: queues.deliver(SETTLEMENT), lambda: Merchant(harness.world).capture(ORDER)], deaths=1)

    # THEN the hold is voided, or all of the captured amount is refunded
    order = harness.world.order(ORDER)
    assert order["payment"]["state"] == "voided" or refunds(harness) == ["refunded"]


# --- refunds ----------------------------------------------------------------------------------------------------------


@race
def test_two_refunds_of_more_than_was_captured(harness):
    ship(harness)
    one, two = harness.program("refunds:write"), harness.program("refunds:write")

    answers = yield Race(
        [lambda: one.refund(ORDER, "one", amount=2000), lambda: two.refund(ORDER, "two", amount=2000)], deaths=1
    )

    # THEN only one of them is accepted
    assert said(*answers) in (["201", "refund-too-large"], ["refund-too-large"], ["201"])
    assert refunds(harness) == ["refunded"]


@race
def test_two_refunds_of_the_same_unit(harness):
    ship(harness)
    one, two = harness.program("refunds:write"), harness.program("refunds:write")
    wanted = {"lines": [{"sku": MUG, "quantity": 2}], "restock": True}

    answers = yield Race([lambda: one.refund(ORDER, "one", **wanted), lambda: two.refund(ORDER, "two", **wanted)])

    assert said(*answers) == ["201", "too-many-units"]
    assert harness.world.available() == 10


@race
def test_the_same_refund_twice(harness):
    ship(harness)
    one, two = harness.program("refunds:write"), harness.program("refunds:write")

    answers = yield Race([lambda: one.refund(ORDER, amount=2000), lambda: two.refund(ORDER, amount=2000)], deaths=1)

    assert set(said(*answers)) == {"201"}
    assert refunds(harness) == ["refunded"]


@race
def test_a_refund_while_another_one_is_made(harness):
    ship(harness)
    assert harness.world.program("refunds:write").refund(ORDER, "first", amount=1000).status == 201
    program, queues = harness.program("refunds:write"), harness.queues(SETTLEMENT)

    handlers = [lambda: program.refund(ORDER, "second", amount=1500), lambda: queues.deliver(SETTLEMENT)]
    answer, _ = yield Race(handlers, deaths=1)

    assert said(answer) in (["201"], [])
    assert set(refunds(harness)) == {"refunded"}


@race
def test_a_refund_of_a_payment_that_is_disputed(harness):
    request_refund(harness)
    queues = harness.queues(SETTLEMENT)

    def dispute():
        assert Merchant(harness.world).dispute(ORDER)
        provider_events.publish(harness.world, ORDER)

    yield Race([lambda: queues.deliver(SETTLEMENT), dispute], deaths=1)

    # THEN the provider has refunded it before, or has refused to, and the amount can be refunded otherwise
    again = harness.world.program("refunds:write").refund(ORDER, "again", amount=TOTAL)
    assert (refunds(harness)[0], again.status) in (("refunded", 409), ("due", 201))


@race
def test_a_refund_and_the_merchants_refund(harness):
    request_refund(harness)
    queues = harness.queues(SETTLEMENT)

    def refund():
        if Merchant(harness.world).refund(ORDER, 1):
            provider_events.publish(harness.world, ORDER)

    yield Race([lambda: queues.deliver(SETTLEMENT), refund], deaths=1)

    # THEN one of them is made, and the order has it
    assert refunds(harness) in (["refunded"], ["failed", "refunded"])


@pytest.mark.parametrize("token", ["tok_approve", "tok_refund_pending", "tok_refund_fails"])
def test_a_refund_that_the_consumer_and_the_sweeper_make(run, token):
    def scenario(harness):
        request_refund(harness, token)
        harness.world.clock.forward(FIRST_LOOK)
        queues = harness.queues(SETTLEMENT)

        yield Race([lambda: queues.deliver(SETTLEMENT), harness.sweep()], deaths=1)

        assert refunds(harness) == ["failed" if token == "tok_refund_fails" else "refunded"]

    run(scenario)


@race
def test_two_sweepers_make_a_refund(harness):
    ship(harness)
    harness.strike(
        lambda: harness.world.program("refunds:write").refund(ORDER, restock=True), "eventbridge.PutEvents", REFUSED
    )
    harness.world.clock.forward(FIRST_LOOK)

    yield Race([harness.sweep(), harness.sweep()], deaths=1)

    assert refunds(harness) == ["refunded"]
    assert harness.world.available() == 10


@race
def test_a_refund_delivered_twice_concurrently(harness):
    request_refund(harness)
    records = harness.world.queues.receive(SETTLEMENT)
    one, two = harness.queues(SETTLEMENT), harness.queues(SETTLEMENT)

    yield Race([lambda: one.hand_over(SETTLEMENT, records), lambda: two.hand_over(SETTLEMENT, records)], deaths=1)

    assert refunds(harness) == ["refunded"]


# --- returns ----------------------------------------------------------------------------------------------------------


@race
def test_a_return_and_a_refund_of_everything(harness):
    ship(harness)
    api, program = harness.api(), harness.program("refunds:write")

    returned, refunded = yield Race(
        [lambda: api.return_order(ORDER), lambda: program.refund(ORDER, restock=True)], deaths=1
    )

    assert said(returned) in (["200"], ["too-many-units"], [])
    assert said(refunded) in (["201"], [])


@race
def test_two_requests_to_return_an_order(harness):
    ship(harness)
    one, two = harness.api(), harness.api()

    answers = yield Race([lambda: one.return_order(ORDER), lambda: two.return_order(ORDER)], deaths=1)

    assert said(*answers) in (["200", "already-returned"], ["already-returned"], ["200"])
