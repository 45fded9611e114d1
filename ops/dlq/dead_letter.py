"""A dead letter: which event failed, and why."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handoff.clock import from_iso
from shop.mail_tags import TAG, user_id_of

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

CRASHED = "crashed each time"  # the reason of a message without one: SQS moved it, no consumer did


@dataclass(frozen=True)
class DeadLetter:
    """A message in a dead-letter queue. Texts that cannot be read are empty; times are in epoch milliseconds."""

    message: "MessageTypeDef"
    event_id: str  # the message's id if no event can be read
    event_type: str
    order_id: str
    user_id: str
    correlation_id: str
    reason: str
    happened_at: int | None
    published_at: int | None  # when the bus accepted the event, in whole seconds; an archive is replayed by it
    sent_at: int
    rule_arn: str  # of an event that EventBridge could not deliver

    @property
    def began_at(self) -> int:
        """When the event happened; if unknown, when the message was sent."""
        return self.happened_at or self.sent_at

    @property
    def died_at(self) -> int | None:
        """When it became a dead letter; None if SQS moved it: SQS keeps the time at which it was first sent."""
        return None if self.reason == CRASHED else self.sent_at

    @property
    def receives(self) -> int:
        """How often SQS has returned this message, this time included."""
        return int(self.message["Attributes"]["ApproximateReceiveCount"])

    @property
    def kind(self) -> str:
        """The reason without the ids of this event and order, so that equal reasons can be counted."""
        kind = self.reason
        for own in filter(None, (self.event_id, self.order_id)):
            kind = kind.replace(own, "...")
        return kind


def read(message: "MessageTypeDef") -> DeadLetter:
    """Parse a message as far as it can be parsed: it may have failed because it cannot."""
    attributes = {name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()}
    body = _json(message["Body"])
    named = attributes.get("eventId", "unknown")
    from_body = _text(body, "detail", "metadata", "eventId") or _text(body, "id")
    return DeadLetter(
        message=message,
        event_id=named if named != "unknown" else from_body or message["MessageId"],
        event_type=_text(body, "detail-type"),
        order_id=_text(body, "detail", "data", "orderId"),
        user_id=_text(body, "detail", "data", "userId") or _mail_recipient(body),
        correlation_id=_text(body, "detail", "metadata", "correlationId"),
        reason=_reason(attributes),
        happened_at=_time(_text(body, "detail", "metadata", "timestamp") or _text(body, "time")),
        published_at=_time(_text(body, "time")),
        sent_at=int(message["Attributes"]["SentTimestamp"]),
        rule_arn=attributes.get("RULE_ARN", ""),
    )


def _reason(attributes: dict[str, str]) -> str:
    """Return the consumer's reason, or EventBridge's error code and message."""
    if "ERROR_CODE" in attributes:
        return f"not delivered: {attributes['ERROR_CODE']}: {attributes.get('ERROR_MESSAGE', '')}"
    return attributes.get("reason", CRASHED)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _text(node: Any, *path: str) -> str:
    for name in path:
        node = node.get(name) if isinstance(node, dict) else None
    return node if isinstance(node, str) else ""


def _time(text: str) -> int | None:
    try:
        return from_iso(text)
    except ValueError:
        return None


def _mail_recipient(body: Any) -> str:
    """Return the user id that an SES event's mail was tagged with."""
    try:
        (tag,) = body["detail"]["mail"]["tags"][TAG]
        return user_id_of(tag)
    except (KeyError, TypeError, ValueError):
        return ""
