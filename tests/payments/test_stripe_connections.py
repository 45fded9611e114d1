"""The adapter of Stripe: connections that are closed in place of an answer."""

import pytest
import stripe as stripe_library

from handoff import connections
from shop import payments
from shop.payments import Authorized, Captured, Refunded, Unknown, Voided
from tests.support import stripe_server
from tests.support.payment_providers import ORDER, OTHER
from tests.support.stripe_server import VISA

OPERATION = {"authorise": "create", "capture": "capture", "void": "cancel", "refund": "refund"}


@pytest.fixture
def server(clock, certificate, monkeypatch):
    """The simulated Stripe, reached by TLS like the real one."""
    monkeypatch.setattr(stripe_library, "ca_bundle_path", str(certificate))
    with stripe_server.running(certificate) as server:
        yield server


@pytest.fixture
def provider(stripe):
    """The simulated Stripe alone."""
    return stripe


@pytest.fixture
def run(shop, step):
    """Run any step: authorize an order, or end or refund the payment of another."""
    reference = shop.ready(step, OTHER)
    return lambda: shop.authorize(VISA) if step == "authorise" else shop.end(step, reference, OTHER)


def test_no_connection_is_used_that_died_during_a_freeze(shop, server, frozen_for):
    shop.hold(OTHER)
    shop.hold(ORDER)
    assert server.connections.opened == 1  # it is kept

    frozen_for(connections.TRUSTED_FOR + 1)
    server.connections.kill()

    assert shop.hold("ord_c")
    assert server.connections.resets == 0


@pytest.mark.parametrize("step", OPERATION)
@pytest.mark.parametrize("fault", [stripe_server.lose_request, stripe_server.lose_answer])
def test_a_closed_connection_is_retried_once_with_the_same_key(run, stripe, server, step, fault):
    server.on(OPERATION[step], fault)

    assert isinstance(run(), Authorized | Captured | Voided | Refunded)

    first, again = server.made(OPERATION[step])[-2:]
    assert first.idempotency_key == again.idempotency_key
    assert sum((stripe.books(ORDER) + stripe.books(OTHER)).values()) == (2 if step == "authorise" else 1)
    assert stripe.refunds(OTHER) == ([4500] if step == "refund" else [])


def test_the_reset_of_a_connection_in_use_fails_no_payment(shop, server):
    shop.hold(OTHER)
    server.connections.kill()

    assert shop.hold(ORDER)
    assert server.connections.resets == 1


@pytest.mark.parametrize("step", OPERATION)
@pytest.mark.parametrize(
    "second",
    [
        stripe_server.lose_request,
        stripe_server.refuse(429, code="rate_limit"),
        stripe_server.refuse(401),
        stripe_server.hang_before,
    ],
    ids=["lost too", "throttled", "key rejected", "silent"],
)
def test_a_failed_retry_leaves_the_outcome_unknown(run, stripe, server, step, second):
    stripe.payments = stripe.connect(seconds=1)
    server.on(OPERATION[step], stripe_server.lose_answer)
    server.on(OPERATION[step], second)

    with pytest.raises(Unknown):
        run()


def test_a_closed_connection_is_not_retried_without_time_for_the_answer(shop, server, clock):
    late = payments.LONGEST_CALL - 0.5
    server.on("create", stripe_server.meanwhile(lambda: clock.forward(late), stripe_server.lose_answer))

    with pytest.raises(Unknown):
        shop.authorize(VISA)
    assert len(server.made("create")) == 1
