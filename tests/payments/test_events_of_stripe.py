"""What happens at Stripe reaches the orders: through the webhook, or later because the sweeper asks for it."""

import boto3
import pytest

from dev.simulated.api import event as request_of
from dev.simulated.world import body, deployed
from dev.template import WITH_PAYMENT_EVENTS
from tests.support.payment_providers import SECRET
from tests.support.stripe_events import signed
from tests.support.stripe_server import NEEDS_CUSTOMER, VISA

SIGNING = "whsec_first"


@pytest.fixture
def stack(server):
    """Deploy the template to moto with Stripe and its webhook."""
    parameters = {**WITH_PAYMENT_EVENTS, "StripeSecret": SECRET, "StripeApiBase": server.base}
    with deployed(parameters) as stack:
        client = boto3.client("secretsmanager")
        client.create_secret(Name=SECRET, SecretString="sk_test_first")
        client.create_secret(Name=WITH_PAYMENT_EVENTS["PaymentEventsSecret"], SecretString=SIGNING)
        yield stack


@pytest.fixture
def send(world):
    """Send an event to the webhook as Stripe does; return the status of the answer."""

    def post(event):
        payload, header = signed(event, SIGNING)
        request = request_of("POST", "/payment-events", None, {"Stripe-Signature": header}, None)
        return world.functions.invoke("PaymentEventsFunction", request | {"body": payload})["statusCode"]

    return post


@pytest.fixture(params=["webhook", "webhook, twice and in reverse", "sweeper"])
def hear(request, world, server, send):
    """Let Handoff hear of all that has happened at Stripe, one way or the other, and do what follows."""

    def by_webhook():
        events = list(server.events.made)
        if "twice" in request.param:
            events = [*reversed(events), *events]
        assert {send(event) for event in events} == {200}
        world.queues.until_quiet()

    return (lambda: world.settle_down(minutes=7)) if request.param == "sweeper" else by_webhook


@pytest.fixture
def placed(world, api):
    """Place an order of 12.50; return its id."""
    answer = api.place(body(token=VISA))
    assert answer.status == 201
    return answer.json["orderId"]


@pytest.fixture
def released(world, placed):
    """Pack the order and capture its payment; return its id."""
    world.queues.until_quiet()
    assert world.order(placed)["payment"]["state"] == "captured"
    return placed


@pytest.fixture
def waiting(api):
    """Place an order that waits for its customer; return its id."""
    return api.place(body(token=NEEDS_CUSTOMER, customerAction=True)).json["orderId"]


def test_a_confirmed_payment_places_the_order_once(world, server, waiting, hear):
    server.act(waiting)
    hear()

    assert world.order(waiting)["status"] in {"PLACED", "PREPARED"}
    assert world.event_types().count("order_placed") == 1
    assert len(server.of(waiting)) == 1


def test_a_failed_confirmation_rejects_the_order_and_cancels_the_payment(world, server, waiting, hear):
    server.act(waiting, succeeds=False)
    hear()

    assert world.order(waiting)["status"] == "REJECTED"
    world.settle_down(minutes=3)  # the sweeper does the void that is due
    assert [intent["status"] for intent in server.of(waiting)] == ["canceled"]
    assert world.available() == 10


def test_a_refund_in_the_dashboard_is_in_the_order_once(world, server, released, hear):
    server.refund_in_dashboard(released, 500)
    hear()

    (refund,) = world.order(released)["refunds"].values()
    assert (refund["amount"], refund["state"]) == (500, "refunded")
    assert world.event_types().count("order_refunded") == 1


def test_a_refund_that_the_bank_returns_is_failed(world, server, released, hear):
    world.program("refunds:write").refund(released, amount=500)
    world.queues.until_quiet()
    server.fail_refund(released)
    hear()

    (refund,) = world.order(released)["refunds"].values()
    assert refund["state"] == "failed"


@pytest.mark.parametrize("state", ["open", "won", "lost"])
def test_a_dispute_is_in_the_order_with_its_outcome(world, server, released, hear, state):
    server.dispute(released)
    if state != "open":
        server.decide_dispute(released, state)
    hear()

    assert world.order(released)["dispute"]["state"] == state
    assert world.event_types().count("payment_disputed") == 1


def test_nothing_that_happens_at_stripe_is_left_undone(world, server, released, send):
    server.refund_in_dashboard(released, 500)
    server.dispute(released)
    server.decide_dispute(released, "won")
    for event in server.events.made:
        send(event)
    world.settle_down(minutes=10)  # the sweeper hears of the same events

    assert world.unfinished() == []
    assert world.queues.dead_letters("SettlementFunction") == []
    assert len(world.order(released)["refunds"]) == 1
    assert world.event_types().count("payment_disputed") == 1
