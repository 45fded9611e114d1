"""Arbitrary JSON, and nearly valid documents: some parts of a valid one are replaced, added or removed."""

import copy
import json
from typing import Any

from hypothesis import strategies as st

# Everything that JSON can escape, including control characters and lone surrogates.
_ODD = ["", " ", "\x00", "\ud800", "\uffff", "a" * 200]
TEXT = st.text(st.characters(codec=None), max_size=40) | st.sampled_from(_ODD)
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, -1, 10**30, 1e308, 2.0])
SCALARS = st.none() | st.booleans() | NUMBERS | TEXT
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)
TIMES = st.sampled_from(["2026-13-45T99:99:99.999Z", "0000-00-00T00:00:00.000Z", "2026-02-30T10:00:00.000Z"])


@st.composite
def nearly_valid(draw: st.DrawFn, valid: Any) -> Any:
    """Draw a copy of a valid document with one to three changed parts."""
    document = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        places = _members(document)
        if places:
            _change(draw, *draw(st.sampled_from(places)))
    return document


def _change(draw: st.DrawFn, parent: Any, key: Any) -> None:
    """Change a member of an object or a list: append an odd character, or put another text, time or value."""
    match draw(st.sampled_from(["taint", "text", "time", "replace", "remove", "add"])):
        case "taint" if isinstance(parent[key], str):
            parent[key] += draw(st.sampled_from(_ODD))
        case "text" | "taint":
            parent[key] = draw(st.sampled_from(_ODD) | TEXT)
        case "time":
            parent[key] = draw(TIMES)
        case "remove":
            del parent[key]
        case "add" if isinstance(parent, dict):
            parent[draw(TEXT)] = draw(JSON)
        case _:
            parent[key] = draw(JSON)


def _members(node: Any) -> list[tuple[Any, Any]]:
    """Return every member of every object and list in a document, as its container and key."""
    if isinstance(node, dict):
        here = [(node, key) for key in node]
    elif isinstance(node, list):
        here = [(node, n) for n in range(len(node))]
    else:
        return []
    return here + [place for holder, key in here for place in _members(holder[key])]


def text_of(document: Any) -> str:
    """Return a document as JSON; lone surrogates stay escaped."""
    return json.dumps(document)


def bodies(valid: dict[str, Any]) -> st.SearchStrategy[str]:
    """Return a strategy for message bodies: any text, any JSON, or a nearly valid document."""
    return st.text(max_size=60) | JSON.map(text_of) | nearly_valid(valid).map(text_of)
