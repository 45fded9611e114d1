"""Arbitrary JSON, and what is nearly right: a good document with a few of its parts replaced, added or taken away."""

import copy
import json
from typing import Any

from hypothesis import strategies as st

# All that JSON can hold as escapes: control characters and lone surrogates too.
_ODD = ["", " ", "\x00", "\ud800", "\uffff", "a" * 200]
TEXT = st.text(st.characters(codec=None), max_size=40) | st.sampled_from(_ODD)
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, -1, 10**30, 1e308, 2.0])
SCALARS = st.none() | st.booleans() | NUMBERS | TEXT
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)
TIMES = st.sampled_from(["2026-13-45T99:99:99.999Z", "0000-00-00T00:00:00.000Z", "2026-02-30T10:00:00.000Z"])


@st.composite
def bent(draw: st.DrawFn, good: Any) -> Any:
    """A copy of a good document in which one to three places are not as they should be."""
    document = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        places = _places(document)
        if places:
            _bend(draw, *draw(st.sampled_from(places)))
    return document


def _bend(draw: st.DrawFn, parent: Any, key: Any) -> None:
    """Change a member of an object or a list: an odd character in a text, another text, a wrong time, anything else."""
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


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every member of every object and list in a document, by what holds it and its key."""
    if isinstance(node, dict):
        here = [(node, key) for key in node]
    elif isinstance(node, list):
        here = [(node, n) for n in range(len(node))]
    else:
        return []
    return here + [place for holder, key in here for place in _places(holder[key])]


def text_of(document: Any) -> str:
    """A document as a message holds it; lone surrogates stay escapes."""
    return json.dumps(document)


def bodies(good: dict[str, Any]) -> st.SearchStrategy[str]:
    """What could stand in a message: anything at all, any JSON, or nearly the right thing."""
    return st.text(max_size=60) | JSON.map(text_of) | bent(good).map(text_of)
