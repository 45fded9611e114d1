"""Places an order. The customer does not wait for the mail."""

from handoff.startup import ready

from first_workflow import chain
from first_workflow.api import Request, handler_for
from first_workflow.domain import Order, placed
from first_workflow.publishing import publish
from handoff.aggregate import Transition
from handoff.clock import Deadline


def place(request: Request, deadline: Deadline) -> Order:
    """Place an order with its event, and publish the event."""
    order = chain.pay(chain.reserve(request, deadline), deadline)
    order = chain.store(order, decided, deadline)
    return publish(order, deadline)


def decided(order: Order, now: int) -> Transition[Order]:
    """Return the transition of a paid order. The consumer still finds orders that say otherwise."""
    return placed(order, now, mail_by="event")


handler = handler_for(place)


ready()
