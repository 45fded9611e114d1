"""Sends the mail of a placed order if the order says so."""

from handoff.startup import ready

from first_workflow import mails
from first_workflow.domain import Order
from first_workflow.queue import handler_for
from handoff.consumer import DONE, REPEATED, Handled, skipped


def mail(order: Order) -> Handled:
    """Send the mail.

    Events of orders that the request has mailed can still come, from the queue for 4 days and from its dead letters
    for 14 more.
    """
    if order.mail_by == "event":
        return DONE if mails.send_once(order, by="event") else REPEATED
    return skipped("the request has sent the mail")


handler = handler_for(mail)


ready()
