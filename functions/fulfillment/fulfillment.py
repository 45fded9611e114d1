"""Fulfillment consumer: pack placed orders, capture the payments of packed orders, void those of cancelled ones."""

from typing import TYPE_CHECKING, Any

from handoff import aws, bus, consumer
from handoff.clock import Deadline, now_ms
from handoff.consumer import DONE, REPEATED, Handled
from handoff.errors import NotYet
from handoff.events import Envelope
from handoff.outbox import announce
from handoff.telemetry import MetricUnit, logger, metrics
from shop import order_store, payments, settings, transitions
from shop.events import EVENTS, DetailType, OrderData
from shop.model import Order, PaymentState, Status
from shop.settlement import settle

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

_SECONDS_FOR_ONE = 15.0

_settings = settings.load()
_orders = order_store.connect(aws.client("dynamodb"), _settings)
_payments = payments.connect(_settings.payment_provider, _settings.sandbox_table)
_bus = bus.connect(_settings.bus_name)
_consumer = consumer.connect("fulfillment", EVENTS.parse)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Consume a batch of the fulfillment queue."""
    return _consumer.run(event, context, fulfill)


def fulfill(envelope: Envelope) -> Handled:
    """Do the side effect of an event, unless the order's state shows that it was done before."""
    order_id = envelope.expect(OrderData).order_id
    order = _orders.get(order_id)
    if order is None or order.sequence < envelope.sequence:
        raise NotYet(f"order {order_id} is missing or outdated")
    if envelope.detail_type == DetailType.ORDER_PLACED:
        return prepare(order)
    return settle_payment(order)


def prepare(order: Order) -> Handled:
    """Write the shipment and publish its event. An order that is already prepared or cancelled is not changed."""
    try:
        step = transitions.prepared(order, now_ms())
    except transitions.NotPossible:
        if order.status is Status.PREPARED:
            return REPEATED
        return consumer.skipped(f"the order is {order.status.lower()}")
    deadline = Deadline(_SECONDS_FOR_ONE)
    announce(_orders, _bus, _orders.transition(step, deadline), deadline)
    return DONE


def settle_payment(order: Order) -> Handled:
    """Capture the payment of a prepared order, or void the payment of a cancelled one."""
    if order.payment_due is None:
        return REPEATED
    settled = settle(_orders, _payments, order, Deadline(_SECONDS_FOR_ONE))
    if settled.payment.state is PaymentState.FAILED:
        metrics.add_metric("PaymentsFailed", MetricUnit.Count, 1)
        logger.error("payment refused", reason=settled.payment.reason)
    return DONE
