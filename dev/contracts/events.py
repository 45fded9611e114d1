"""JSON Schemas of the events, generated from their models."""

from typing import TYPE_CHECKING

from dev.contracts.schema import Json, untitled
from handoff.events import MAX_DETAIL_BYTES, Metadata
from shop.events import EVENTS, DetailType

if TYPE_CHECKING:
    from pydantic import BaseModel

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT = {"type": "string"}
# https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
_OF_EVENTBRIDGE: Json = {
    "version": {"const": "0", "description": "Version of EventBridge's envelope."},
    "id": {"type": "string", "description": "Id of this delivery. The event's id is `detail.metadata.eventId`."},
    "account": _TEXT,
    "time": {
        "type": "string",
        "format": "date-time",
        "description": "When the bus accepted the event, in whole seconds.",
    },
    "region": _TEXT,
    "resources": {"type": "array", "items": _TEXT},
}


def delivered(detail_type: DetailType) -> Json:
    """Return the schema of an event as EventBridge delivers it. Additional members are allowed."""
    detail, definitions = _detail(detail_type)
    properties: Json = {
        **_OF_EVENTBRIDGE,
        "source": {"const": EVENTS[detail_type].source},
        "detail-type": {"const": str(detail_type)},
        "detail": detail,
    }
    return {
        "$schema": _DIALECT,
        "title": str(detail_type),
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "$defs": definitions,
    }


def produced(detail_type: DetailType) -> Json:
    """Return the schema of an event's detail for producers. Additional members are forbidden."""
    detail, definitions = _detail(detail_type)
    closed = {name: {**model, "additionalProperties": False} for name, model in definitions.items()}
    return {
        "$schema": _DIALECT,
        "title": f"{detail_type}, the detail",
        "description": f"At most {MAX_DETAIL_BYTES} bytes.",
        **detail,
        "additionalProperties": False,
        "$defs": closed,
    }


def accepted(detail_type: DetailType) -> Json:
    """Return the schema of an event's detail that today's consumers accept: members with a default may be missing."""
    detail, definitions = _detail(detail_type, always=False)
    return {**detail, "$defs": definitions}


def _detail(detail_type: DetailType, *, always: bool = True) -> tuple[Json, Json]:
    """Return the detail's schema and its definitions; with ``always``, all members are required."""
    members: dict[str, type[BaseModel]] = {"metadata": Metadata, "data": EVENTS[detail_type].data}
    definitions: dict[str, Json] = {model.__name__: untitled(model.model_json_schema()) for model in members.values()}
    for definition in definitions.values():
        if always:
            definition["required"] = list(definition["properties"])
    references = {name: {"$ref": f"#/$defs/{model.__name__}"} for name, model in members.items()}
    return {"type": "object", "properties": references, "required": list(references)}, definitions
