"""The events on the bus: the contract between producers and consumers.

An event says what happened and to whom. It carries ids, a timestamp and a sequence number, no personal data, and at
most 1 KB; consumers look up the current state. A breaking change is a new detail-type, published beside the old one.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from handoff.clock import from_iso, to_iso
from handoff.ids import event_id
from handoff.model import Model, OutboxEntry

MAX_DETAIL_BYTES = 1024


def _of_time(text: str) -> str:
    from_iso(text)
    return text


# Without the characters that an attribute of a message can't hold: dead letters carry the event's id in one.
Id = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x1f\x7f\ufffe\uffff]{1,160}$"),
    Field(description="1 to 160 characters, none of which controls anything."),
]
# Also what a client's X-Correlation-Id must look like to be taken over.
CorrelationId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:=-]{1,64}$")]
Timestamp = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"),
    AfterValidator(_of_time),
    Field(description="A time in UTC, such as 2026-11-23T10:00:00.123Z."),
]


class DetailType(StrEnum):
    """What can happen."""

    ORDER_PLACED = "order_placed"
    ORDER_CANCELLED = "order_cancelled"
    SHIPMENT_PREPARED = "shipment_prepared"
    USER_PROFILE_UPDATED = "user_profile_updated"


SOURCES = {
    DetailType.ORDER_PLACED: "handoff.orders",
    DetailType.ORDER_CANCELLED: "handoff.orders",
    DetailType.SHIPMENT_PREPARED: "handoff.fulfillment",
    DetailType.USER_PROFILE_UPDATED: "handoff.customers",
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


class ProfileData(Model):
    """Whose profile it is about, and which of its fields have changed."""

    user_id: Id
    changed_fields: tuple[Literal["name", "email"], ...] = Field(min_length=1)


DATA: dict[DetailType, type[OrderData | ProfileData]] = {
    DetailType.ORDER_PLACED: OrderData,
    DetailType.ORDER_CANCELLED: OrderData,
    DetailType.SHIPMENT_PREPARED: OrderData,
    DetailType.USER_PROFILE_UPDATED: ProfileData,
}


class Event(Model):
    """The detail of an event on the bus. Consumers ignore fields that they do not know."""

    metadata: Metadata
    data: OrderData | ProfileData


class WrongEvent(Exception):
    """An event that its reader can do nothing with; no retry will change that."""


class Envelope(Model):
    """An event as EventBridge delivers it, as far as consumers look at it."""

    source: str
    detail_type: DetailType = Field(alias="detail-type")
    detail: Event

    @model_validator(mode="after")
    def _data_fits(self) -> Self:
        if not isinstance(self.detail.data, DATA[self.detail_type]):
            raise ValueError(f"{self.detail_type} carries other data")  # noqa: TRY004  # pydantic wants a ValueError
        return self

    @property
    def order(self) -> OrderData:
        """The order that it is about.

        Raises
        ------
        WrongEvent
            If it is not about an order.
        """
        if not isinstance(self.detail.data, OrderData):
            raise WrongEvent(f"{self.detail_type} is not about an order")
        return self.detail.data

    @property
    def profile(self) -> ProfileData:
        """The profile that it is about.

        Raises
        ------
        WrongEvent
            If it is not about a profile.
        """
        if not isinstance(self.detail.data, ProfileData):
            raise WrongEvent(f"{self.detail_type} is not about a profile")
        return self.detail.data

    @property
    def event_id(self) -> str:
        """The event's id."""
        return self.detail.metadata.event_id

    @property
    def happened_at(self) -> int:
        """When it happened, in epoch milliseconds."""
        return from_iso(self.detail.metadata.timestamp)

    @property
    def log_keys(self) -> dict[str, str]:
        """What finds it in the logs."""
        keys = {"event_id": self.event_id, "correlation_id": self.detail.metadata.correlation_id}
        return keys | ({"order_id": self.order.order_id} if isinstance(self.detail.data, OrderData) else {})


def outbox_entry(
    detail_type: DetailType, *, order_id: str, user_id: str, sequence: int, at: int, correlation_id: str
) -> OutboxEntry:
    """An order's event, ready for its outbox; ``at`` in epoch milliseconds.

    Raises
    ------
    ValueError
        If it would break the contract: a malformed field, or a detail of more than 1 KB.
    """
    metadata = _metadata(order_id, sequence, at, correlation_id)
    return _entry(detail_type, metadata, {"orderId": order_id, "userId": user_id})


def profile_updated(
    *, user_id: str, changed_fields: Sequence[str], sequence: int, at: int, correlation_id: str
) -> OutboxEntry:
    """The event of a changed profile, ready for its outbox; ``at`` in epoch milliseconds.

    Raises
    ------
    ValueError
        As `outbox_entry` does.
    """
    metadata = _metadata(user_id, sequence, at, correlation_id)
    data = {"userId": user_id, "changedFields": list(changed_fields)}
    return _entry(DetailType.USER_PROFILE_UPDATED, metadata, data)


def _metadata(aggregate_id: str, sequence: int, at: int, correlation_id: str) -> dict[str, Any]:
    return {
        "eventId": event_id(aggregate_id, sequence),
        "timestamp": to_iso(at),
        "sequence": sequence,
        "correlationId": correlation_id,
    }


def _entry(detail_type: DetailType, metadata: dict[str, Any], data: dict[str, Any]) -> OutboxEntry:
    event = Event.model_validate({"metadata": metadata, "data": data}, extra="forbid")
    detail = event.model_dump_json(by_alias=True)
    if len(detail.encode()) > MAX_DETAIL_BYTES:
        raise ValueError(f"{detail_type} {event.metadata.event_id} is over {MAX_DETAIL_BYTES} bytes")
    return OutboxEntry(source=SOURCES[detail_type], detail_type=detail_type, detail=detail)
