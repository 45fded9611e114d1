"""contracts/asyncapi.json: the events on the bus, and the webhooks to a partner, for tools that read AsyncAPI 3.

Generated from the JSON Schemas of the events, their descriptions and their recorded examples. functions/partners must
be on the path: the code that signs the webhooks makes the examples.
"""

import json
import tomllib

from standardwebhooks import Webhook

from dev.contracts import events as contracts_events
from dev.contracts.page import DESCRIPTIONS, EXAMPLES
from dev.contracts.schema import Json
from dev.local.stack import ROOT
from dev.template import WITH_PARTNER, template_with
from handoff.clock import from_iso
from handoff.events import MAX_DETAIL_BYTES
from shop.events import EVENTS, DetailType
from webhooks import sign

FILE = ROOT / "contracts/asyncapi.json"
EXAMPLE_SECRET = "whsec_ZXhhbXBsZS1zZWNyZXQtb2YtYS13ZWJob29rLi4u"  # noqa: S105  # signs the example webhooks
_JSON = "application/json"
_DESCRIPTION = f"""\
Each event describes a change of an order or of a user. It carries ids, a time and a sequence number, no personal data,
and at most {MAX_DETAIL_BYTES:,} bytes. Events arrive at least once and in any order: recognize duplicates by
`detail.metadata.eventId`, and order the events of one order or user by `sequence`. Ignore unknown members: new ones
will be added.

AsyncAPI has no binding for EventBridge. `x-eventbridge` holds what a rule matches: `source` and `detail-type`.
"""
_SERVERS: Json = {
    "eventbridge": {
        "host": "events.{region}.amazonaws.com",
        "protocol": "eventbridge",
        "description": "Amazon EventBridge. Requests are signed with IAM credentials; rules deliver to their targets.",
        "variables": {"region": {"description": "The stack's region.", "examples": ["eu-central-1"]}},
    },
    "partner": {
        "host": "{host}",
        "protocol": "https",
        "description": "The partner's endpoint: the stack's parameter `PartnerEndpoint`.",
        "variables": {"host": {"description": "The host of `PartnerEndpoint`.", "examples": ["partner.example"]}},
    },
}
# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
_WEBHOOK_HEADERS: Json = {
    "type": "object",
    "properties": {
        "webhook-id": {"type": "string", "description": "The event's id: the same in each attempt."},
        "webhook-timestamp": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "When this attempt was made, in seconds since 1970.",
        },
        "webhook-signature": {
            "type": "string",
            "description": "HMAC-SHA256 over id, timestamp and body, once for each secret, separated by spaces.",
        },
    },
    "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
}


def document() -> Json:
    """Return the whole document (AsyncAPI 3.0)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    to_partner = _sent_to_partner()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Handoff events",
            "version": project["version"],
            "description": _DESCRIPTION,
            "license": {"name": project["license"]},
        },
        "defaultContentType": _JSON,
        "servers": _SERVERS,
        "channels": {"bus": _bus(), "partner": _partner(to_partner)},
        "operations": {**{f"publish_{name}": _publish(name) for name in DetailType}, "post_webhook": _post(to_partner)},
        "components": {
            "messages": {
                **{str(name): _event(name) for name in DetailType},
                **{f"{name}_webhook": _webhook(name) for name in to_partner},
            },
            "schemas": _schemas(),
        },
    }


def example(name: DetailType) -> Json:
    """Return the recorded example of an event, as the bus delivers it."""
    event: Json = json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    return event


def _sent_to_partner() -> list[DetailType]:
    """Return the events that a configured partner gets, by the template's rule."""
    rule = template_with(**WITH_PARTNER).of_type("AWS::Events::Rule")["PartnersRule"]
    return [DetailType(name) for name in rule["EventPattern"]["detail-type"]]


def _bus() -> Json:
    return {
        "address": "{bus}",
        "title": "The event bus",
        "description": "Rules on this bus subscribe to events by `source` and `detail-type`.",
        "parameters": {
            "bus": {"description": "The bus's name: the export `<stack>-BusName`.", "examples": ["handoff-dev"]}
        },
        "servers": [_reference("servers", "eventbridge")],
        "messages": {str(name): _reference("components", "messages", name) for name in DetailType},
    }


def _partner(sent: list[DetailType]) -> Json:
    return {
        "address": None,  # the path of PartnerEndpoint
        "title": "Webhooks to the partner",
        "description": (
            "With `PartnerEndpoint`, each of these events is posted as a webhook by the Standard Webhooks "
            "specification. Check the signature, and answer 2xx once the event is stored."
        ),
        "servers": [_reference("servers", "partner")],
        "messages": {str(name): _reference("components", "messages", f"{name}_webhook") for name in sent},
    }


def _publish(name: DetailType) -> Json:
    return {
        "action": "send",
        "channel": _reference("channels", "bus"),
        "summary": f"Publish {name}.",
        "messages": [_reference("channels", "bus", "messages", name)],
        "x-eventbridge": _matched(name),
    }


def _post(sent: list[DetailType]) -> Json:
    return {
        "action": "send",
        "channel": _reference("channels", "partner"),
        "summary": "Post an event to the partner.",
        "messages": [_reference("channels", "partner", "messages", name) for name in sent],
        "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
    }


def _event(name: DetailType) -> Json:
    return {
        **_described(name),
        "payload": _reference("components", "schemas", name),
        "correlationId": {
            "description": "Shared by a request and everything that results from it.",
            "location": "$message.payload#/detail/metadata/correlationId",
        },
        "examples": [{"name": str(name), "summary": "Recorded from a run.", "payload": example(name)}],
        "x-eventbridge": _matched(name),
    }


def _webhook(name: DetailType) -> Json:
    return {
        **_described(name),
        "title": f"{name}, as a webhook",
        "headers": _WEBHOOK_HEADERS,
        "payload": _reference("components", "schemas", f"{name}_webhook"),
        "examples": [_example_webhook(name)],
    }


def _described(name: DetailType) -> Json:
    """Return a message's texts: the first sentence is the summary."""
    described = DESCRIPTIONS[name]
    summary = described.when.partition(". ")[0].removesuffix(".")
    return {
        "name": str(name),
        "title": str(name),
        "summary": f"{summary}.",
        "description": f"{described.when}\n\nSequence: {described.sequence}",
        "contentType": _JSON,
    }


def _matched(name: DetailType) -> Json:
    """Return what an EventBridge rule for this event matches."""
    return {"source": EVENTS[name].source, "detail-type": str(name)}


def _example_webhook(name: DetailType) -> Json:
    """Return the webhook of the recorded event, signed with `EXAMPLE_SECRET` for an attempt at the event's time."""
    envelope = EVENTS.parse(json.dumps(example(name)))
    signed = sign(envelope, [Webhook(EXAMPLE_SECRET)], from_iso(envelope.metadata.timestamp))
    headers = {header: signed.headers[header] for header in _WEBHOOK_HEADERS["properties"]}
    summary = f"Signed with {EXAMPLE_SECRET}."
    return {"name": str(name), "summary": summary, "headers": headers, "payload": json.loads(signed.body)}


def _schemas() -> Json:
    """Return the payloads of all messages, and the definitions that they share."""
    payloads: Json = {}
    shared: Json = {}
    for name in DetailType:
        schema = contracts_events.delivered(name)
        shared.update(schema.pop("$defs"))
        payloads[name] = _relocated({key: value for key, value in schema.items() if key != "$schema"})
    webhooks = {f"{name}_webhook": _webhook_body(name, payloads[name], shared) for name in _sent_to_partner()}
    return {**payloads, **webhooks, **{name: _relocated(schema) for name, schema in shared.items()}}


def _webhook_body(name: DetailType, delivered: Json, shared: Json) -> Json:
    """Return the schema of a webhook's body, made of parts of the event's schema."""
    members = {
        "type": {"const": str(name)},
        "timestamp": shared["Metadata"]["properties"]["timestamp"],
        "data": delivered["properties"]["detail"]["properties"]["data"],
    }
    return {"type": "object", "properties": members, "required": list(members)}


def _relocated(node: Json) -> Json:
    """Return a schema whose references point to the document's components."""
    text = json.dumps(node).replace('"#/$defs/', '"#/components/schemas/')
    relocated: Json = json.loads(text)
    return relocated


def _reference(*path: str) -> Json:
    return {"$ref": "#/" + "/".join(path)}
