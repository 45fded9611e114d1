"""Handoff's own functions with Stripe behind them: from the order to the money."""

import boto3
import pytest

from support import stripe_server
from support.payment_providers import SECRET
from support.stripe_server import DECLINED, VISA
from support.world import body, deployed


@pytest.fixture
def stack(server):
    """The template's stack in moto, with Stripe chosen."""
    parameters = {"PaymentProvider": "stripe", "StripeSecret": SECRET, "StripeApiBase": server.base}
    with deployed(parameters) as stack:
        boto3.client("secretsmanager").create_secret(Name=SECRET, SecretString="sk_test_first")
        yield stack


def test_a_placed_order_is_held_and_captured_once_it_is_packed(world, api, server):
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


def test_a_cancelled_orders_hold_is_voided(world, api, server):
    order_id = api.place(body(token=VISA)).json["orderId"]
    api.cancel(order_id)

    world.queues.until_quiet()

    assert [intent["status"] for intent in server.of(order_id)] == ["canceled"]


def test_a_declined_card_is_402_and_the_stock_goes_back(world, api):
    assert api.place(body(token=DECLINED)).status == 402
    assert world.available() == 10


def test_a_refused_api_key_is_503_and_no_decline(world, api, server):
    server.api_keys = set()

    assert api.place(body(token=VISA)).status == 503

    server.api_keys = {"sk_test_first"}
    assert api.place(body(token=VISA)).status == 201


def test_a_lost_answer_is_503_and_the_same_key_goes_on(world, api, server):
    server.on("create", stripe_server.lose_answer)
    assert api.place(body(token=VISA)).status == 503

    answer = api.place(body(token=VISA))

    assert answer.status == 201
    assert [intent["status"] for intent in server.of(answer.json["orderId"])] == ["requires_capture"]


def test_an_abandoned_hold_is_voided_even_if_the_sweeper_was_away_for_days(world, api, server):
    # GIVEN a request whose answer was lost, whose customer did not come back, and a sweeper that did not run
    server.on("create", stripe_server.lose_answer)
    order_id = api.place(body(token=VISA)).json["orderId"]
    world.clock.forward(3 * stripe_server.KEYS_KEPT)

    world.settle_down(minutes=5)

    assert [intent["status"] for intent in server.of(order_id)] == ["canceled"]
    assert world.order(order_id)["payment"]["state"] == "voided"
    assert world.available() == 10
