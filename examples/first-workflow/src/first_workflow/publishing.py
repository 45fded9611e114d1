"""The fast path of events: published by the request, right after the order is written."""

from first_workflow.chain import orders
from first_workflow.domain import Order
from handoff import bus, settings
from handoff.clock import Deadline
from handoff.outbox import announce

_bus = bus.connect(settings.text("BUS_NAME"))


def publish(order: Order, deadline: Deadline) -> Order:
    """Publish the order's event. If that fails, the sweeper publishes it within two minutes."""
    return announce(orders, _bus, order, deadline)
