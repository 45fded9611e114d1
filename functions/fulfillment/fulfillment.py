"""Fulfillment consumer: pack the orders whose cancel window is over, or open their shipments for a warehouse.

It has no payment permissions: see the consumer settlement.
"""

from handoff.startup import ready

from typing import TYPE_CHECKING, Any

from handoff import aws, bus, consumer
from handoff.clock import Deadline, now_ms
from handoff.consumer import DONE, REPEATED, Handled
from handoff.errors import NotYet
from handoff.events import Envelope
from handoff.outbox import announce
from handoff.telemetry import logger
from shop import order_store, settings, shipment_store, transitions
from shop.events import EVENTS, DetailType, OrderData
from shop.model import Order, Packing, Status

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

_SECONDS_FOR_ONE = 15.0
_LONGEST = aws.LONGEST_CALL + _SECONDS_FOR_ONE  # the order is read first

_settings = settings.load()
_dynamodb = aws.client("dynamodb")
_orders = order_store.connect(_dynamodb, _settings)
_shipments = shipment_store.connect(_dynamodb, _settings)
_packing = Packing(settings.text("PACKING"))
_bus = bus.connect(_settings.bus_name)
_consumer = consumer.connect("fulfillment", EVENTS.parse, longest=_LONGEST, delay=settings.seconds("QUEUE_DELAY"))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Consume a batch of the fulfillment queue."""
    return _consumer.run(event, context, fulfill)


def fulfill(envelope: Envelope) -> Handled:
    """Pack a placed order or open its shipment, unless its state shows that it was packed or cancelled before."""
    order_id = envelope.expect(OrderData).order_id
    if envelope.detail_type != DetailType.ORDER_PLACED:
        # Sent to this queue while an earlier release was deployed. The sweeper settles a payment that is still due.
        return consumer.skipped("settlement handles this event")
    order = _orders.get(order_id)
    if order is None or order.sequence < envelope.sequence:
        raise NotYet(f"order {order_id} is missing or outdated")
    if order.status is Status.PREPARED:
        return REPEATED
    if order.status is not Status.PLACED:
        return consumer.skipped(f"the order is {order.status.lower()}")
    return open_shipment(order) if _packing is Packing.MANUAL else prepare(order)


def prepare(order: Order) -> Handled:
    """Write the shipment of a placed order and publish its event."""
    deadline = Deadline(_SECONDS_FOR_ONE)
    announce(_orders, _bus, _orders.transition(transitions.prepared(order, now_ms()), deadline), deadline)
    return DONE


def open_shipment(order: Order) -> Handled:
    """Store the shipment of a placed order for a warehouse, which packs it and reports that to the API."""
    try:
        is_new = _shipments.open(order, now_ms(), Deadline(_SECONDS_FOR_ONE))
    except aws.ConditionFailed:
        return consumer.skipped("the order was packed or cancelled meanwhile")
    return DONE if is_new else REPEATED


ready()
