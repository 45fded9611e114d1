"""The events on the bus: the contract between producers and consumers.

An event says what happened and to whom. It carries ids, a timestamp and a sequence number, no personal data, and at
most 1 KB; consumers look up the current state. A breaking change is a new detail-type, published beside the old one.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from handoff.clock import to_iso
from handoff.ids import event_id
from handoff.model import Model, OutboxEntry

MAX_DETAIL_BYTES = 1024

Id = Annotated[str, StringConstraints(min_length=1, max_length=160)]
# Also what a client's X-Correlation-Id must look like to be taken over.
CorrelationId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:=-]{1,64}$")]
Timestamp = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]


class DetailType(StrEnum):
    """What can happen."""

    ORDER_PLACED = "order_placed"
    ORDER_CANCELLED = "order_cancelled"
    SHIPMENT_PREPARED = "shipment_prepared"


SOURCES = {
    DetailType.ORDER_PLACED: "handoff.orders",
    DetailType.ORDER_CANCELLED: "handoff.orders",
    DetailType.SHIPMENT_PREPARED: "handoff.fulfillment",
}


class Metadata(Model):
    """When an event happened, and its place in its aggregate's order of events."""

    event_id: Id
    version: Literal[1] = 1
    timestamp: Timestamp
    sequence: int = Field(ge=1)
    correlation_id: CorrelationId


class OrderData(Model):
    """Whose order it is about."""

    order_id: Id
    user_id: Id


class Event(Model):
    """The detail of an event on the bus. Consumers ignore fields that they do not know."""

    metadata: Metadata
    data: OrderData


class Envelope(Model):
    """An event as EventBridge delivers it, as far as consumers look at it."""

    source: str
    detail_type: DetailType = Field(alias="detail-type")
    detail: Event


def outbox_entry(
    detail_type: DetailType, *, order_id: str, user_id: str, sequence: int, at: int, correlation_id: str
) -> OutboxEntry:
    """An order's event, ready for its outbox; ``at`` in epoch milliseconds.

    Raises
    ------
    ValueError
        If it would break the contract: a malformed field, or a detail of more than 1 KB.
    """
    event = Event.model_validate(
        {
            "metadata": {
                "eventId": event_id(order_id, sequence),
                "timestamp": to_iso(at),
                "sequence": sequence,
                "correlationId": correlation_id,
            },
            "data": {"orderId": order_id, "userId": user_id},
        },
        extra="forbid",
    )
    detail = event.model_dump_json(by_alias=True)
    if len(detail.encode()) > MAX_DETAIL_BYTES:
        raise ValueError(f"{detail_type} for {order_id} is over {MAX_DETAIL_BYTES} bytes")
    return OutboxEntry(source=SOURCES[detail_type], detail_type=detail_type, detail=detail)
