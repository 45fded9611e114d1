"""Handoff's own functions with Stripe behind them: from the order to the money."""

import boto3
import pytest

from dev.simulated.world import MUG, body, deployed
from tests.support import stripe_server
from tests.support.payment_providers import SECRET
from tests.support.stripe_server import DECLINED, SINGLE_USE, VISA


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


def test_a_payment_method_that_was_used_before_is_402_and_the_stock_goes_back(world, api):
    assert api.place(body(token=SINGLE_USE), key="first").status == 201

    answer = api.place(body(token=SINGLE_USE), key="second")

    assert answer.status == 402
    assert "another payment method" in answer.json["detail"]
    assert world.available() == 9


@pytest.mark.parametrize(("unit_price", "advice"), [(0, "Order more,"), (20, "Order more,"), (10**9, "Order less,")])
def test_a_total_that_stripe_does_not_take_is_402_and_its_key_goes_on_saying_why(world, api, unit_price, advice):
    world.stock(MUG, unit_price=unit_price)

    first, again = (api.place(body(token=VISA)) for _ in range(2))

    assert first.status == 402
    assert advice in first.json["detail"]
    assert (again.status, again.json) == (first.status, first.json)
    assert world.available() == 10


def test_an_order_that_a_mistake_of_ours_stopped_has_nothing_to_void_once_it_is_given_up(world, api, server):
    server.on("create", stripe_server.refuse(400, code="parameter_unknown"), times=100)
    answer = api.place(body(token=VISA))
    assert answer.status == 503

    world.settle_down(minutes=15)

    assert world.order(answer.json["orderId"])["payment"]["state"] == "voided"
    assert world.unfinished() == []
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
