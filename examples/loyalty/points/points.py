"""One loyalty point for each order placed, given exactly once."""

# The consumer is imported before pydantic: see handoff.consumer.
from handoff import consumer  # isort: skip

from typing import TYPE_CHECKING, Any

from handoff import aws, settings
from handoff.clock import Deadline
from handoff.events import Envelope
from handoff.once import write_once
from handoff.telemetry import logger
from handoff.update import Update
from shop.events import EVENTS, OrderData

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

_SECONDS = 10.0  # for one event

_dynamodb = aws.client("dynamodb")
_table = settings.text("POINTS_TABLE")
_consumer = consumer.connect("points", EVENTS.parse)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Consume a batch of the points queue."""
    return _consumer.run(event, context, give_point)


def give_point(envelope: Envelope) -> consumer.Handled:
    """Give the user of an order a point, in one transaction with the event's marker."""
    user_id = envelope.expect(OrderData).user_id
    point = Update(_table, {"id": f"user#{user_id}"}).add("points", 1)
    marker = {envelope.event_id: {"id": f"event#{envelope.event_id}"}}
    new = write_once(_dynamodb, _table, marker, lambda _: [point.write()], Deadline(_SECONDS))
    return consumer.DONE if new else consumer.REPEATED
