"""Events as EventBridge puts them into a queue."""

import json
import uuid
from typing import Any

from handoff import ids
from handoff.clock import now_ms, to_iso
from support.stack import ACCOUNT
from support.template import REGION

_SOURCES = {"shipment_prepared": "handoff.fulfillment"}


def message(detail_type: str, order_id: str, sequence: int, *, user: str = "ada", at: int | None = None) -> str:
    """The body of a message with one of our events; ``at`` in epoch milliseconds, now if not given."""
    return json.dumps(envelope(detail_type, order_id, sequence, user=user, at=at))


def envelope(
    detail_type: str, order_id: str, sequence: int, *, user: str = "ada", at: int | None = None
) -> dict[str, Any]:
    """The same, not yet as text."""
    timestamp = to_iso(now_ms() if at is None else at)
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": _SOURCES.get(detail_type, "handoff.orders"),
        "account": ACCOUNT,
        "time": timestamp,
        "region": REGION,
        "resources": [],
        "detail": {
            "metadata": {
                "eventId": ids.event_id(order_id, sequence),
                "version": 1,
                "timestamp": timestamp,
                "sequence": sequence,
                "correlationId": "trace-me",
            },
            "data": {"orderId": order_id, "userId": user},
        },
    }
