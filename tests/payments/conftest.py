"""A deployment in moto, and Stripe on a socket of loopback."""

import boto3
import pytest

from dev.simulated.world import deployed
from tests.support import stripe_server
from tests.support.payment_providers import SECRET, PaymentsCaller, Sandbox, Stripe


@pytest.fixture(scope="module")
def stack():
    """The template's stack in moto, and a secret for Stripe's key."""
    with deployed() as stack:
        boto3.client("secretsmanager").create_secret(Name=SECRET, SecretString="nothing yet")
        yield stack


@pytest.fixture
def server(clock):
    """Stripe."""
    with stripe_server.running() as server:
        yield server


@pytest.fixture
def stripe(world, server):
    """Stripe behind its adapter."""
    return Stripe(world, server)


@pytest.fixture(params=["sandbox", "stripe"])
def provider(request, world):
    """Every provider behind its adapter."""
    return Sandbox(world) if request.param == "sandbox" else request.getfixturevalue("stripe")


@pytest.fixture
def shop(provider):
    """Somebody who calls the port."""
    return PaymentsCaller(provider)
