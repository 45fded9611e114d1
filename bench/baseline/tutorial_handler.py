"""A create-order handler as in the libraries' tutorials, to compare cold starts with."""

from typing import Annotated, Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.metrics import MetricUnit
from pydantic import BaseModel, Field

logger = Logger()
metrics = Metrics()
app = APIGatewayHttpResolver(enable_validation=True)
dynamodb = boto3.client("dynamodb")
ledger = boto3.client("dynamodb")
events = boto3.client("events")


class TutorialLine(BaseModel):
    """A product and its quantity."""

    sku: str
    quantity: Annotated[int, Field(ge=1, le=999)]


class TutorialOrder(BaseModel):
    """The body of ``POST /orders``."""

    lines: Annotated[list[TutorialLine], Field(min_length=1, max_length=50)]
    payment_token: str


@app.post("/orders")
def post_order(order: TutorialOrder) -> TutorialOrder:
    """Return the order."""
    metrics.add_metric("OrdersPlaced", MetricUnit.Count, 1)
    return order


@metrics.log_metrics
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle a request of the HTTP API."""
    return app.resolve(event, context)
