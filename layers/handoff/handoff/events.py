"""What every event on the bus has: an id, a time, and its place among its aggregate's events."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from handoff.aggregate import Model
from handoff.clock import from_iso

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


class Metadata(Model):
    """When an event happened, and its place in its aggregate's order of events."""

    event_id: Id
    version: Literal[1] = 1
    timestamp: Timestamp
    sequence: int = Field(ge=1)
    correlation_id: CorrelationId
