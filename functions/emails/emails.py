"""E-mail: tells customers what has become of their orders."""

import time
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)

import mails
from handoff import aws, consumer, order_store, settings
from handoff.clock import from_iso, now_ms
from handoff.consumer import NotYet, Permanent
from handoff.customers import CustomerStore
from handoff.events import DetailType, Envelope
from handoff.model import Customer, Order, Status
from handoff.telemetry import MetricUnit, logger, metrics

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

# The record of a mail outlives both queues (4 and 14 days); what is older than the record is not mailed at all.
_REMEMBERED_DAYS = 30

_dynamodb = boto3.client("dynamodb", config=aws.config())
_orders = order_store.connect(_dynamodb, settings.load())
_customers = CustomerStore(_dynamodb, settings.text("CUSTOMERS_TABLE"))
# One try, and a long wait for its answer: asking again after a time-out is how a mail is sent twice.
_ses = boto3.client("sesv2", config=aws.config(read_timeout=10, tries=1))
_sender = settings.text("MAIL_FROM")
_consumer = consumer.connect("emails")
_idempotency = IdempotencyConfig(
    event_key_jmespath="[eventId, recipient]",
    raise_on_no_idempotency_key=True,
    expires_after_seconds=_REMEMBERED_DAYS * 24 * 3600,
)
_persistence = DynamoDBPersistenceLayer(table_name=settings.text("IDEMPOTENCY_TABLE"), boto3_client=_dynamodb)


class Pace:
    """Keeps this instance to its share of the account's sending rate."""

    def __init__(self, mails_per_second: float) -> None:
        self._interval = 1 / mails_per_second
        self._next = 0.0

    def wait(self) -> None:
        """Sleep until the next mail may go out."""
        now = time.monotonic()
        time.sleep(max(0.0, self._next - now))
        self._next = max(now, self._next) + self._interval


_pace = Pace(settings.number("MAILS_PER_SECOND") / settings.number("MAIL_SENDERS"))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Consume a batch of the email queue."""
    _idempotency.register_lambda_context(context)
    return _consumer.run(event, context, notify)


def notify(envelope: Envelope) -> None:
    """One mail per event and recipient."""
    metadata, data = envelope.detail.metadata, envelope.detail.data
    if now_ms() - from_iso(metadata.timestamp) > _REMEMBERED_DAYS * 86_400_000:
        _skip("too old to know whether it was mailed")
        return
    order = _orders.get(data.order_id)
    if order is None or order.sequence < metadata.sequence:
        raise NotYet(f"order {data.order_id} is not as far as its event")
    if envelope.detail_type is DetailType.ORDER_PLACED and order.status is Status.CANCELLED:
        _skip("the order is cancelled")
        return
    customer = _customers.get(data.user_id)
    if customer is None or not customer.email:
        _skip("the customer has no address")
        return
    mail = _compose(envelope.detail_type, order, customer)
    send(mail={"eventId": metadata.event_id, "recipient": customer.user_id, "to": customer.email, **mail})


def _compose(detail_type: DetailType, order: Order, customer: Customer) -> mails.Mail:
    match detail_type:
        case DetailType.ORDER_PLACED:
            return mails.confirmation(order, customer)
        case DetailType.ORDER_CANCELLED:
            return mails.cancellation(order, customer)
        case DetailType.SHIPMENT_PREPARED:
            return mails.on_its_way(order, customer)


@idempotent_function(  # type: ignore[untyped-decorator]
    data_keyword_argument="mail", persistence_store=_persistence, config=_idempotency, key_prefix="emails"
)
def send(*, mail: dict[str, str]) -> str:
    """Send a mail, once per event and recipient; returns SES's message id."""
    _pace.wait()
    try:
        sent = _ses.send_email(
            FromEmailAddress=_sender,
            Destination={"ToAddresses": [mail["to"]]},
            Content={
                "Simple": {
                    "Subject": {"Data": mail["subject"], "Charset": "UTF-8"},
                    "Body": {
                        "Text": {"Data": mail["text"], "Charset": "UTF-8"},
                        "Html": {"Data": mail["html"], "Charset": "UTF-8"},
                    },
                }
            },
        )
    except _ses.exceptions.BadRequestException as error:
        raise Permanent("the mail service can't send this mail; is the address well-formed?") from error
    metrics.add_metric("MailsSent", MetricUnit.Count, 1)
    return sent["MessageId"]


def _skip(reason: str) -> None:
    metrics.add_metric("EventsSkipped", MetricUnit.Count, 1)
    logger.info("Skipped", reason=reason)
