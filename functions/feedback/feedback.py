"""Feedback consumer: flag addresses that mails bounced from, or whose owners complained."""

from typing import TYPE_CHECKING, Any

from handoff import aws, consumer
from handoff.consumer import DONE, Handled
from handoff.telemetry import MetricUnit, logger, metrics
from ses_events import MailEvent, read
from shop import settings
from shop.customers import CustomerStore

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

_settings = settings.load()
_customers = CustomerStore(aws.client("dynamodb"), _settings.customers_table, _settings.unfinished_shards)
_consumer = consumer.connect("feedback", read)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Consume a batch of the feedback queue."""
    return _consumer.run(event, context, flag)


def flag(event: MailEvent) -> Handled:
    """Flag each address that is still its customer's. Idempotent."""
    if event.problem is None:
        return consumer.skipped("a transient bounce")
    flagged = [address for address in event.addresses if _customers.flag_email(event.user_id, address, event.problem)]
    for _ in flagged:
        metrics.add_metric("AddressesMarked", MetricUnit.Count, 1)
        logger.info("address flagged", problem=event.problem, user_id=event.user_id)
    return DONE if flagged else consumer.skipped("not the customer's address any more")
