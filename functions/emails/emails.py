"""E-mail consumer: mails customers about their orders and about changes of their address."""

from handoff.startup import ready

import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from botocore.exceptions import ClientError

import languages
from handoff import aws, consumer, ids
from handoff.clock import Deadline, now_ms
from handoff.consumer import DONE, REPEATED, Handled
from handoff.errors import NotYet, PermanentError
from handoff.events import Envelope
from handoff.telemetry import MetricUnit, logger, metrics
from mails import Mail, Seller, Writer
from shop import mail_tags, order_store, settings
from shop.customers import CustomerStore
from shop.events import EVENTS, DetailType, OrderData, ProfileData
from shop.model import Customer, EmailProblem, Order, Status

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

# The record of a mail outlives both queues (4 and 14 days). Events older than the record are not mailed.
_REMEMBERED_DAYS = 30
_READING = 2 * aws.LONGEST_CALL  # seconds for reading an order and its customer
# Seconds that an event takes at most. A changed address is two mails, and each is three writes or calls of the mail
# service, after a pause. Before them the customer is read, and afterwards the change is cleared.
_SES_SECONDS = 10.0
_PAUSE = settings.number("MAIL_SENDERS") / settings.number("MAILS_PER_SECOND")
_LONGEST = 2 * (_PAUSE + _SES_SECONDS + 2 + 2 * aws.LONGEST_CALL) + 2 * aws.LONGEST_CALL

_dynamodb = aws.client("dynamodb")
_settings = settings.load()
_orders = order_store.connect(_dynamodb, _settings)
_customers = CustomerStore(_dynamodb, _settings.customers_table, _settings.unfinished_shards)
# One try and a long timeout: a retry after a timeout can send the mail twice. Only the reset of a reused connection is
# retried, at once: otherwise SQS redelivers the event, which can send it twice as well.
_ses = aws.client("sesv2", config=aws.config(read_timeout=_SES_SECONDS, tries=1))
_sender = settings.text("MAIL_FROM")
_default_language = settings.text("MAIL_LANGUAGE")
_seller = Seller(settings.text("SELLER_NAME"), settings.text("SELLER_ADDRESS"), settings.text("TERMS_URL"))
# With a configuration set, SES reports bounces and complaints; functions/feedback flags the addresses.
_configuration_set: Any = {"ConfigurationSetName": name} if (name := settings.text("CONFIGURATION_SET")) else {}
_consumer = consumer.connect("emails", EVENTS.parse, longest=_LONGEST)
_idempotency = IdempotencyConfig(
    event_key_jmespath="[eventId, recipient]",
    raise_on_no_idempotency_key=True,
    expires_after_seconds=_REMEMBERED_DAYS * 24 * 3600,
    response_hook=lambda _message_id, _record: None,  # None means that the mail was sent before; see `send`
)
_persistence = DynamoDBPersistenceLayer(table_name=settings.text("IDEMPOTENCY_TABLE"), boto3_client=_dynamodb)


class Pace:
    """Limits this instance to its share of the account's sending rate.

    On the monotonic clock: if it stops while Lambda has frozen the environment, the first mail afterwards waits for one
    interval at most. A wall clock that is set back would stop all mails for as long.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._next = 0.0

    def wait(self) -> None:
        """Sleep until the next mail may go out."""
        now = time.monotonic()
        time.sleep(max(0.0, self._next - now))
        self._next = max(now, self._next) + self._interval


_pace = Pace(_PAUSE)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Consume a batch of the email queue."""
    _idempotency.register_lambda_context(context)
    return _consumer.run(event, context, notify)


def notify(envelope: Envelope) -> Handled:
    """Send one mail per event and recipient."""
    if now_ms() - envelope.happened_at > _REMEMBERED_DAYS * 86_400_000:
        if envelope.detail_type == DetailType.USER_PROFILE_UPDATED:
            _customers.clear_address_change(envelope.expect(ProfileData).user_id, envelope.sequence)
        return consumer.skipped("too old to know whether it was mailed")
    if envelope.detail_type == DetailType.USER_PROFILE_UPDATED:
        return mail_address_change(envelope)
    return mail_order(envelope)


def mail_order(envelope: Envelope) -> Handled:
    """Mail the customer about an order."""
    order, customer = order_and_customer(envelope.expect(OrderData))
    if order is None or order.sequence < envelope.sequence:
        raise NotYet(f"order {envelope.expect(OrderData).order_id} is missing or outdated")
    if obsolete := obsolete_mail(envelope, order):
        return consumer.skipped(obsolete)
    if order.erased_at or (customer and customer.is_erased):
        return consumer.skipped("the customer's data is erased")
    if order.user_id != envelope.expect(OrderData).user_id:
        raise PermanentError("the order is not this user's")
    if customer is None or not customer.email:
        # No order is accepted without an address, so this is a fault to look into.
        raise NotYet("the customer has no address")
    if customer.email_problem:
        return not_sent(order, customer.email_problem)
    mail = order_mail(envelope, order, customer)
    who = {"userId": customer.user_id, "recipient": customer.user_id, "to": customer.email}
    return DONE if send(mail={"eventId": mailed_as(envelope, order), **who, **mail}) else REPEATED


def order_and_customer(data: OrderData) -> tuple[Order | None, Customer | None]:
    """Return the order and the customer that an event names, as they are now, with one read."""
    wanted = {**_orders.wanted([data.order_id]), **_customers.wanted([data.user_id])}
    read = aws.read_together(_dynamodb, wanted, Deadline(_READING))
    return _orders.among(read)[0].get(data.order_id), _customers.among(read)[0].get(data.user_id)


def not_sent(order: Order, problem: EmailProblem) -> Handled:
    """Record on the order that a mail about it has no address to go to, which turned bad after it was accepted."""
    if order.mail_problem != problem:
        _orders.note_mail_problem(order.order_id, problem)
    metrics.add_metric("MailsNotSent", MetricUnit.Count, 1)
    return consumer.skipped(f"the customer's address has {problem}")


def obsolete_mail(envelope: Envelope, order: Order) -> str | None:
    """Return why the mail about an event would not be true anymore, or None."""
    if envelope.detail_type == DetailType.ORDER_PLACED and order.status is Status.CANCELLED:
        return "the order is cancelled"
    if envelope.detail_type == DetailType.SHIPMENT_PREPARED and not (order.released or order.payment_due):
        return "the payment failed"
    return None


def order_mail(envelope: Envelope, order: Order, customer: Customer) -> Mail:
    """Return the content of the mail about an event, in the customer's language.

    Raises
    ------
    NotYet
        If the shipment is not released yet. Only earlier releases queued `shipment_prepared` for mails.
    PermanentError
        If there is no mail about this event.
    """
    write = writer(customer)
    match envelope.detail_type:
        case DetailType.ORDER_PLACED:
            return write.confirmation(order, customer)
        case DetailType.ORDER_CANCELLED:
            return write.cancellation(order, customer)
        case DetailType.SHIPMENT_PREPARED if order.released is None:
            raise NotYet(f"the shipment of order {order.order_id} is not released")
        case DetailType.SHIPMENT_PREPARED | DetailType.SHIPMENT_RELEASED:
            return write.on_its_way(order, customer)
        case DetailType.ORDER_REFUNDED if refund := order.refund_of(envelope.sequence):
            return write.refunded(order, customer, refund)
        case DetailType.RETURN_REQUESTED if order.return_request:
            return write.return_received(order, customer, order.return_request)
    raise PermanentError(f"there is no mail about this {envelope.detail_type}")


def writer(customer: Customer) -> Writer:
    """Return the writer of a customer's mails."""
    return Writer(languages.choose(customer.language, _default_language), _seller)


def mailed_as(envelope: Envelope, order: Order) -> str:
    """Return the id that a mail is sent once for.

    It is the event's. "On its way" has the id of `shipment_prepared`, which earlier releases mailed it about.
    """
    if envelope.detail_type != DetailType.SHIPMENT_RELEASED:
        return envelope.event_id
    prepared = (step.sequence for step in order.status_changes if step.status == Status.PREPARED)
    return ids.event_id(order.order_id, next(prepared, envelope.sequence))


def mail_address_change(envelope: Envelope) -> Handled:
    """Mail the old and the new address about the change.

    The customer keeps both addresses until both mails are sent or the event is in the dead-letter queue.
    """
    sequence = envelope.sequence
    customer = _customers.get(envelope.expect(ProfileData).user_id)
    if customer is None or customer.sequence < sequence:
        raise NotYet("the customer is missing or outdated")
    change = customer.address_changes.get(str(sequence))
    if change is None:
        return consumer.skipped("the address has not changed, or its change was handled before")
    clear = partial(_customers.clear_address_change, customer.user_id, sequence)
    sent, refused = [], None
    for recipient, address in (("old", change.old), ("new", change.new)):
        if address:
            mail = writer(customer).address_changed(is_new=recipient == "new")
            who = {"userId": customer.user_id, "recipient": recipient, "to": address}
            try:
                sent.append(send(mail={"eventId": envelope.event_id, **who, **mail}))
            except PermanentError as error:  # the mail to the other address is sent anyway
                refused = error
    if refused:
        # Cleared earlier, a redelivered message would be skipped and never reach the dead-letter queue.
        raise PermanentError(str(refused), after_dead_letter=clear)
    clear()
    return DONE if any(sent) else REPEATED


@idempotent_function(  # type: ignore[untyped-decorator]
    data_keyword_argument="mail", persistence_store=_persistence, config=_idempotency, key_prefix="emails"
)
def send(*, mail: dict[str, str]) -> str | None:
    """Send a mail once per event and recipient. Return SES's message id, or None if it was sent before."""
    _pace.wait()
    try:
        sent = _ses.send_email(
            FromEmailAddress=_sender,
            Destination={"ToAddresses": [mail["to"]]},
            EmailTags=[{"Name": mail_tags.TAG, "Value": mail_tags.tag_of(mail["userId"])}],
            **_configuration_set,
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
    except _ses.exceptions.BadRequestException:
        raise PermanentError("SES rejected this mail; is the address well-formed?") from None
    except ClientError as error:
        raise _without_addresses(error) from None
    metrics.add_metric("MailsSent", MetricUnit.Count, 1)
    return sent["MessageId"]


def _without_addresses(error: ClientError) -> ClientError:
    """Return the same error without addresses: SES's message can contain the recipient, and the error is logged."""
    said = error.response["Error"]
    hidden = re.sub(r"\S*@\S*", "(an address)", said["Message"])
    return ClientError({**error.response, "Error": {**said, "Message": hidden}}, error.operation_name)


ready()
