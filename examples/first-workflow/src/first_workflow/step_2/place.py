"""Places an order. The customer waits for every step."""

from handoff.startup import ready

from first_workflow import chain, mails, shadow
from first_workflow.api import Request, handler_for
from first_workflow.domain import Order, placed
from first_workflow.publishing import publish
from handoff.clock import Deadline


def place(request: Request, deadline: Deadline) -> Order:
    """Place an order with its event, publish the event, send the mail and record it."""
    order = chain.pay(chain.reserve(request, deadline), deadline)
    order = chain.store(order, placed, deadline)
    order = publish(order, deadline)
    mails.send_once(order, by="request", record=shadow.sent)
    return order


handler = handler_for(place)


ready()
