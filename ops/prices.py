"""List prices of the services that `handoff verify` and `handoff load` use, in US dollars, region us-east-1.

They are without free tiers. Other regions can be a quarter dearer. Those that bench/prices.toml has too are equal; a
test compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Price:
    """``usd`` for ``per`` units, and AWS's page."""

    usd: float
    per: int
    page: str


PRICES = {
    "http_api_request": Price(1.00, 1_000_000, "https://aws.amazon.com/api-gateway/pricing/"),
    "lambda_request": Price(0.20, 1_000_000, "https://aws.amazon.com/lambda/pricing/"),
    "lambda_gb_second": Price(0.0000133334, 1, "https://aws.amazon.com/lambda/pricing/"),
    "dynamodb_write": Price(0.625, 1_000_000, "https://aws.amazon.com/dynamodb/pricing/on-demand/"),
    "dynamodb_read": Price(0.125, 1_000_000, "https://aws.amazon.com/dynamodb/pricing/on-demand/"),
    "eventbridge_event": Price(1.00, 1_000_000, "https://aws.amazon.com/eventbridge/pricing/"),
    "sqs_request": Price(0.40, 1_000_000, "https://aws.amazon.com/sqs/pricing/"),
    "ses_mail": Price(0.10, 1_000, "https://aws.amazon.com/ses/pricing/"),
    "sns_mail": Price(2.00, 100_000, "https://aws.amazon.com/sns/pricing/"),
    "cloudwatch_request": Price(0.01, 1_000, "https://aws.amazon.com/cloudwatch/pricing/"),
    "logs_gb": Price(0.50, 1, "https://aws.amazon.com/cloudwatch/pricing/"),
    "xray_trace": Price(5.00, 1_000_000, "https://aws.amazon.com/xray/pricing/"),
    "insights_gb": Price(0.005, 1, "https://aws.amazon.com/cloudwatch/pricing/"),
}


def total(costs: Mapping[str, float]) -> float:
    """Return the price in US dollars of so many units of each."""
    return sum(PRICES[name].usd / PRICES[name].per * count for name, count in costs.items())
