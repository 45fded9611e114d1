"""The records of both sides, which `handoff compare` reads."""

from first_workflow.domain import MailBy, Order
from first_workflow.mails import Mail, compose
from handoff import aws, settings
from handoff.shadow import ShadowRecords

_records = ShadowRecords(aws.client("dynamodb"), settings.text("SHADOW_TABLE"))


def sent(order: Order, by: MailBy, mail: Mail) -> None:
    """Record the mail that a side has sent."""
    _records.made(order.key, by, mail)


def composed(order: Order, by: MailBy) -> None:
    """Record the mail that a side would have sent."""
    _records.composed(order.key, by, compose(order))
