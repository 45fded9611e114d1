"""The event schemas and the recorded examples, which every consumer must be able to read."""

import copy
import json

import pytest
from jsonschema import Draft202012Validator

from dev.contracts import events as contracts_events
from dev.contracts import files as contracts
from dev.contracts import page as contracts_page
from dev.simulated.clock import standing
from dev.simulated.world import World, deployed
from dev.template import template_with
from shop.events import EVENTS, DetailType
from tests.contracts import recording

EXAMPLES = {
    file: json.loads(file.read_text(encoding="utf-8"))
    for folder in (recording.EXAMPLES, contracts.RELEASED / "events/examples")
    for file in sorted(folder.glob("*.json"))
}
_IDS = [f"{'released-' if contracts.RELEASED in file.parents else ''}{file.stem}" for file in EXAMPLES]
example = pytest.mark.parametrize("event", EXAMPLES.values(), ids=_IDS)


@pytest.fixture(scope="module")
def stack():
    with deployed() as stack:
        yield stack


def heard_by(event):
    """The consumers whose rule in the template names this event; see tests/template for the patterns themselves."""
    rules = template_with().of_type("AWS::Events::Rule")
    functions = {name: f"{name.removesuffix('Rule')}Function" for name in rules}
    return [
        function
        for name, function in functions.items()
        if function in template_with().of_type("AWS::Lambda::Function")
        and event["detail-type"] in rules[name]["EventPattern"].get("detail-type", [])
    ]


CASES = [
    pytest.param(event, function, is_newer, id=f"{name}-{function}{'-newer' if is_newer else ''}")
    for name, event in zip(_IDS, EXAMPLES.values(), strict=True)
    for function in heard_by(event)
    for is_newer in (False, True)
]


def newer(event):
    """Return the event with an unknown field at every level."""
    event = copy.deepcopy(event)
    for part in (event, event["detail"], event["detail"]["metadata"], event["detail"]["data"]):
        part["addedLater"] = {"nested": [1, None, "text"]}
    return event


def test_the_examples_equal_a_new_recording():
    assert recording.texts() == {file: file.read_text(encoding="utf-8") for file in recording.EXAMPLES.glob("*.json")}


def test_every_event_type_has_an_example():
    assert {event["detail-type"] for event in EXAMPLES.values()} == set(DetailType)


@example
def test_an_example_fits_its_schemas(event):
    name = DetailType(event["detail-type"])
    Draft202012Validator(contracts_events.delivered(name)).validate(event)
    Draft202012Validator(contracts_events.produced(name)).validate(event["detail"])
    assert event["source"] == EVENTS[name].source


@example
def test_consumers_ignore_unknown_fields_and_producers_reject_them(event):
    name, added = DetailType(event["detail-type"]), newer(event)
    assert Draft202012Validator(contracts_events.delivered(name)).is_valid(added)
    assert not Draft202012Validator(contracts_events.produced(name)).is_valid(added["detail"])
    for part in ("metadata", "data"):
        detail = event["detail"] | {part: event["detail"][part] | {"addedLater": 1}}
        assert not Draft202012Validator(contracts_events.produced(name)).is_valid(detail)


@pytest.fixture(scope="module")
def happened(stack):
    """All items after the events have happened, by table, and the seconds that it took."""
    with standing() as clock:
        world, began = World(stack, clock), clock.ms
        recording.happen(world)
        return stack.items(), (clock.ms - began) / 1000


@pytest.mark.parametrize(("event", "function", "is_newer"), CASES)
def test_a_consumer_handles_an_example(stack, clock, happened, event, function, is_newer):
    # GIVEN the data that the examples are about, and empty queues
    world = World(stack, clock)
    items, seconds = happened
    stack.restore(items)
    clock.forward(seconds)
    # WHEN the consumer gets the example
    records = _sent(world, function, newer(event) if is_newer else event)
    answer = world.functions.invoke(function, {"Records": records})
    # THEN it handles it at the first try
    assert answer == {"batchItemFailures": []}
    assert world.queues.dead_letters(function) == []


def _sent(world, function, event):
    world.queues.send(function, json.dumps(event))
    return world.queues.receive(function)


def test_every_consumer_of_events_has_an_example():
    heard = {function for event in EXAMPLES.values() for function in heard_by(event)}
    assert heard == {found.function_id for found in template_with().event_consumers()}
    assert heard >= {"EmailsFunction", "AnalyticsFunction", "FulfillmentFunction", "SettlementFunction"}


@example
def test_the_page_lists_the_consumers_of_an_event(event):
    effects = contracts_page.effects(DetailType(event["detail-type"]))
    assert [f"{name.capitalize()}Function" for name in effects] == heard_by(event)
    assert all(effects.values())
