"""Records the mail of a placed order, and sends none."""

from handoff.startup import ready

from first_workflow import shadow
from first_workflow.domain import Order
from first_workflow.queue import handler_for
from handoff.consumer import Handled, skipped


def mail(order: Order) -> Handled:
    """Record the mail that would have been sent."""
    shadow.composed(order, by="event")
    return skipped("the request sends the mail")


handler = handler_for(mail)


ready()
