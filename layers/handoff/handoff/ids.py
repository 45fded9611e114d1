"""Derived ids: every retry of the same request, after any crash, arrives at the same ones."""

import base64
import hashlib
import uuid
from typing import Literal

PaymentStep = Literal["authorise", "capture", "void"]


def order_id(user_id: str, idempotency_key: str) -> str:
    """The order's id, from its owner and the key that the owner chose: keys belong to one user."""
    digest = hashlib.sha256(f"{len(user_id)}:{user_id}:{idempotency_key}".encode()).digest()
    return "ord_" + base64.b32encode(digest[:16]).decode().rstrip("=").lower()


def event_id(aggregate_id: str, sequence: int) -> str:
    """The event's id: an aggregate emits at most one event per step of its sequence."""
    return f"{aggregate_id}-{sequence}"


def payment_key(order_id: str, step: PaymentStep) -> str:
    """The provider's idempotency key for one step of an order's payment."""
    return f"{order_id}:{step}"


def unique() -> str:
    """A fresh id for an attempt or a transition (32 characters)."""
    return uuid.uuid4().hex


def shard(aggregate_id: str, shards: int) -> int:
    """The partition of the index ``unfinished`` that an aggregate belongs to (0 to shards - 1)."""
    return int.from_bytes(hashlib.sha256(aggregate_id.encode()).digest()[:4], "big") % shards
