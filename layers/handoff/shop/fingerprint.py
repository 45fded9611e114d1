"""Fingerprints: hashes of a request's meaning, by which a repeated request is recognized."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

from shop.model import Order, Refund

# Versions of the form below. An item keeps the first half of a digest, 24 characters instead of 66: size is billed, and
# 128 bits distinguish the requests of one user. Earlier releases stored the whole digest in hexadecimal digits.
_VERSION = "3:"
_WHOLE_DIGEST = "2:"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The fingerprint of a request for an order or a refund, and ``legacy``, the hash that earlier releases stored."""

    value: str
    legacy: str

    def matches(self, stored: Order | Refund) -> bool:
        """Return whether the order or the refund was requested by the same request.

        One that another release has stored may have no fingerprint, or one of another version: its hash counts then.
        """
        known = stored.fingerprint or ""
        if known.startswith(_WHOLE_DIGEST):
            known = _of_digest(bytes.fromhex(known.removeprefix(_WHOLE_DIGEST)))
        return known == self.value if known.startswith(_VERSION) else stored.request_hash == self.legacy


def of(meaning: Mapping[str, Any]) -> str:
    """Return the fingerprint of a request's meaning, with the version of its normal form.

    ``meaning`` is without the members that have their default, so that a later release can add optional ones. Text
    counts in Unicode's normal form C: clients compose accents in different ways.
    """
    document = json.dumps(_normal(meaning), sort_keys=True, ensure_ascii=False)
    return _of_digest(hashlib.sha256(document.encode()).digest())


def _of_digest(digest: bytes) -> str:
    return _VERSION + base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")


def _normal(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _normal(member) for name, member in value.items()}
    return normalize("NFC", value) if isinstance(value, str) else value
