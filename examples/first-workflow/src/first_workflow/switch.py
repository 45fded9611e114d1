"""The switch: for how many orders in a hundred the consumer sends the mail. Only the request reads it."""

from aws_lambda_powertools.utilities.parameters import SSMProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from first_workflow.domain import MailBy
from handoff import aws, ids, settings
from handoff.telemetry import logger

_SECONDS = 5  # for which an instance keeps the value: so long does a change take at most
_name = settings.text("MAIL_BY_EVENT")
_parameters = SSMProvider(boto3_client=aws.client("ssm"))
_last = 0  # used while the parameter cannot be read: any value is safe, because the order records the decision


def mail_by(order_id: str) -> MailBy:
    """Return who sends the mail of an order that is placed now. A higher share keeps the orders of a lower one."""
    return "event" if ids.shard(order_id, 100) < _per_cent() else "request"


def _per_cent() -> int:
    global _last  # noqa: PLW0603  # one value per process
    try:
        _last = int(str(_parameters.get(_name, max_age=_SECONDS)))
    except (GetParameterError, ValueError) as error:
        logger.warning("switch not read; the last value stays", per_cent=_last, reason=type(error).__name__)
    return _last
