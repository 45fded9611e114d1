"""The events on the bus: the contract between producers and consumers.

An event says what happened and to whom. It carries ids, a timestamp and a sequence number, no personal data, and at
most 1 KB; consumers look up the current state. A breaking change is a new detail-type, published beside the old one.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from handoff.aggregate import Model, OutboxEntry
from handoff.clock import from_iso, to_iso
from handoff.errors import PermanentError
from handoff.events import MAX_DETAIL_BYTES, Id, Metadata
from handoff.ids import event_id


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
        PermanentError
            If it is not about an order.
        """
        if not isinstance(self.detail.data, OrderData):
            raise PermanentError(f"{self.detail_type} is not about an order")
        return self.detail.data

    @property
    def profile(self) -> ProfileData:
        """The profile that it is about.

        Raises
        ------
        PermanentError
            If it is not about a profile.
        """
        if not isinstance(self.detail.data, ProfileData):
            raise PermanentError(f"{self.detail_type} is not about a profile")
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


def parse(body: str) -> Envelope:
    """The event in a message.

    Raises
    ------
    PermanentError
        If it is none of ours; the text names the fields, not their values.
    """
    try:
        return Envelope.model_validate_json(body)
    except ValidationError as error:
        fields = sorted({".".join(map(str, problem["loc"])) or "body" for problem in error.errors()})
        raise PermanentError(f"not an event: {', '.join(fields)[:200]}") from None  # the error shows values
