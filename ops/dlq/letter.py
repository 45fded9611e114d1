"""What a dead letter tells: which event could not be done, and why."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handoff.clock import from_iso
from shop.mail_tags import TAG, user_id_of

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

CRASHED = "crashed each time"  # what a letter without a reason means: SQS moved it by itself


@dataclass(frozen=True)
class Letter:
    """One dead letter. Of what nobody can read, the texts are empty; times are in epoch milliseconds."""

    message: "MessageTypeDef"
    event_id: str  # the message's, if no event can be read
    event_type: str
    order_id: str
    user_id: str
    correlation_id: str
    reason: str
    happened_at: int | None
    published_at: int | None  # when the bus took its event, in whole seconds: what the archive replays by
    sent_at: int
    rule_arn: str  # of what EventBridge could not deliver

    @property
    def began_at(self) -> int:
        """When its event happened; if that is unknown, when it was sent."""
        return self.happened_at or self.sent_at

    @property
    def died_at(self) -> int | None:
        """When it was given up. SQS does not tell of what it moved by itself: that keeps the time it was first sent."""
        return None if self.reason == CRASHED else self.sent_at

    @property
    def kind(self) -> str:
        """The reason without the ids that are this letter's alone."""
        kind = self.reason
        for own in filter(None, (self.event_id, self.order_id)):
            kind = kind.replace(own, "...")
        return kind


def read(message: "MessageTypeDef") -> Letter:
    """What a message tells, as far as it can be read: it may be dead because it can't."""
    attributes = {name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()}
    body = _json(message["Body"])
    named = attributes.get("eventId", "unknown")
    from_body = _text(body, "detail", "metadata", "eventId") or _text(body, "id")
    return Letter(
        message=message,
        event_id=named if named != "unknown" else from_body or message["MessageId"],
        event_type=_text(body, "detail-type"),
        order_id=_text(body, "detail", "data", "orderId"),
        user_id=_text(body, "detail", "data", "userId") or _mailed(body),
        correlation_id=_text(body, "detail", "metadata", "correlationId"),
        reason=_reason(attributes),
        happened_at=_time(_text(body, "detail", "metadata", "timestamp") or _text(body, "time")),
        published_at=_time(_text(body, "time")),
        sent_at=int(message["Attributes"]["SentTimestamp"]),
        rule_arn=attributes.get("RULE_ARN", ""),
    )


def _reason(attributes: dict[str, str]) -> str:
    """The consumer's words, or EventBridge's: it names a code and a message."""
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


def _mailed(body: Any) -> str:
    """Whose mail an event of SES is about."""
    try:
        (tag,) = body["detail"]["mail"]["tags"][TAG]
        return user_id_of(tag)
    except (KeyError, TypeError, ValueError):
        return ""
