"""Stripe's API key, and the webhook's secrets."""

from handoff import aws, cached_secret
from handoff.cached_secret import KEPT_FOR, CachedSecret

__all__ = ["KEPT_FOR", "StripeKey", "connect"]

StripeKey = CachedSecret  # a secret without text is treated like a wrong key: Stripe rejects it, and the log says so


def connect(secret_id: str) -> StripeKey:
    """Return the key in this secret. It is read within the deadline of a payment, so there is one short try."""
    return cached_secret.connect(secret_id, aws.config(connect_timeout=0.5, read_timeout=1.0, tries=1))
