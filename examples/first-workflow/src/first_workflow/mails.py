"""The confirmation mail: composed from the order, and sent once by each sender."""

from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)

from handoff import aws, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from first_workflow.domain import MailBy, Order

Mail = dict[str, str]  # recipient, subject and text
SENDING_SECONDS = 5.0
# One try and a long timeout: a retry after a timeout can send the mail twice.
_ses = aws.client("sesv2", config=aws.config(read_timeout=SENDING_SECONDS, tries=1))
_sender = settings.text("MAIL_FROM")
_once = IdempotencyConfig(
    event_key_jmespath="[orderId, by]",
    raise_on_no_idempotency_key=True,
    expires_after_seconds=30 * 24 * 3600,
    response_hook=lambda _answer, _record: False,  # the mail was sent before
)
_records = DynamoDBPersistenceLayer(table_name=settings.text("IDEMPOTENCY_TABLE"), boto3_client=aws.client("dynamodb"))


def begin(context: "LambdaContext") -> None:
    """Prepare an invocation: a mail that a crash leaves unfinished may be sent again after the function's timeout."""
    _once.register_lambda_context(context)


def compose(order: "Order") -> Mail:
    """Return the mail about a placed order."""
    lines = "\n".join(
        f"  {line.quantity} x {line.name}: {_euros(line.quantity * line.unit_price)}" for line in order.lines
    )
    return {
        "recipient": order.email,
        "subject": "Your order is confirmed",
        "text": f"Thank you for your order {order.key}.\n\n{lines}\n\nTotal: {_euros(order.total)}\n",
    }


def send_once(order: "Order", by: "MailBy", record: "Callable[[Order, MailBy, Mail], None] | None" = None) -> bool:
    """Send the mail unless this sender has sent it before; return whether it was sent now.

    ``record`` is called between sending and remembering that it was sent.
    """
    sent: bool = _send(once={"orderId": order.key, "by": by}, order=order, record=record)
    return sent


@idempotent_function(  # type: ignore[untyped-decorator]
    data_keyword_argument="once", persistence_store=_records, config=_once, key_prefix="mails"
)
def _send(*, once: dict[str, "MailBy"], order: "Order", record: "Callable[[Order, MailBy, Mail], None] | None") -> bool:
    mail = compose(order)
    _ses.send_email(
        FromEmailAddress=_sender,
        Destination={"ToAddresses": [mail["recipient"]]},
        Content={"Simple": {"Subject": {"Data": mail["subject"]}, "Body": {"Text": {"Data": mail["text"]}}}},
    )
    if record:
        record(order, once["by"], mail)
    return True


def _euros(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d} EUR"
