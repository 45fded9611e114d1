"""Customers, merchants and banks act at the payment provider while Handoff works on the order, in any interleaving."""

import pytest

from dev.simulated.world import MUG, body
from tests.support import provider_events
from tests.support.merchant import Merchant
from tests.support.races import FULFILLMENT, ORDER, SETTLEMENT, race, race_with, said
from tests.support.scheduler import Race

pytestmark = pytest.mark.timeout(7200)

TOTAL = 2500
LOOK, ACTION_EXPIRY = 120, 900  # seconds until the sweeper looks at an order that waits, and until that expires


def start(harness, token="tok_action"):
    """Place an order that waits for its customer."""
    answer = harness.world.api().place(acting(token))
    assert answer.status == 202


def acting(token="tok_action"):
    return body((MUG, 2), token=token, customerAction=True)


def act(harness):
    start(harness)
    assert Merchant(harness.world).act(ORDER)


def place(harness):
    assert harness.world.api().place(body((MUG, 2))).status == 201


def captured_elsewhere(harness):
    """Place an order that the merchant has captured, as settlement knows."""
    place(harness)
    assert Merchant(harness.world).capture(ORDER)
    report(harness)


def disputed(harness):
    captured_elsewhere(harness)
    assert Merchant(harness.world).dispute(ORDER)
    report(harness)


def ship(harness):
    place(harness)
    harness.world.until_quiet()


def report(harness, queues=None):
    """Let the provider report that something has happened to the order's payment."""
    provider_events.publish(harness.world, ORDER, f"evt_{len(harness.world.wire.calls)}")
    (queues or harness.world.queues).deliver(SETTLEMENT)


def status(harness):
    return harness.world.order(ORDER)["status"]


def shipments(harness):
    return [shipment["state"] for shipment in harness.world.items("ShipmentsTable")]


def refunds(harness):
    """Return the amounts of the order's refunds that have not failed."""
    made = harness.world.order(ORDER).get("refunds", {}).values()
    return sorted(refund["amount"] for refund in made if refund["state"] == "refunded")


def assert_placed_once(harness):
    """Check that the order was placed in one step, with one event; it was packed afterwards."""
    assert [entry["status"] for entry in harness.world.order(ORDER)["history"]].count("PLACED") == 1
    placed = [event for event in harness.world.events() if event["DetailType"] == "order_placed"]
    assert len({event["Detail"]["metadata"]["eventId"] for event in placed}) == 1
    assert status(harness) == "PREPARED"


# --- four ways to the end of the customer's action --------------------------------------------------------------------


@race
def test_confirming_the_providers_event_and_the_sweeper(harness):
    act(harness)
    harness.world.clock.forward(LOOK)
    provider_events.publish(harness.world, ORDER)
    api, queues = harness.api(), harness.queues(SETTLEMENT)

    handlers = [lambda: api.confirm(ORDER), lambda: queues.deliver(SETTLEMENT), harness.sweep()]
    answer, *_ = yield Race(handlers, deaths=1)

    assert said(answer) in (["200"], [])
    assert_placed_once(harness)


@race
def test_confirming_twice_and_the_same_request(harness):
    act(harness)
    one, two, three = harness.api(), harness.api(), harness.api()

    handlers = [lambda: one.confirm(ORDER), lambda: two.place(acting()), lambda: three.confirm(ORDER)]
    answers = yield Race(handlers, deaths=1)

    assert set(said(*answers)) <= {"200", "201"}
    assert_placed_once(harness)


@race
def test_the_same_request_the_providers_event_and_the_sweeper(harness):
    act(harness)
    harness.world.clock.forward(LOOK)
    provider_events.publish(harness.world, ORDER)
    api, queues = harness.api(), harness.queues(SETTLEMENT)

    handlers = [lambda: api.place(acting()), lambda: queues.deliver(SETTLEMENT), harness.sweep()]
    answer, *_ = yield Race(handlers, deaths=1)

    assert said(answer) in (["201"], [])
    assert_placed_once(harness)


@race
def test_confirming_a_failed_action_while_the_sweeper_sees_it(harness):
    start(harness, "tok_action_fail")
    assert Merchant(harness.world).act(ORDER)
    harness.world.clock.forward(LOOK)
    api, queues = harness.api(), harness.queues(SETTLEMENT)
    provider_events.publish(harness.world, ORDER)

    handlers = [lambda: api.confirm(ORDER), lambda: queues.deliver(SETTLEMENT), harness.sweep()]
    answer, *_ = yield Race(handlers, deaths=1)

    assert said(answer) in (["payment-declined"], [])
    assert harness.world.available() == 10


@race
def test_the_providers_event_before_the_order_has_its_payment(harness):
    api, queues, acted = harness.api(), harness.queues(SETTLEMENT), []

    def act_and_report():
        acted.append(Merchant(harness.world).act(ORDER))
        report(harness, queues)

    # WHEN the customer acts and the provider reports that while the first request still runs
    answer, _ = yield Race([lambda: api.place(acting()), act_and_report])

    # THEN what the customer has confirmed is placed
    assert said(answer) in (["202"], ["201"])
    assert status(harness) == ("PREPARED" if acted[-1] else "REJECTED")


@race
def test_two_first_requests_and_the_customers_action(harness):
    one, two = harness.api(), harness.api()

    def act_and_confirm():
        Merchant(harness.world).act(ORDER)
        return two.confirm(ORDER) if harness.world.order(ORDER) else None

    answers = yield Race([lambda: one.place(acting()), act_and_confirm], deaths=1)

    assert set(said(*answers)) <= {"202", "200", "201", "in-progress", "no-such-order"}


# --- the customer's action, too late ----------------------------------------------------------------------------------


@race
def test_cancelling_while_the_customer_acts(harness):
    start(harness)
    one, two = harness.api(), harness.api()

    def act_and_confirm():
        Merchant(harness.world).act(ORDER)
        return two.confirm(ORDER)

    cancelled, confirmed = yield Race([lambda: one.cancel(ORDER), act_and_confirm], deaths=1)

    assert said(cancelled) in (["200"], [])
    assert said(confirmed) in (["200"], ["202"], ["order-abandoned"], [])
    assert not cancelled or status(harness) in ("CANCELLED", "REJECTED")


@race
def test_cancelling_while_the_customer_has_acted_and_the_void_runs(harness):
    start(harness)
    harness.world.api().cancel(ORDER)
    sweep = harness.sweep()
    harness.world.clock.forward(LOOK)

    yield Race([sweep, lambda: Merchant(harness.world).act(ORDER)])

    assert status(harness) == "REJECTED"


@race
def test_an_order_expires_while_the_customer_acts(harness):
    start(harness)
    harness.world.clock.forward(ACTION_EXPIRY)
    api = harness.api()

    def act_and_confirm():
        Merchant(harness.world).act(ORDER)
        return api.confirm(ORDER)

    answer, report = yield Race([act_and_confirm, harness.sweep()], deaths=1)

    assert said(answer) in (["200"], ["202"], ["order-expired"], [])
    assert said(answer) != ["200"] or status(harness) == "PREPARED"
    assert not report or not report["PaymentsFailed"]


# --- the merchant's dashboard -----------------------------------------------------------------------------------------


@race
def test_confirming_while_the_merchant_cancels_the_hold(harness):
    act(harness)
    api, queues = harness.api(), harness.queues(SETTLEMENT)

    def cancel_and_report():
        assert Merchant(harness.world).cancel(ORDER)
        report(harness, queues)

    answer, _ = yield Race([lambda: api.confirm(ORDER), cancel_and_report], deaths=1)

    assert said(answer) in (["200"], ["payment-declined"], [])
    assert status(harness) in ("CANCELLED", "REJECTED", "PREPARED")  # packed in vain, if the report was late
    assert "released" not in shipments(harness)


@race
def test_packing_while_the_hold_is_lost(harness):
    place(harness)
    assert Merchant(harness.world).cancel(ORDER)
    provider_events.publish(harness.world, ORDER)
    packing, settlement = harness.queues(FULFILLMENT), harness.queues(SETTLEMENT)

    yield Race([lambda: packing.deliver(FULFILLMENT), lambda: settlement.deliver(SETTLEMENT)], deaths=1)

    assert (status(harness), shipments(harness)) in (("CANCELLED", []), ("PREPARED", ["prepared"]))


@race
def test_canceling_while_the_merchants_capture_is_recorded(harness):
    place(harness)
    assert Merchant(harness.world).capture(ORDER)
    provider_events.publish(harness.world, ORDER)
    api, queues = harness.api(), harness.queues(SETTLEMENT)

    answer, _ = yield Race([lambda: api.cancel(ORDER), lambda: queues.deliver(SETTLEMENT)], deaths=1)

    assert said(answer) in (["200"], [])
    assert not answer or refunds(harness) == [TOTAL]


@race
def test_packing_and_refunding_what_the_merchant_has_captured(harness):
    captured_elsewhere(harness)
    program, queues = harness.program("refunds:write"), harness.queues(FULFILLMENT)

    answer, _ = yield Race([lambda: program.refund(ORDER, amount=500), lambda: queues.deliver(FULFILLMENT)], deaths=1)

    # THEN the refund is made after the capture, and the shipment is released
    assert said(answer) in (["201"], [])
    assert not answer or refunds(harness) == [500]
    assert shipments(harness) == ["released"]


@race
def test_canceling_and_refunding_what_the_merchant_has_captured(harness):
    captured_elsewhere(harness)
    program, api = harness.program("refunds:write"), harness.api()

    refunded, cancelled = yield Race([lambda: program.refund(ORDER, amount=500), lambda: api.cancel(ORDER)], deaths=1)

    assert said(refunded) in (["201"], [])
    assert said(cancelled) in (["200"], [])
    assert not cancelled or sum(refunds(harness)) == TOTAL


@race
def test_our_refund_and_the_merchants(harness):
    ship(harness)
    assert harness.world.program("refunds:write").refund(ORDER, amount=2000).status == 201
    ours, theirs = harness.queues(SETTLEMENT), harness.queues(SETTLEMENT)

    def refund_and_report():
        Merchant(harness.world).refund(ORDER, 1000)
        report(harness, theirs)

    yield Race([lambda: ours.deliver(SETTLEMENT), refund_and_report], deaths=1)

    # THEN one of them is made, and the order has it
    assert refunds(harness) in ([2000], [1000])


# --- disputes ---------------------------------------------------------------------------------------------------------


@race
def test_a_dispute_while_the_shipment_is_released(harness):
    captured_elsewhere(harness)
    harness.world.queues.deliver(FULFILLMENT)
    release, bank = harness.queues(SETTLEMENT), harness.queues(SETTLEMENT)

    def dispute_and_report():
        assert Merchant(harness.world).dispute(ORDER)
        report(harness, bank)

    yield Race([lambda: release.deliver(SETTLEMENT), dispute_and_report], deaths=1)

    # THEN the shipment is held back if the dispute was known before; the invariants compare the order of the steps
    assert harness.world.order(ORDER)["dispute"]["state"] == "open"
    assert shipments(harness) in (["released"], ["prepared"])


@pytest.mark.parametrize("decision", ["won", "lost"])
def test_a_dispute_is_decided_while_the_shipment_is_packed(run, decision):
    def scenario(harness):
        disputed(harness)
        harness.world.queues.deliver(FULFILLMENT)
        release, bank = harness.queues(SETTLEMENT), harness.queues(SETTLEMENT)

        def decide_and_report():
            assert Merchant(harness.world).decide(ORDER, decision)
            report(harness, bank)

        yield Race([lambda: release.deliver(SETTLEMENT), decide_and_report], deaths=1)

        assert shipments(harness) == ["released" if decision == "won" else "prepared"]

    run(scenario)


@race
def test_late_reports_of_a_dispute_do_not_open_it_again(harness):
    disputed(harness)
    merchant = Merchant(harness.world)
    one, two = harness.queues(SETTLEMENT), harness.queues(SETTLEMENT)
    provider_events.publish(harness.world, ORDER, "evt_late")

    def decide_and_report():
        assert merchant.decide(ORDER, "won")
        report(harness, two)

    yield Race([lambda: one.deliver(SETTLEMENT), decide_and_report])

    order = harness.world.order(ORDER)
    assert [entry["dispute"] for entry in order["history"] if "dispute" in entry] == ["open", "won"]


# --- limits -----------------------------------------------------------------------------------------------------------


@race_with(ORDERS_PER_HOUR="1", DECLINES_PER_HOUR="0")
def test_two_orders_for_the_last_one_of_the_hour(harness):
    one, two = harness.api(), harness.api()

    answers = yield Race([lambda: one.place(body(), "one"), lambda: two.place(body(), "two")])

    assert said(*answers) == ["201", "too-many-orders"]


@race_with(ORDERS_PER_HOUR="0", DECLINES_PER_HOUR="1")
def test_two_declines_at_the_limit(harness):
    one, two = harness.api(), harness.api()
    declined = body(token="tok_decline")

    answers = yield Race([lambda: one.place(declined, "one"), lambda: two.place(declined, "two")], deaths=1)

    # THEN both may have begun before the first decline, and no other order is accepted
    assert set(said(*answers)) <= {"payment-declined", "too-many-orders"}
    assert not all(answers) or harness.world.api().place(body(), "three").problem == "too-many-orders"
