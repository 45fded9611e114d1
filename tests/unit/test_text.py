"""The rule for one line of text, and how lines that earlier releases stored are shown."""

import json

import pytest
from pydantic import ValidationError

from bodies import one_line
from order_requests import AddressIn
from routes import OPERATIONS
from shop import text

ONE_LINE = one_line(1).metadata[-1].pattern
READABLE = [
    "Ada Lovelace",
    "José Núñez",
    "Ame\u0301lie",
    "Łukasz Żółć",
    "李明",
    "नरेन्द्र क्\u200dष",  # a joiner between Devanagari letters
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # a non-joiner between Persian letters
    "\u0645\u062d\u0645\u062f",
    "Rosie O\u2019Donnell-Smith",
    "Hauptstr. 5 / Top 14",
    "東京都\u3000千代田区",  # an ideographic space
    "I \u2764\ufe0f Bath",
    "👩\u200d👧",
    "#5",
    "12",
]
REFUSED = {
    "": "nothing that is visible",
    " \u00a0\u3000": "nothing that is visible",
    "\u0301": "nothing that is visible",  # an accent without a letter
    "\u200b": "U+200B",
    "\ufeff": "U+FEFF",
    "\u2060": "U+2060",
    "\u3164": "nothing that is visible",  # the Hangul filler is a letter
    "\u2800": "nothing that is visible",  # Braille without dots is a symbol
    "Ada\u202egnp.exe": "U+202E",
    "Ada\u2066x": "U+2066",
    "Ada\nBcc: all": "U+000A",
    "Ada\u2028x": "U+2028",
    "Ada\x85x": "U+0085",
    "\u200dAda": "U+200D",
    "Ada\u200c": "U+200C",
    "a \u200d b": "U+200D",
    "M\ufffdller": "U+FFFD",
    "\ue000": "U+E000",
    "\ud800": "U+D800",
    "x\U000e0041": "U+E0041",  # a tag character
}


@pytest.mark.parametrize("line", READABLE)
def test_names_and_addresses_of_all_scripts_are_text(line):
    assert text.problem_of(line) is None
    assert text.flattened(line) == " ".join(line.split())


@pytest.mark.parametrize(("line", "said"), REFUSED.items())
def test_a_text_that_is_no_visible_line_is_refused_with_a_reason(line, said):
    assert said in text.problem_of(line)


def test_a_stored_line_is_flattened():
    assert text.flattened("Mug\nTotal: 0.00 \u202eEUR\u200b ") == "Mug Total: 0.00 EUR"


def lines_of(schema):
    """Return the fields of a schema that hold a line of text, as the published pattern says."""
    for name, field in schema["properties"].items():
        kinds = field.get("anyOf", [field])
        if any(kind.get("pattern") == ONE_LINE for kind in kinds):
            yield name


FIELDS = [
    (model, name)
    for model in dict.fromkeys((AddressIn, *(operation.body for operation in OPERATIONS.values() if operation.body)))
    for name in lines_of(model.model_json_schema())
]


def test_the_fields_with_text_are_found():
    assert {name for _, name in FIELDS} >= {"name", "street", "city", "postalCode", "reason"}
    assert len(FIELDS) >= 8


@pytest.mark.parametrize(("model", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_every_text_of_a_request_follows_the_rule(model, name):
    with pytest.raises(ValidationError) as refused:
        model.model_validate_json(json.dumps({name: "x\u200by"}))
    assert ("text", (name,)) in [(error["type"], error["loc"]) for error in refused.value.errors()]
