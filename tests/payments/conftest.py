"""A deployment in moto, and a simulated Stripe on a loopback socket."""

import boto3
import pytest

from dev.simulated.world import deployed
from tests.support import stripe_server
from tests.support.payment_providers import SECRET, PaymentsCaller, Sandbox, Stripe


@pytest.fixture(scope="module")
def stack():
    """Deploy the template to moto, with a secret for Stripe's key."""
    with deployed() as stack:
        boto3.client("secretsmanager").create_secret(Name=SECRET, SecretString="nothing yet")
        yield stack


@pytest.fixture
def server(clock):
    """The simulated Stripe."""
    with stripe_server.running() as server:
        yield server


@pytest.fixture
def stripe(world, server):
    """The adapter of Stripe."""
    return Stripe(world, server)


@pytest.fixture(params=["sandbox", "stripe"])
def provider(request, world):
    """The adapter of each provider."""
    return Sandbox(world) if request.param == "sandbox" else request.getfixturevalue("stripe")


@pytest.fixture
def shop(provider):
    """A caller of the payment port."""
    return PaymentsCaller(provider)
