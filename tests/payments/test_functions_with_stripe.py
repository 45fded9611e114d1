"""Handoff's functions with Stripe: from the order to the capture."""

import json

import boto3
import pytest

from dev.simulated.world import MUG, body, deployed
from tests.support import provider_events, stripe_server
from tests.support.payment_providers import SECRET
from tests.support.stripe_server import DECLINED, NEEDS_CUSTOMER, PENDING_REFUND, SINGLE_USE, VISA


@pytest.fixture
def stack(server):
    """Deploy the template to moto with Stripe."""
    parameters = {"PaymentProvider": "stripe", "StripeSecret": SECRET, "StripeApiBase": server.base}
    with deployed(parameters) as stack:
        boto3.client("secretsmanager").create_secret(Name=SECRET, SecretString="sk_test_first")
        yield stack


def test_a_placed_order_is_held_and_captured_when_packed(world, api, server):
    answer = api.place(body(token=VISA))
    assert answer.status == 201
    order_id = answer.json["orderId"]
    (intent,) = server.of(order_id)
    assert intent["status"] == "requires_capture"
    assert intent["amount"] == 1250
    assert world.order(order_id)["payment"]["expiresAt"] == intent["created"] * 1000 + stripe_server.HOLD_LASTS * 1000

    world.queues.until_quiet()

    assert [intent["status"] for intent in server.of(order_id)] == ["succeeded"]
    assert world.order(order_id)["payment"]["state"] == "captured"
    assert world.item("ShipmentsTable", orderId=order_id)["state"] == "released"


def test_the_hold_of_a_canceled_order_is_voided(world, api, server):
    order_id = api.place(body(token=VISA)).json["orderId"]
    api.cancel(order_id)

    world.queues.until_quiet()

    assert [intent["status"] for intent in server.of(order_id)] == ["canceled"]


def test_a_declined_card_is_402_and_returns_the_stock(world, api):
    assert api.place(body(token=DECLINED)).status == 402
    assert world.available() == 10


def test_a_used_payment_method_is_402_and_returns_the_stock(world, api):
    assert api.place(body(token=SINGLE_USE), key="first").status == 201

    answer = api.place(body(token=SINGLE_USE), key="second")

    assert answer.status == 402
    assert "another payment method" in answer.json["detail"]
    assert world.available() == 9


@pytest.mark.parametrize(("unit_price", "advice"), [(0, "Order more,"), (20, "Order more,"), (10**9, "Order less,")])
def test_a_total_that_stripe_rejects_is_402_for_its_key(world, api, unit_price, advice):
    world.stock(MUG, unit_price=unit_price)

    first, again = (api.place(body(token=VISA)) for _ in range(2))

    assert first.status == 402
    assert advice in first.json["detail"]
    assert (again.status, again.json) == (first.status, first.json)
    assert world.available() == 10


def test_an_expired_order_after_our_mistake_has_nothing_to_void(world, api, server):
    server.on("create", stripe_server.refuse(400, code="parameter_unknown"), times=100)
    answer = api.place(body(token=VISA))
    assert answer.status == 503

    world.settle_down(minutes=15)

    assert world.order(answer.json["orderId"])["payment"]["state"] == "voided"
    assert world.unfinished() == []
    assert world.available() == 10


def test_a_rejected_api_key_is_503_and_no_decline(world, api, server):
    server.api_keys = set()

    assert api.place(body(token=VISA)).status == 503

    server.api_keys = {"sk_test_first"}
    assert api.place(body(token=VISA)).status == 201


def test_a_lost_answer_is_503_and_the_same_key_continues(world, api, server):
    server.on("create", stripe_server.lose_answer, times=2)
    assert api.place(body(token=VISA)).status == 503

    answer = api.place(body(token=VISA))

    assert answer.status == 201
    assert [intent["status"] for intent in server.of(answer.json["orderId"])] == ["requires_capture"]


def test_an_abandoned_hold_is_voided_days_later(world, api, server):
    # GIVEN a request whose answer was lost, a customer who did not retry, and a sweeper that did not run
    server.on("create", stripe_server.lose_answer, times=2)
    order_id = api.place(body(token=VISA)).json["orderId"]
    world.clock.forward(3 * stripe_server.KEYS_KEPT)

    world.settle_down(minutes=5)

    assert [intent["status"] for intent in server.of(order_id)] == ["canceled"]
    assert world.order(order_id)["payment"]["state"] == "voided"
    assert world.available() == 10


# --- refunds ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def program(world):
    """A program that may refund."""
    return world.program("refunds:write")


@pytest.fixture
def released(world, api):
    """Place an order of 12.50 that is packed and paid; return its id."""

    def release(token=VISA):
        order_id = api.place(body(token=token)).json["orderId"]
        world.queues.until_quiet()
        assert world.order(order_id)["payment"]["state"] == "captured"
        return order_id

    return release


def refunds(world, order_id):
    """Return the state and the failure of each of an order's refunds."""
    return [(refund["state"], refund.get("failure")) for refund in world.order(order_id)["refunds"].values()]


def test_a_released_order_is_refunded_in_parts(world, server, program, released):
    order_id = released()

    assert program.refund(order_id, "first", amount=500).status == 201
    assert program.refund(order_id, "second").status == 201
    world.queues.until_quiet()

    assert [refund["amount"] for refund in server.refunds_of(order_id)] == [500, 750]
    assert refunds(world, order_id) == [("refunded", None)] * 2
    assert world.unfinished() == []


def test_a_pending_refund_is_completed_by_the_sweeper(world, program, released):
    order_id = released(PENDING_REFUND)
    program.refund(order_id)
    world.queues.until_quiet()
    assert refunds(world, order_id) == [("pending", None)]

    world.settle_down(minutes=10)

    assert refunds(world, order_id) == [("refunded", None)]
    assert world.unfinished() == []


def test_a_refund_of_a_disputed_payment_fails_with_its_reason(world, server, program, released):
    order_id = released()
    server.dispute(order_id)
    program.refund(order_id)

    world.queues.until_quiet()

    assert refunds(world, order_id) == [("failed", "charge_disputed")]
    assert server.refunds_of(order_id) == []
    assert world.unfinished() == []


def test_a_key_without_access_to_refunds_leaves_the_refund_due(world, server, program, released):
    order_id = released()
    server.on("refunds", stripe_server.refuse(403, code="more_permissions_required"), times=100)
    program.refund(order_id)
    world.settle_down(minutes=3)
    assert refunds(world, order_id) == [("due", None)]

    server.heal()
    world.settle_down(minutes=20)

    assert refunds(world, order_id) == [("refunded", None)]


def test_a_refund_with_a_lost_answer_is_made_once(world, server, program, released):
    order_id = released()
    server.on("refund", stripe_server.lose_answer, times=2)
    program.refund(order_id)

    world.settle_down(minutes=20)

    assert [refund["amount"] for refund in server.refunds_of(order_id)] == [1250]
    assert refunds(world, order_id) == [("refunded", None)]


@pytest.mark.parametrize("amount", [1250, 1000])
def test_a_canceled_order_that_the_merchant_has_captured_is_refunded(world, api, server, amount):
    order_id = api.place(body(token=VISA)).json["orderId"]
    server.capture_in_dashboard(order_id, amount)
    api.cancel(order_id)

    world.settle_down(minutes=5)

    assert [refund["amount"] for refund in server.refunds_of(order_id)] == [amount]
    assert refunds(world, order_id) == [("refunded", None)]
    assert world.unfinished() == []


def test_a_shipment_that_the_merchant_has_captured_in_part_is_not_released(world, api, server):
    order_id = api.place(body(token=VISA)).json["orderId"]
    server.capture_in_dashboard(order_id, 1000)

    world.queues.until_quiet()

    payment = world.order(order_id)["payment"]
    assert (payment["state"], payment["captured"], payment["reason"]) == ("captured", 1000, "captured 1000 of 1250")
    assert world.item("ShipmentsTable", orderId=order_id)["state"] == "prepared"
    assert "shipment_released" not in world.event_types()
    assert world.unfinished() == []


# --- the customer has to confirm the payment --------------------------------------------------------------------------


@pytest.fixture
def waiting(api):
    """The 202 of an order that waits for its customer."""
    answer = api.place(body(token=NEEDS_CUSTOMER, customerAction=True))
    assert answer.status == 202
    return answer.json


def statuses(server, order_id):
    """Return the status of each of an order's intents."""
    return [intent["status"] for intent in server.of(order_id)]


def test_a_confirmed_order_is_placed_held_and_captured(world, api, server, waiting):
    order_id = waiting["orderId"]
    assert [intent["client_secret"] for intent in server.of(order_id)] == [waiting["clientSecret"]]
    assert server.act(order_id)

    assert api.confirm(order_id).json["status"] == "PLACED"
    (intent,) = server.of(order_id)
    assert world.order(order_id)["payment"]["expiresAt"] == intent["created"] * 1000 + stripe_server.HOLD_LASTS * 1000
    world.queues.until_quiet()

    assert statuses(server, order_id) == ["succeeded"]
    assert world.order(order_id)["payment"]["state"] == "captured"


def test_a_failed_confirmation_is_402_and_leaves_no_payment_to_try_again(world, api, server, waiting):
    order_id = waiting["orderId"]
    server.act(order_id, succeeds=False)

    assert api.confirm(order_id).status == 402
    world.settle_down(minutes=3)

    assert statuses(server, order_id) == ["canceled"]
    assert not server.pay_with(order_id, VISA)
    assert world.available() == 10
    assert world.unfinished() == []


def test_a_second_card_on_the_page_pays_the_order(api, server, waiting):
    server.act(waiting["orderId"], succeeds=False)
    server.pay_with(waiting["orderId"], VISA)

    assert api.confirm(waiting["orderId"]).json["status"] == "PLACED"
    assert statuses(server, waiting["orderId"]) == ["requires_capture"]


def test_an_abandoned_confirmation_is_canceled_in_time(world, server, waiting):
    world.settle_down(minutes=17)

    assert statuses(server, waiting["orderId"]) == ["canceled"]
    assert not server.act(waiting["orderId"])
    assert world.available() == 10
    assert world.unfinished() == []


@pytest.mark.parametrize("way", ["sweeper", "event"])
def test_a_customer_who_confirms_and_leaves_gets_the_order(world, server, waiting, way):
    order_id = waiting["orderId"]
    server.act(order_id)

    if way == "event":
        provider_events.publish(world, order_id)
        world.queues.until_quiet()
    else:
        world.settle_down(minutes=3)

    assert world.order(order_id)["status"] in {"PLACED", "PREPARED"}
    assert world.event_types().count("order_placed") == 1
    assert len(server.of(order_id)) == 1


def test_a_confirmation_with_a_lost_answer_is_continued_by_the_same_key(api, server):
    wanted = body(token=NEEDS_CUSTOMER, customerAction=True)
    server.on("create", stripe_server.lose_answer, times=2)
    assert api.place(wanted).status == 503

    answer = api.place(wanted)

    assert answer.status == 202
    assert [intent["client_secret"] for intent in server.of(answer.json["orderId"])] == [answer.json["clientSecret"]]


def test_stripes_client_secret_is_stored_and_logged_nowhere(world, api, server, logged, capsys):
    waiting = api.place(body(token=NEEDS_CUSTOMER, customerAction=True)).json
    server.act(waiting["orderId"], succeeds=False)
    api.confirm(waiting["orderId"])
    world.settle_down(minutes=3)

    written = [logged(), capsys.readouterr().out, json.dumps(world.events())]
    written += [str(world.items(table)) for table in ("OrdersTable", "LimitsTable", "IdempotencyTable")]
    assert [text for text in written if waiting["clientSecret"] in text] == []


# --- what happens at Stripe without Handoff ---------------------------------------------------------------------------


def hears(world, order_id):
    """Let Handoff hear of what has happened to an order's payment."""
    provider_events.publish(world, order_id, f"evt_{world.clock.ms}_{len(world.events())}")
    world.queues.until_quiet()


def test_the_merchants_refund_is_in_the_order(world, server, released):
    order_id = released()
    server.refund_in_dashboard(order_id, 500)
    hears(world, order_id)
    hears(world, order_id)

    (refund,) = world.order(order_id)["refunds"].values()
    assert (refund["amount"], refund["state"]) == (500, "refunded")
    assert world.unfinished() == []


def test_a_refund_that_the_bank_returns_is_failed_in_the_order(world, server, program, released):
    order_id = released()
    program.refund(order_id, amount=500)
    world.queues.until_quiet()
    server.fail_refund(order_id)
    hears(world, order_id)

    assert refunds(world, order_id) == [("failed", "expired_or_canceled_card")]
    assert world.unfinished() == []


@pytest.mark.parametrize("state", ["won", "lost"])
def test_a_dispute_and_its_outcome_are_in_the_order(world, server, released, state):
    order_id = released()
    server.dispute(order_id)
    hears(world, order_id)
    assert (world.order(order_id)["dispute"]["state"], world.order(order_id)["dispute"]["amount"]) == ("open", 1250)

    server.decide_dispute(order_id, state)
    hears(world, order_id)

    assert world.order(order_id)["dispute"]["state"] == state
    assert world.event_types().count("payment_disputed") == 2


def test_a_partial_capture_is_recorded_without_a_refund(world, api, server):
    order_id = api.place(body(token=VISA)).json["orderId"]
    server.capture_in_dashboard(order_id, 1000)
    hears(world, order_id)

    order = world.order(order_id)
    assert (order["payment"]["state"], order["payment"]["captured"]) == ("captured", 1000)
    assert order.get("refunds", {}) == {}
    assert world.available() == 9


def test_a_hold_that_the_merchant_cancels_cancels_the_order(world, api, server):
    order_id = api.place(body(token=VISA)).json["orderId"]
    server.cancel_in_dashboard(order_id)
    provider_events.publish(world, order_id)
    world.queues.deliver("SettlementFunction")

    assert world.order(order_id)["status"] == "CANCELLED"
    assert world.available() == 10


@pytest.mark.parametrize("reference", ["pi_of_another_account", "pi_1"])
def test_an_event_about_a_payment_of_others_changes_nothing(world, api, server, reference):
    order_id = api.place(body(token=VISA)).json["orderId"]
    server.of(order_id)[0]["metadata"] = {"order_id": "another system's"} if reference == "pi_1" else {}
    before = world.order(order_id)

    provider_events.publish_about(world, reference)
    world.queues.deliver("SettlementFunction")

    assert world.order(order_id) == before
    assert "SettlementFunction" not in world.queues.busy()
