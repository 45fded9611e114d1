"""Handoff's functions with Stripe: from the order to the capture."""

import boto3
import pytest

from dev.simulated.world import MUG, body, deployed
from tests.support import stripe_server
from tests.support.payment_providers import SECRET
from tests.support.stripe_server import DECLINED, SINGLE_USE, VISA


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
