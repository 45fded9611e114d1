"""Events on the bus: the contract between producers and consumers, and the registry of a workflow's event types.

An event says what happened and to which object. Its detail carries ids, a timestamp and a sequence number, no personal
data, and at most 1 KB; consumers read the current state of the object themselves. A breaking change is a new detail
type, published beside the old one.

    EVENTS = Registry()
    BOOKING_CONFIRMED = EVENTS.register("booking_confirmed", source="hotel.bookings", data=BookingData)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from handoff import tracing
from handoff.clock import from_iso, to_iso
from handoff.errors import PermanentError
from handoff.ids import event_id
from handoff.model import Model, OutboxEntry

MAX_DETAIL_BYTES = 1024


def _valid_time(text: str) -> str:
    from_iso(text)
    return text


# No control characters: a dead letter carries the event id in a message attribute, which can't hold them.
Id = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x1f\x7f\ufffe\uffff]{1,160}$"),
    Field(description="1-160 characters, no control characters."),
]
# The API accepts a client's X-Correlation-Id header only in this form.
CorrelationId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:=-]{1,64}$")]
Timestamp = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"),
    AfterValidator(_valid_time),
    Field(description="A time in UTC, such as 2026-11-23T10:00:00.123Z."),
]


class Metadata(Model):
    """When the event happened, and its position in its aggregate's sequence of events."""

    event_id: Id
    version: Literal[1] = 1
    timestamp: Timestamp
    sequence: int = Field(ge=1)
    correlation_id: CorrelationId


class EventData(Model):
    """The base class for an event's data. Subclasses add ids and small facts, never personal data."""

    @property
    def log_keys(self) -> dict[str, str]:
        """The keys that log lines about the event carry, besides its own ids."""
        return {}


D = TypeVar("D", bound=EventData)


@dataclass(frozen=True, slots=True)
class EventType:
    """A registered kind of event: its detail type, the source that publishes it, and the model of its data."""

    detail_type: str
    source: str
    data: type[EventData]

    def entry(self, data: EventData, *, aggregate_id: str, sequence: int, at: int, correlation_id: str) -> OutboxEntry:
        """Return the event as an outbox entry, in the current trace; ``at`` in epoch milliseconds.

        Raises
        ------
        ValueError
            If it would break the contract: other data, a malformed field, or a detail of more than 1 KB.
        """
        if type(data) is not self.data:
            raise ValueError(f"{self.detail_type} carries {self.data.__name__}, not {type(data).__name__}")
        metadata = Metadata(
            event_id=event_id(aggregate_id, sequence),
            timestamp=to_iso(at),
            sequence=sequence,
            correlation_id=correlation_id,
        )
        detail = _Detail(metadata=metadata, data=data.model_dump(by_alias=True)).model_dump_json(by_alias=True)
        if len(detail.encode()) > MAX_DETAIL_BYTES:
            raise ValueError(f"{self.detail_type} {metadata.event_id} is over {MAX_DETAIL_BYTES} bytes")
        return OutboxEntry(source=self.source, detail_type=self.detail_type, detail=detail, trace=tracing.current())


class _Detail(Model):
    metadata: Metadata
    data: dict[str, Any]


class _Delivered(Model):
    """An event as EventBridge delivers it, as far as consumers read it."""

    source: str
    detail_type: str = Field(alias="detail-type")
    detail: _Detail


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event that a consumer received."""

    source: str
    detail_type: str
    metadata: Metadata
    data: EventData

    def expect(self, model: type[D]) -> D:
        """Return the event's data.

        Raises
        ------
        PermanentError
            If the event carries data of another kind.
        """
        if not isinstance(self.data, model):
            raise PermanentError(f"{self.detail_type} carries no {model.__name__}")
        return self.data

    @property
    def event_id(self) -> str:
        """The event's id."""
        return self.metadata.event_id

    @property
    def sequence(self) -> int:
        """The event's position among its aggregate's events."""
        return self.metadata.sequence

    @property
    def happened_at(self) -> int:
        """The time of the event, in epoch milliseconds."""
        return from_iso(self.metadata.timestamp)

    @property
    def log_keys(self) -> dict[str, str]:
        """The keys that its log lines carry."""
        return {
            "event_id": self.event_id,
            "correlation_id": self.metadata.correlation_id,
            **self.data.log_keys,
        }


class Registry:
    """The event types of a workflow, by detail type."""

    def __init__(self) -> None:
        self._types: dict[str, EventType] = {}

    def register(self, detail_type: str, *, source: str, data: type[EventData]) -> EventType:
        """Add a kind of event.

        Raises
        ------
        ValueError
            If the detail type is registered already.
        """
        if detail_type in self._types:
            raise ValueError(f"the event type {detail_type} is registered twice")
        self._types[detail_type] = EventType(detail_type, source, data)
        return self._types[detail_type]

    def __iter__(self) -> Iterator[EventType]:
        return iter(self._types.values())

    def __getitem__(self, detail_type: str) -> EventType:
        return self._types[detail_type]

    def parse(self, body: str) -> Envelope:
        """Return the event in a message's body. Fields that are not known are ignored.

        Raises
        ------
        PermanentError
            If it is not one of these events; the text names the fields, not their values.
        """
        try:
            delivered = _Delivered.model_validate_json(body)
        except ValidationError as error:
            raise _not_an_event(error) from None  # the error shows values
        event_type = self._types.get(delivered.detail_type)
        if event_type is None:
            raise PermanentError("not an event: detail-type")
        try:
            data = event_type.data.model_validate(delivered.detail.data)
        except ValidationError as error:
            raise _not_an_event(error, "detail", "data") from None
        return Envelope(delivered.source, delivered.detail_type, delivered.detail.metadata, data)


def _not_an_event(error: ValidationError, *prefix: str) -> PermanentError:
    fields = sorted({".".join([*prefix, *map(str, problem["loc"])]) or "body" for problem in error.errors()})
    return PermanentError(f"not an event: {', '.join(fields)[:200]}")
