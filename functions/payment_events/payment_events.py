"""Stripe's webhook: put each event about a payment on the bus, where settlement looks the payment up.

The answer is 200 only if the bus has the event, so that Stripe sends it again otherwise.
"""

from handoff.startup import ready

import base64
import json
from typing import TYPE_CHECKING, Any

from handoff import aws, bus
from handoff.telemetry import MetricUnit, flush_metrics, logger, metrics
from shop import provider_events, settings
from shop.payments import stripe_events
from shop.payments.stripe_events import Refused

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

Response = dict[str, Any]

MAX_BODY = 256 * 1024  # characters as API Gateway passes them; events of payments have a few thousand
_RETRY_AFTER = 30  # seconds, as long as the bus pauses after a failure

_bus = bus.connect_patiently(settings.load().bus_name)
_secrets = stripe_events.connect_secrets(settings.text("PAYMENT_EVENTS_SECRET_ID"))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> Response:
    """Answer a request of Stripe (payload format 2.0). Nothing of its body is logged but the ids."""
    try:
        response = _respond(event)
        logger.info("request answered", status=response["statusCode"])
        return response
    finally:
        flush_metrics()


def _respond(event: dict[str, Any]) -> Response:
    text = event.get("body") or ""
    if len(text) > MAX_BODY:
        return _refused(413, "too-large", "Request body too large", "too large")
    try:
        body = _body(text, is_base64=event.get("isBase64Encoded", False))
        _secrets.check(body, event["headers"].get("stripe-signature", ""))
        return _publish(body)
    except Refused as refused:
        return _refused(400, "refused-event", "Not an event of Stripe", str(refused))
    except aws.ERRORS as error:
        logger.error("signing secret not readable", reason=aws.failure_reason(error), exc_info=error)
        return _failed()


def _body(text: str, *, is_base64: bool) -> str:
    """Return the body exactly as it was sent: the signature is about each byte of it."""
    try:
        return base64.b64decode(text, validate=True).decode() if is_base64 else text
    except ValueError:
        raise Refused("not text") from None


def _publish(body: str) -> Response:
    happened = stripe_events.read(body)
    if happened is None:
        logger.info("event about no payment", outcome="ignored")
        return _answer(200, {})
    try:
        entry = provider_events.entry(happened)
    except ValueError:
        raise Refused("malformed id") from None
    logger.append_keys(event_id=happened.event_id, payment_reference=happened.reference)
    if not all(_bus.publish([entry])):
        return _failed()
    metrics.add_metric("PaymentEvents", MetricUnit.Count, 1)
    logger.info("event published", outcome="published")
    return _answer(200, {})


def _refused(status: int, name: str, title: str, reason: str) -> Response:
    metrics.add_metric("PaymentEventsRefused", MetricUnit.Count, 1)
    logger.warning("request refused", outcome="refused", reason=reason)
    return _problem(
        status, name, title, "The request is not a current event that Stripe has signed with a known secret."
    )


def _failed() -> Response:
    metrics.add_metric("PaymentEventsFailed", MetricUnit.Count, 1)
    return _problem(503, "unavailable", "Service unavailable", "The event was not accepted. Send it again later.")


def _problem(status: int, name: str, title: str, detail: str) -> Response:
    document = {"type": f"urn:handoff:problem:{name}", "title": title, "status": status, "detail": detail}
    response = _answer(status, document, "application/problem+json")
    if status == 503:
        response["headers"]["retry-after"] = str(_RETRY_AFTER)
    return response


def _answer(status: int, document: dict[str, Any], content_type: str = "application/json") -> Response:
    return {"statusCode": status, "headers": {"content-type": content_type}, "body": json.dumps(document)}


ready()
