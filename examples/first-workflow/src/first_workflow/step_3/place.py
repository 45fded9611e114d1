"""Places an order. The customer waits for the mail only if the request sends it."""

from handoff.startup import ready

from first_workflow import chain, mails, shadow, switch
from first_workflow.api import Request, handler_for
from first_workflow.domain import Order, placed
from first_workflow.publishing import publish
from handoff.aggregate import Transition
from handoff.clock import Deadline


def place(request: Request, deadline: Deadline) -> Order:
    """Place an order with its event and its sender, publish the event, and send the mail if it is ours."""
    order = chain.pay(chain.reserve(request, deadline), deadline)
    order = chain.store(order, decided, deadline)
    order = publish(order, deadline)
    if order.mail_by == "event":
        shadow.composed(order, by="request")
    else:
        mails.send_once(order, by="request", record=shadow.sent)
    return order


def decided(order: Order, now: int) -> Transition[Order]:
    """Return the transition of a paid order that records who sends its mail."""
    return placed(order, now, mail_by=switch.mail_by(order.key))


handler = handler_for(place)


ready()
