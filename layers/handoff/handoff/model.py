"""Values as they are stored: the base class, and the parts that every aggregate has."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A value that is stored and shown in camelCase.

    Unknown fields are ignored, because a newer release may have added them.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        frozen=True,
        hide_input_in_errors=True,  # errors are logged, and logs hold no names or addresses
    )

    def dump(self) -> dict[str, Any]:
        """Return the stored form: camelCase, JSON types, without null fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class HistoryEntry(Model):
    """One step of an aggregate. ``transition_id`` identifies the write, so a retry can recognize its own success."""

    sequence: int
    status: str
    at: str
    transition_id: str
    reason: str | None = None


class OutboxEntry(Model):
    """An event that was stored with its aggregate and may not be published yet; ``detail`` is its JSON text.

    ``trace`` is the trace context of what caused the event. It is not part of the event.
    """

    source: str
    detail_type: str
    detail: str
    trace: str | None = None
