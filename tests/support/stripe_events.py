"""Events of the simulated Stripe. Sources:

- https://docs.stripe.com/api/events/object: the object as it was at the time of the event; times in whole seconds
- https://docs.stripe.com/api/events/list: newest first, by types (at most 20) and time; kept for 30 days
- https://docs.stripe.com/api/events/types: which object each type has
- https://docs.stripe.com/webhooks#verify-manually: how a payload is signed
"""

import json
import time
from copy import deepcopy
from itertools import count

import stripe

from tests.support.stripe_errors import Params, Refusal

KEPT = 30 * 24 * 3600  # seconds
_MOST_TYPES = 20


class Events:
    """The events so far, oldest first."""

    def __init__(self) -> None:
        self.made: list[Params] = []
        self._ids = count(1)

    def record(self, kind: str, subject: Params) -> None:
        """Record that something has happened to an object."""
        self.made.append(
            {
                "id": f"evt_{next(self._ids)}",
                "object": "event",
                "api_version": stripe.api_version,
                "created": int(time.time()),
                "data": {"object": deepcopy(subject)},
                "livemode": False,
                "pending_webhooks": 1,
                "request": {"id": None, "idempotency_key": None},
                "type": kind,
            }
        )

    def page(self, params: Params) -> Params:
        """Return one page of the events of the last 30 days, newest first."""
        types = set(params.get("types", {}).values())
        if len(types) > _MOST_TYPES:
            raise Refusal(400, "invalid_request_error", param="types")
        created = {bound: int(value) for bound, value in params.get("created", {}).items()}
        assert created.keys() <= {"gte", "lt"}, created
        first, end = max(created.get("gte", 0), time.time() - KEPT), created.get("lt", float("inf"))
        found = [event for event in reversed(self.made) if first <= event["created"] < end]
        return page("/v1/events", [event for event in found if not types or event["type"] in types], params)

    def of(self, kind: str) -> list[Params]:
        """Return the events of a type, oldest first."""
        return [event for event in self.made if event["type"] == kind]


def page(url: str, found: list[Params], params: Params) -> Params:
    """Return one page of objects that are sorted newest first: https://docs.stripe.com/api/pagination."""
    if "starting_after" in params:
        ids = [each["id"] for each in found]
        if params["starting_after"] not in ids:
            raise Refusal(400, "invalid_request_error", "resource_missing", param="starting_after")
        found = found[ids.index(params["starting_after"]) + 1 :]
    limit = int(params.get("limit", 10))
    assert 1 <= limit <= 100
    return {"object": "list", "url": url, "has_more": len(found) > limit, "data": deepcopy(found[:limit])}


def signed(event: Params, secret: str, at: int | None = None) -> tuple[str, str]:
    """Return the payload of a webhook and its ``Stripe-Signature``, made ``at`` a time in seconds, now by default."""
    payload = json.dumps(event, indent=2)
    at = int(time.time()) if at is None else at
    header: str = stripe.WebhookSignature.generate_signature_header(payload, secret, at)
    return payload, header
