"""Webhooks by the Standard Webhooks specification: the body of an event, and its signed headers.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from standardwebhooks import Webhook

from handoff.cached_secret import CachedSecret
from handoff.errors import RetryLater
from handoff.events import Envelope
from shop import webhook_secrets
from shop.webhook_secrets import MalformedSecret

_KEPT = "!\"#$&'()*+,/:;<=>?@[\\]^`{|}"  # of an event's id, besides letters, digits and _-~


class SigningSecrets:
    """The secrets that sign webhooks: one per line of a secret in Secrets Manager. Each of them signs."""

    def __init__(self, secret: CachedSecret) -> None:
        self._secret = secret

    def read(self) -> list[Webhook]:
        """Return a signer for each secret.

        Raises
        ------
        RetryLater
            If the text is not one or two secrets; the reason shows no part of it.
        aws.ERRORS
            If it can't be read.
        """
        try:
            return [Webhook(secret) for secret in webhook_secrets.parse(self._secret.text())]
        except MalformedSecret as error:
            raise RetryLater(f"PartnerSecret can't sign: {error}") from None


@dataclass(frozen=True, slots=True)
class SignedWebhook:
    """One attempt to send an event: the exact body that is signed, and the headers."""

    body: str
    headers: dict[str, str]


def sign(envelope: Envelope, signers: list[Webhook], at: int) -> SignedWebhook:
    """Return the webhook of an event for an attempt at this time, in epoch milliseconds."""
    webhook_id = id_of(envelope.event_id)
    attempt = datetime.fromtimestamp(at // 1000, UTC)
    body = json.dumps(
        {
            "type": envelope.detail_type,
            "timestamp": envelope.metadata.timestamp,
            "data": envelope.data.model_dump(by_alias=True, mode="json"),
        },
        separators=(",", ":"),
    )
    signatures = [signer.sign(webhook_id, attempt, body) for signer in signers]
    return SignedWebhook(
        body,
        {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(at // 1000),
            "webhook-signature": " ".join(signatures),
        },
    )


def id_of(event_id: str) -> str:
    """Return the webhook-id of an event: its id, with the characters percent-encoded that a webhook-id can't have.

    A header holds visible ASCII, and a full stop separates the parts of the signed text. Events of users have such
    characters if the issuer of the tokens names users with them.
    """
    return quote(event_id, safe=_KEPT).replace(".", "%2E")
