"""Sends the mail of a placed order if the order says so."""

from handoff.startup import ready

from first_workflow import mails, shadow
from first_workflow.domain import Order
from first_workflow.queue import handler_for
from handoff.consumer import DONE, REPEATED, Handled, skipped


def mail(order: Order) -> Handled:
    """Send the mail, or record the one that would have been sent."""
    if order.mail_by == "event":
        return DONE if mails.send_once(order, by="event", record=shadow.sent) else REPEATED
    shadow.composed(order, by="event")
    return skipped("the request sends the mail")


handler = handler_for(mail)


ready()
