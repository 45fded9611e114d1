"""Derived ids: every retry of a request, after any crash, arrives at the same ones."""

import base64
import hashlib
import os
import uuid


def derived(prefix: str, owner: str, idempotency_key: str) -> str:
    """Return the id of an aggregate that a request creates, from its owner and the owner's idempotency key.

    Two owners with the same key get different ids.
    """
    digest = hashlib.sha256(f"{len(owner)}:{owner}:{idempotency_key}".encode()).digest()
    return prefix + base64.b32encode(digest[:16]).decode().rstrip("=").lower()


def event_id(aggregate_id: str, sequence: int) -> str:
    """Return the event's id: an aggregate publishes at most one event per sequence number."""
    return f"{aggregate_id}-{sequence}"


def unique() -> str:
    """Return a new random id (32 characters)."""
    return uuid.uuid4().hex


def unique_step() -> str:
    """Return a new random id for an attempt or a transition: 96 bits in 16 characters, as each step stores one."""
    return base64.urlsafe_b64encode(os.urandom(12)).decode()


def shard(aggregate_id: str, shards: int) -> int:
    """Return the partition of the index ``unfinished`` that an aggregate belongs to (0 to shards - 1)."""
    return int.from_bytes(hashlib.sha256(aggregate_id.encode()).digest()[:4], "big") % shards
