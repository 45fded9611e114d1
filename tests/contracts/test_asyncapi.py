"""contracts/asyncapi.json: valid AsyncAPI 3 by its official schema, with the payloads and examples of the contracts."""

import copy
import json
from pathlib import Path

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from dev.contracts import asyncapi
from dev.contracts import files as contracts
from shop.events import DetailType

DOCUMENT = json.loads(asyncapi.FILE.read_text(encoding="utf-8"))
SPECIFICATION = json.loads((Path(__file__).parent / "asyncapi_specs/3.0.0.json").read_text(encoding="utf-8"))
MESSAGES = DOCUMENT["components"]["messages"]
each_message = pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)


def referred(node, root):
    """Return the part of a document that a reference points to."""
    target = root
    for step in node["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return target


def inlined(node, root):
    """Return a schema with the definitions in the place of references to them."""
    if isinstance(node, list):
        return [inlined(part, root) for part in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return inlined(referred(node, root), root)
    return {name: inlined(part, root) for name, part in node.items()}


def references(node):
    """Return all references in a part of the document."""
    if isinstance(node, dict):
        here = [node] if isinstance(node.get("$ref"), str) else []
        return here + [found for part in node.values() for found in references(part)]
    return [found for part in node for found in references(part)] if isinstance(node, list) else []


def without(*path):
    def damage(document):
        for step in path[:-1]:
            document = document[step]
        del document[path[-1]]

    return damage


def with_value(value, *path):
    def damage(document):
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = value

    return damage


def test_the_document_is_valid_asyncapi():
    Draft7Validator.check_schema(SPECIFICATION)

    assert [error.message for error in Draft7Validator(SPECIFICATION).iter_errors(DOCUMENT)] == []
    assert DOCUMENT["asyncapi"] == "3.0.0"


@pytest.mark.parametrize(
    "damage",
    [
        without("info", "version"),
        without("servers", "eventbridge", "protocol"),
        without("operations", "publish_order_placed", "channel"),
        with_value("publish", "operations", "publish_order_placed", "action"),
        with_value("text", "components", "messages", "order_placed", "examples"),
        with_value({"type": "text"}, "components", "schemas", "Metadata"),
        with_value({}, "components", "messages", "order_placed", "eventbridge"),
        with_value({"eventbridge": {}}, "channels", "bus", "bindings"),
    ],
)
def test_the_official_schema_refuses_a_planted_mistake(damage):
    damaged = copy.deepcopy(DOCUMENT)
    damage(damaged)

    assert not Draft7Validator(SPECIFICATION).is_valid(damaged)


def test_every_reference_resolves():
    found = references(DOCUMENT)

    assert len(found) > 50
    for reference in found:
        assert referred(reference, DOCUMENT)


def test_every_event_is_sent_to_the_bus_and_those_of_partners_as_webhooks():
    sent = {name: set() for name in DOCUMENT["channels"]}
    for operation in DOCUMENT["operations"].values():
        channel = operation["channel"]["$ref"]
        # By the specification, an operation names messages of its channel.
        names = {reference["$ref"].removeprefix(f"{channel}/messages/") for reference in operation["messages"]}
        assert operation["action"] == "send"
        sent[channel.rpartition("/")[2]] |= names

    assert sent == {name: set(channel["messages"]) for name, channel in DOCUMENT["channels"].items()}
    assert sent["bus"] == set(DetailType)
    assert sent["partner"] == set(DetailType) - {"payment_event", "refund_requested", "user_profile_updated"}


@pytest.mark.parametrize("name", DetailType)
def test_the_payload_of_an_event_is_its_committed_schema(name):
    committed = json.loads((contracts.EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    expected = inlined({key: part for key, part in committed.items() if key not in {"$schema", "$defs"}}, committed)

    assert inlined(MESSAGES[name]["payload"], DOCUMENT) == expected
    source = committed["properties"]["source"]["const"]
    assert MESSAGES[name]["x-eventbridge"] == {"source": source, "detail-type": name}


@each_message
def test_the_example_of_a_message_fits_its_schemas(message):
    (example,) = message["examples"]

    Draft202012Validator(inlined(message["payload"], DOCUMENT)).validate(example["payload"])
    Draft202012Validator(message.get("headers", {})).validate(example.get("headers", {}))


@each_message
def test_a_message_has_a_name_and_texts(message):
    assert message["name"] in set(DetailType)
    assert message["summary"].endswith(".")
    assert message["description"].startswith(message["summary"].removesuffix("."))
