"""Loyalty points for each order placed: one for each whole unit of currency, given exactly once."""

from handoff.startup import ready

from typing import TYPE_CHECKING, Any

import order_lookup

from handoff import aws, consumer, settings
from handoff.clock import Deadline
from handoff.events import Envelope
from handoff.once import write_once
from handoff.telemetry import logger
from handoff.update import Update
from shop.events import EVENTS, OrderData

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

_SECONDS = 10.0  # to write the points of one event

_dynamodb = aws.client("dynamodb")
_table = settings.text("POINTS_TABLE")
_orders = order_lookup.connect()
_consumer = consumer.connect("points", EVENTS.parse, longest=order_lookup.LONGEST + _SECONDS)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Consume a batch of the points queue."""
    return _consumer.run(event, context, give_points)


def give_points(envelope: Envelope) -> consumer.Handled:
    """Give the user of an order the points, in one transaction with the event's marker.

    The event carries ids only, so the order is looked up. Of it, nothing but the points is kept.
    """
    order_id = envelope.expect(OrderData).order_id
    order = _orders.order(order_id, envelope.sequence)
    points = Update(_table, {"id": f"user#{order['userId']}"}).add("points", order["total"] // 100)
    marker = {envelope.event_id: {"id": f"event#{envelope.event_id}"}}
    new = write_once(_dynamodb, _table, marker, lambda _: [points.write()], Deadline(_SECONDS))
    return consumer.DONE if new else consumer.REPEATED


ready()
