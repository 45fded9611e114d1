"""Shadow mode: records of an effect as one side made it and as the other side would have made it.

While an effect such as a mail moves from one writer to another, both compose it and one of them makes it. Each records
what it composed, and `handoff compare` prints the differences. A record holds digests and lengths, no text, so that it
is no second store of personal data; DynamoDB removes it after some days.

A record that cannot be written is logged and left out, and `handoff compare` reports it as missing. Raising an error
would fail a request whose effect is made, and its repetition would make the effect twice.
"""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from handoff import aws
from handoff.clock import now_ms
from handoff.telemetry import logger
from handoff.update import Update

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_DAYS = 30  # longer than a message can be in a queue (4 days) and then in a dead-letter queue (14 days)


class ShadowRecords:
    """The records in a table with the keys ``subject`` and ``writer``, and the TTL attribute ``expiresAt``."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def made(self, subject: str, writer: str, effect: Mapping[str, str]) -> None:
        """Record that a writer made the effect, once more, and of which texts it consisted."""
        self._write(_update(self._table, subject, writer, effect).add("made", 1))

    def composed(self, subject: str, writer: str, effect: Mapping[str, str]) -> None:
        """Record of which texts the effect of a writer would have consisted. Idempotent."""
        self._write(_update(self._table, subject, writer, effect))

    def _write(self, update: Update) -> None:
        try:
            self._client.update_item(**update.members())
        except aws.ERRORS as error:
            logger.warning("shadow record not written", reason=aws.failure_reason(error), exc_info=error)


def _update(table: str, subject: str, writer: str, effect: Mapping[str, str]) -> Update:
    now = now_ms()
    update = Update(table, {"subject": subject, "writer": writer})
    update.set("parts", {name: _part(subject, text) for name, text in effect.items()})
    return update.set_default("at", now).set("expiresAt", now // 1000 + _DAYS * 86_400)


def _part(subject: str, text: str) -> dict[str, Any]:
    """Return a text's length and its digest, which is another one for each subject."""
    return {"length": len(text), "digest": hashlib.sha256(f"{subject}\0{text}".encode()).hexdigest()[:32]}
