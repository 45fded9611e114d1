"""Events as EventBridge sends them to a queue."""

import json
import uuid
from typing import Any

from dev.simulated.account import ACCOUNT, REGION
from handoff import ids
from handoff.clock import now_ms, to_iso
from shop.events import EVENTS

_SOURCES = {event.detail_type: event.source for event in EVENTS}


def message(detail_type: str, order_id: str, sequence: int, *, user: str = "ada", at: int | None = None) -> str:
    """Return the body of a message with an event; ``at`` in epoch milliseconds, by default now."""
    return json.dumps(envelope(detail_type, order_id, sequence, user=user, at=at))


def envelope(
    detail_type: str, order_id: str, sequence: int, *, user: str = "ada", at: int | None = None
) -> dict[str, Any]:
    """Return the event of `message` as a dictionary."""
    timestamp = to_iso(now_ms() if at is None else at)
    return _frame() | {
        "detail-type": detail_type,
        "source": _SOURCES.get(detail_type, "handoff.orders"),
        "time": timestamp,
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


def replayed(event: dict[str, Any]) -> str:
    """Return the body of a message with a replayed event, given as `World.events` returns it."""
    detail = event["Detail"]
    again = {
        "detail-type": event["DetailType"],
        "source": event["Source"],
        "time": detail["metadata"]["timestamp"],
        "detail": detail,
        "replay-name": "again",
    }
    return json.dumps(_frame() | again)


def _frame() -> dict[str, Any]:
    return {"version": "0", "id": str(uuid.uuid4()), "account": ACCOUNT, "region": REGION, "resources": []}
