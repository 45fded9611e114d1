"""Settlement consumer: capture the payments of packed orders, void those of cancelled ones, make refunds.

It also looks up what happened to payments at the provider without Handoff.

It is the only consumer that calls the payment provider, so a dead provider holds up no other consumer.
"""

from handoff.startup import ready

from typing import TYPE_CHECKING, Any

from handoff import aws, bus, consumer
from handoff.clock import Deadline
from handoff.consumer import DONE, REPEATED, Handled
from handoff.errors import NotYet
from handoff.events import Envelope
from handoff.outbox import announce
from handoff.telemetry import MetricUnit, log_context, logger, metrics
from shop import order_store, payments, settings
from shop.events import EVENTS, DetailType, OrderData, PaymentData
from shop.model import Order, Status
from shop.payment_alarms import new_alarms
from shop.reconciling import reconcile
from shop.settlement import refusal, settle

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

_SECONDS_FOR_ONE = 15.0
_LONGEST = payments.LONGEST_CALL + aws.LONGEST_CALL + _SECONDS_FOR_ONE  # payment and order are read first

_settings = settings.load()
_orders = order_store.connect(aws.client("dynamodb"), _settings)
_payments = payments.connect(_settings.payment_provider, _settings.sandbox_table)
_bus = bus.connect(_settings.bus_name)
_consumer = consumer.connect("settlement", EVENTS.parse, longest=_LONGEST)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Consume a batch of the settlement queue."""
    return _consumer.run(event, context, handle)


def handle(envelope: Envelope) -> Handled:
    """Settle what an order's event makes due, or look up the payment that a provider's event is about."""
    if envelope.detail_type == DetailType.PAYMENT_EVENT:
        return look_up_payment(envelope)
    return settle_payment(envelope)


def look_up_payment(envelope: Envelope) -> Handled:
    """Bring the order of a payment into line with the payment as the provider has it now."""
    found = _payments.look_up(envelope.expect(PaymentData).reference)
    order = _orders.get(found.order_id) if found and found.order_id else None
    if found is None or order is None:
        logger.info("payment of no order", outcome="ignored")
        return DONE
    with log_context(order_id=order.order_id):
        if order.payment.reference is None and (order.status is Status.PENDING or order.payment_due):
            raise NotYet("the request that asked for this payment is not over")
        if order.payment.reference != found.reference:
            logger.warning("another payment than the order's", outcome="ignored")
            return DONE
        deadline = Deadline(_SECONDS_FOR_ONE)
        before = order
        order = reconcile(_orders, _bus, before, found, deadline)
        for name, count in new_alarms(before, order).items():
            metrics.add_metric(name, MetricUnit.Count, count)
        if order.payment_due and not order.is_captured and (found.refunds or found.dispute):
            raise NotYet("the capture that this is about is not recorded yet")
    return DONE


def settle_payment(envelope: Envelope) -> Handled:
    """Make the request that is due at the provider, unless it was made before, and publish the events of the write."""
    order_id = envelope.expect(OrderData).order_id
    order = _orders.get(order_id)
    if order is None or order.sequence < envelope.sequence:
        raise NotYet(f"order {order_id} is missing or outdated")
    if not _has_due(order):
        return REPEATED
    deadline = Deadline(_SECONDS_FOR_ONE)
    settled = settle(_orders, _payments, order, deadline)
    reason = refusal(order, settled)
    if reason:
        metrics.add_metric("PaymentsFailed", MetricUnit.Count, 1)
        logger.error("payment refused", reason=reason)
    announce(_orders, _bus, settled, deadline)
    return DONE


def _has_due(order: Order) -> bool:
    """Return whether a request to the provider is due. The sweeper asks about refunds that are pending, for days."""
    due = order.payment_due
    return due is not None and (due.action != "refund" or bool(order.due_refunds))


ready()
