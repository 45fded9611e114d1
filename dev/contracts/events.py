"""The contracts of the events as JSON Schemas, generated from their models."""

from typing import TYPE_CHECKING

from dev.contracts.schema import Json, untitled
from handoff.events import MAX_DETAIL_BYTES, Metadata
from shop.events import DATA, SOURCES, DetailType

if TYPE_CHECKING:
    from pydantic import BaseModel

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT = {"type": "string"}
# https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
_OF_EVENTBRIDGE: Json = {
    "version": {"const": "0", "description": "Of EventBridge's envelope."},
    "id": {"type": "string", "description": "Of this delivery; the event's own id is `detail.metadata.eventId`."},
    "account": _TEXT,
    "time": {"type": "string", "format": "date-time", "description": "In whole seconds, when the bus took it."},
    "region": _TEXT,
    "resources": {"type": "array", "items": _TEXT},
}


def delivered(detail_type: DetailType) -> Json:
    """An event as EventBridge delivers it, for its readers. There may be members that it does not name."""
    detail, definitions = _detail(detail_type)
    properties: Json = {
        **_OF_EVENTBRIDGE,
        "source": {"const": SOURCES[detail_type]},
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
    """The detail of an event as its producer may write it: with nothing that the contract does not know."""
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
    """The detail of an event as today's consumers take it: what has a default may be missing."""
    detail, definitions = _detail(detail_type, always=False)
    return {**detail, "$defs": definitions}


def _detail(detail_type: DetailType, *, always: bool = True) -> tuple[Json, Json]:
    """The detail's schema and those it refers to; ``always``: all members are there, as producers write them."""
    members: dict[str, type[BaseModel]] = {"metadata": Metadata, "data": DATA[detail_type]}
    definitions: dict[str, Json] = {model.__name__: untitled(model.model_json_schema()) for model in members.values()}
    for definition in definitions.values():
        if always:
            definition["required"] = list(definition["properties"])
    references = {name: {"$ref": f"#/$defs/{model.__name__}"} for name, model in members.items()}
    return {"type": "object", "properties": references, "required": list(references)}, definitions
