"""Handoff with Stripe as the provider on the deployed stack, with each function under its own role.

The tests' own Stripe server stands for Stripe. What it tells, it tells by signed requests to the webhook.
"""

import contextlib
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from dev.demo import orders as demo
from dev.local.stack import LocalStack
from ops.shop_client import ShopClient
from ops.stack.deployment import Deployment
from tests.e2e.support import eventually, order, place
from tests.support import stripe_events, stripe_server
from tests.support.stripe_server import NEEDS_CUSTOMER, StripeServer

STACK = "with-stripe"
KEY, WEBHOOK = "shop/stripe", "shop/stripe-webhook"  # secrets
SIGNING_SECRET = "whsec_first"


@pytest.fixture(scope="module")
def stripe() -> Iterator[StripeServer]:
    with stripe_server.running() as server:
        yield server


@pytest.fixture(scope="module")
def with_stripe(local_stack: LocalStack, deployment: Deployment, stripe: StripeServer) -> Deployment:
    """A second stack of the same build, whose provider is Stripe, with the webhook."""
    secrets = deployment.client("secretsmanager")
    secrets.create_secret(Name=KEY, SecretString="sk_test_first")
    secrets.create_secret(Name=WEBHOOK, SecretString=SIGNING_SECRET)
    provider = {"PaymentProvider": "stripe", "StripeSecret": KEY, "StripeApiBase": stripe.base}
    local_stack.deploy_again(STACK, **provider, PaymentEventsSecret=WEBHOOK, ApiId="0a1b2c3e")
    return Deployment(STACK, local_stack.session(), local_stack.endpoint)


@pytest.fixture(scope="module")
def customer(with_stripe: Deployment) -> Iterator[ShopClient]:
    account = demo.prepare(with_stripe)
    with contextlib.closing(ShopClient(with_stripe.api_url, account.token)) as client:
        yield client


def tell(deployment: Deployment, payload: str, signature: str) -> int:
    """Send a request to the webhook as Stripe does; return the status."""
    headers = {"content-type": "application/json", "stripe-signature": signature}
    request = urllib.request.Request(f"{deployment.api_url}/payment-events", payload.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_signed_event_places_the_order_of_a_customer_who_closed_the_page(
    with_stripe: Deployment, customer: ShopClient, stripe: StripeServer
) -> None:
    # GIVEN an order whose customer has confirmed the payment at the bank, and closed the page
    answer = place(customer, paymentToken=NEEDS_CUSTOMER, customerAction=True)
    assert answer.status == 202, answer.body
    order_id = answer.body["orderId"]
    assert stripe.act(order_id)
    (event,) = stripe.events.of("payment_intent.amount_capturable_updated")
    payload, signature = stripe_events.signed(event, SIGNING_SECRET)
    # WHEN a forged event arrives, THEN it is refused
    assert tell(with_stripe, payload, stripe_events.signed(event, "whsec_guessed")[1]) == 400
    assert order(with_stripe, order_id)["status"] == "PENDING"
    # WHEN Stripe's own arrives, twice, THEN the order is placed
    assert [tell(with_stripe, payload, signature) for _ in range(2)] == [200, 200]
    eventually(lambda: order(with_stripe, order_id)["status"], lambda status: status != "PENDING")
    # AND packed, and paid once
    eventually(lambda: "releasedAt" in order(with_stripe, order_id), bool)
    (intent,) = stripe.of(order_id)
    assert (intent["status"], intent["amount_received"]) == ("succeeded", answer.body["total"])
