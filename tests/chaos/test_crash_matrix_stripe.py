"""The crash matrix with Stripe as the provider, with faults at AWS and at Stripe's socket."""

import random
from dataclasses import replace

import boto3
import pytest

from dev.simulated.world import deployed
from tests.support import experiments, stripe_server
from tests.support.payment_providers import SECRET
from tests.support.scenarios import SCENARIOS

_CHOSEN = [
    *("place", "place, without retries", "declined", "cancel", "cancel during preparation"),
    *("cancel what the merchant has captured", "refund in parts", "refund, pending"),
    *("action", "action fails", "action abandoned", "action and the same request", "action reported by the provider"),
    *("hold cancelled in the dashboard", "captured in part in the dashboard", "refunded in the dashboard"),
    "dispute won",
]
_FAULTS = {
    "request lost": stripe_server.lose_request,
    "answer lost": stripe_server.lose_answer,
    "bad gateway": stripe_server.bad_gateway,
    "too many requests": stripe_server.refuse(429, code="rate_limit"),
}
# Stripe stores a 500 with its key for a day: no customer waits for it, and each of these takes a day of sweeps.
_KEPT_FAULTS = {"failed before": stripe_server.fail_before, "failed after": stripe_server.fail_after}
_SINGLES = {"sample": 10, "full": None}

pytestmark = pytest.mark.timeout(0)


def pytest_generate_tests(metafunc):
    """Only ``FULL=1`` tries faults that do not outlast the retries too."""
    effort = metafunc.config.getoption("--chaos")
    found = [scenario for scenario in SCENARIOS if scenario.name in _CHOSEN]
    metafunc.parametrize("scenario", found, ids=lambda scenario: scenario.name)
    if "times" in metafunc.fixturenames:
        metafunc.parametrize("times", [1, 3] if effort == "full" else [3])


@pytest.fixture(scope="module")
def stripe():
    """The simulated Stripe on a loopback socket."""
    with stripe_server.running() as server:
        yield server


@pytest.fixture(scope="module")
def stack(stripe):
    """A stack with Stripe."""
    with deployed({"PaymentProvider": "stripe", "StripeSecret": SECRET, "StripeApiBase": stripe.base}) as stack:
        boto3.client("secretsmanager").create_secret(Name=SECRET, SecretString="sk_test_first")
        yield stack


@pytest.fixture
def run(stack, stripe, tally, scenario):
    """Run the scenario with faults at AWS and at Stripe, which starts empty."""

    def experiment(*strikes, at_stripe=(), scenario=scenario):
        stripe.forget()
        for operation, fault in at_stripe:
            stripe.on(operation, fault)
        tally["experiments with Stripe"] += 1
        return experiments.run(stack, scenario, *strikes, stripe=stripe)

    return experiment


@pytest.mark.parametrize("fault", _FAULTS.values(), ids=_FAULTS)
def test_a_fault_at_stripe(run, stripe, fault, times):
    run()
    for operation in {request.operation for request in stripe.requests}:
        run(at_stripe=[(operation, fault)] * times)


@pytest.mark.parametrize("fault", _KEPT_FAULTS.values(), ids=_KEPT_FAULTS)
def test_a_failure_that_stripe_stores_with_the_key(run, stripe, effort, scenario, fault):
    run()
    operations = sorted({request.operation for request in stripe.requests})
    for operation in operations[: None if effort.level == "full" else 1]:
        run(at_stripe=[(operation, fault)], scenario=replace(scenario, expect=lambda client: None))


def test_a_fault_at_aws(run, effort, scenario):
    strikes = list(run().further())
    most = _SINGLES[effort.level] or len(strikes)
    for strike in random.Random(f"{effort.seed} {scenario.name}").sample(strikes, min(most, len(strikes))):
        run(strike)
