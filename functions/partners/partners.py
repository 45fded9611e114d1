"""Partners consumer: post the orders' events to the partner's endpoint, as signed webhooks.

A webhook can arrive more than once, after a lost answer or a crash; its id is that of the event.
"""

from handoff.startup import ready

from typing import TYPE_CHECKING, Any

from handoff import aws, cached_secret, consumer
from handoff.clock import Stopwatch, now_ms
from handoff.consumer import DONE, Handled
from handoff.errors import PermanentError, RetryLater
from handoff.events import Envelope
from handoff.telemetry import logger
from partner_endpoint import LONGEST_ATTEMPT, connect
from shop import settings
from shop.events import EVENTS, DetailType
from webhooks import SigningSecrets, sign

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

# The events that partners get: those of orders, and erasures. Each of them carries ids only.
SENT = {
    DetailType.ORDER_PLACED,
    DetailType.ORDER_CANCELLED,
    DetailType.SHIPMENT_PREPARED,
    DetailType.SHIPMENT_RELEASED,
    DetailType.ORDER_REFUNDED,
    DetailType.RETURN_REQUESTED,
    DetailType.PAYMENT_DISPUTED,
    DetailType.USER_ERASED,  # the events of orders name their user
}
GONE_FOR = 600.0  # seconds after a 410 in which the endpoint is not asked again
_LONGEST = aws.LONGEST_CALL + LONGEST_ATTEMPT  # the secrets are read first
SECRETS_USABLE_FOR = 3600.0  # seconds that cached secrets sign if Secrets Manager can't be read

_secrets = SigningSecrets(cached_secret.connect(settings.text("PARTNER_SECRET_ID"), usable_for=SECRETS_USABLE_FOR))
_endpoint = connect(settings.text("PARTNER_ENDPOINT"), settings.text("PARTNER_LOCAL_CA"))
_gone = Stopwatch()  # since the last 410
_consumer = consumer.connect("partners", EVENTS.parse, longest=_LONGEST)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Consume a batch of the partners queue."""
    return _consumer.run(event, context, deliver)


def deliver(envelope: Envelope) -> Handled:
    """Post an event to the partner once. Any 2xx is success; after a 410 nothing is posted for `GONE_FOR` seconds."""
    if envelope.detail_type not in SENT:
        raise PermanentError(f"{envelope.detail_type} is not for partners")
    if _gone.seconds() < GONE_FOR:
        raise PermanentError(f"not sent: the partner answered 410 Gone {_gone.seconds():.0f} s ago")
    webhook = sign(envelope, _secrets.read(), now_ms())
    answer = _endpoint.post(webhook.body, webhook.headers)
    if 200 <= answer.status < 300:
        logger.info("partner answered", status=answer.status, outcome="delivered")
        return DONE
    logger.warning("partner answered", status=answer.status, outcome="refused")
    if answer.status == 410:
        _gone.restart()
        raise PermanentError("the partner answered 410 Gone: it wants no more events at this endpoint")
    raise RetryLater(_refusal(answer.status), after=answer.retry_after)


def _refusal(status: int) -> str:
    redirect = ": a redirect, which is not followed; set PartnerEndpoint to the final URL" if status // 100 == 3 else ""
    return f"the partner answered {status}{redirect}"


ready()
