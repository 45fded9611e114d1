"""Stripe's webhook: check that Stripe has signed a request, and read which payment its event is about.

Sources:

- the signature: https://docs.stripe.com/webhooks#verify-manually
- rotating the signing secret, with two valid ones meanwhile: https://docs.stripe.com/webhooks#roll-endpoint-secrets
- an event: https://docs.stripe.com/api/events/object

The content of an event is only a hint that something has happened. It is not used as a state, and never logged.

Stripe's library is not imported here: it takes a third of a cold start, and the signature is one HMAC. Tests compare
the check with the library's.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from handoff.clock import Stopwatch, now_ms
from shop.payments import ProviderEvent
from shop.payments.stripe_key import StripeKey, connect

TOLERANCE = 300_000  # ms between the signature and now; Stripe signs again for each retry
REREAD_AFTER = 60.0  # seconds: so forged requests cause at most one call to Secrets Manager a minute


class Refused(Exception):
    """Not a current event that Stripe has signed. The text says why, without anything from the request."""


class SigningSecrets:
    """The signing secrets of the webhook: one per line, two of them while the secret is rotated."""

    def __init__(self, secret: StripeKey) -> None:
        self._secret = secret
        self._reread = Stopwatch()

    def check(self, body: str, header: str) -> None:
        """Check that one of the secrets has signed the body, within `TOLERANCE` of now.

        If none has, the secret may have been rotated, so it is read again, at most once in `REREAD_AFTER` seconds.

        Raises
        ------
        Refused
            If none has signed it, or not within that time.
        aws.ERRORS
            If the secret can't be read.
        """
        signature = _parse(header)
        _check_time(signature)
        if _is_signed(body, signature, self._secret.text()):
            return
        if self._reread.seconds() >= REREAD_AFTER:
            self._reread.restart()
            if _is_signed(body, signature, self._secret.read()):
                return
        raise Refused("no valid signature")


def read(body: str) -> ProviderEvent | None:
    """Return the event in a body, or None if it is about no payment. Check its signature first.

    Raises
    ------
    Refused
        If it is no event.
    """
    try:
        event = json.loads(body)
        event_id, created, subject = event["id"], event["created"], event["data"]["object"]
        reference = payment_of(subject)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Refused("not an event") from None  # the error shows parts of the body
    if not isinstance(event_id, str) or type(created) is not int:
        raise Refused("not an event")
    return ProviderEvent(event_id, reference, created * 1000) if reference else None


def payment_of(subject: Any) -> str | None:
    """Return the id of the PaymentIntent that an event's object is or belongs to; None if there is none."""
    found = subject["id"] if subject["object"] == "payment_intent" else subject.get("payment_intent")
    return found if isinstance(found, str) else None


@dataclass(frozen=True, slots=True)
class _Signature:
    """A ``Stripe-Signature`` header: its time in epoch seconds, and the HMACs, one for each secret of the endpoint."""

    signed_at: int
    hmacs: list[str]


def _parse(header: str) -> _Signature:
    parts = [part.partition("=") for part in header.split(",")]
    try:
        signed_at = int(next(value for name, _, value in parts if name == "t"))
    except (ValueError, StopIteration):
        raise Refused("no signature") from None
    return _Signature(signed_at, [value for name, _, value in parts if name == "v1"])


def _check_time(signature: _Signature) -> None:
    """Refuse a signature that is too old, or from the future.

    One from the future could be replayed until its time has come, and for the tolerance after that. Unless a clock is
    wrong, Stripe sends none.
    """
    age = now_ms() - 1000 * signature.signed_at
    if age > TOLERANCE:
        raise Refused("too old")
    if age < -TOLERANCE:
        raise Refused("from the future")


def _is_signed(body: str, signature: _Signature, secrets: str) -> bool:
    return any(_is_signed_with(body, signature, secret) for secret in _lines(secrets))


def _is_signed_with(body: str, signature: _Signature, secret: str) -> bool:
    expected = hmac.new(secret.encode(), f"{signature.signed_at}.{body}".encode(), hashlib.sha256).hexdigest()
    # As bytes: a header may hold any text, and only ASCII text can be compared as such.
    return any(hmac.compare_digest(expected.encode(), found.encode()) for found in signature.hmacs)


def _lines(secrets: str) -> Iterable[str]:
    return filter(None, map(str.strip, secrets.splitlines()))


def connect_secrets(secret_id: str) -> SigningSecrets:
    """Return the signing secrets in this secret of Secrets Manager."""
    return SigningSecrets(connect(secret_id))
