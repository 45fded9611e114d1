"""Places an order. The customer waits for every step."""

from handoff.startup import ready

from first_workflow import chain, mails
from first_workflow.api import Request, handler_for
from first_workflow.domain import Order, stored
from handoff.clock import Deadline


def place(request: Request, deadline: Deadline) -> Order:
    """Place an order and send its mail."""
    order = chain.pay(chain.reserve(request, deadline), deadline)
    order = chain.store(order, stored, deadline)
    mails.send_once(order, by="request")
    return order


handler = handler_for(place)


ready()
