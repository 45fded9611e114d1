"""What the tests of interleavings share."""

from collections.abc import Callable
from typing import Any

from dev.simulated import wire
from dev.simulated.api import Answer
from shop import ids
from tests.support.race_harness import Scenario

EMAILS, ANALYTICS, FULFILLMENT, SETTLEMENT = (
    "EmailsFunction",
    "AnalyticsFunction",
    "FulfillmentFunction",
    "SettlementFunction",
)
ORDER = ids.order_id("ada", "key-1")
LEASE, FIRST_LOOK, EXPIRY = 25, 60, 600  # seconds
REFUSED = wire.refuse("ThrottlingException")


def race(scenario: Scenario) -> Callable[[Callable[..., None]], None]:
    """Return the test of a scenario."""
    return lambda run: run(scenario)


def race_with(**settings: str) -> Callable[[Scenario], Callable[[Callable[..., None]], None]]:
    """Return a decorator like `race`, with other settings of the functions."""
    return lambda scenario: lambda run: run(scenario, settings)


def said(*answers: Answer | Any) -> list[str]:
    """Return the status or the problem of each answer, without crashed requests."""
    return sorted(answer.problem if answer.status >= 400 else str(answer.status) for answer in answers if answer)
