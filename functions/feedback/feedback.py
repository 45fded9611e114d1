"""Feedback consumer: flag addresses that mails bounced from, or whose owners complained."""

from handoff.startup import ready

from typing import TYPE_CHECKING, Any

from handoff import aws, consumer
from handoff.consumer import DONE, Handled
from handoff.telemetry import MetricUnit, logger, metrics
from ses_events import MailEvent, read
from shop import settings
from shop.customers import ADDRESS_WRITES, CustomerStore

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

_settings = settings.load()
_customers = CustomerStore(aws.client("dynamodb"), _settings.customers_table, _settings.unfinished_shards)
_consumer = consumer.connect("feedback", read, longest=ADDRESS_WRITES * aws.LONGEST_CALL)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Consume a batch of the feedback queue."""
    return _consumer.run(event, context, flag)


def flag(event: MailEvent) -> Handled:
    """Flag the address if it is still its customer's, or lift its flag. Idempotent."""
    match event.finding:
        case None:
            return consumer.skipped("the report is not about the address")
        case "rescued":
            return lift(event)
        case problem:
            flagged = _customers.flag_email(event.user_id, event.address, problem)
    if not flagged:
        return consumer.skipped("not the customer's address any more")
    metrics.add_metric("AddressesMarked", MetricUnit.Count, 1)
    logger.info("address flagged", problem=problem, user_id=event.user_id)
    return DONE


def lift(event: MailEvent) -> Handled:
    """Lift the flag of a complaint, as the owner of the address has moved a mail out of the spam folder."""
    if not _customers.lift_complaint(event.user_id, event.address):
        return consumer.skipped("the address has no complaint")
    logger.info("complaint lifted", user_id=event.user_id)
    return DONE


ready()
