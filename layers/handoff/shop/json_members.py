"""Duplicate members of JSON objects, of which parsers keep the last without a word (RFC 8259, 4)."""

import json
import re
from typing import Any


class _Duplicate(Exception):
    """An object has a member twice."""


def duplicate_member(document: str | bytes) -> str | None:
    """Return the name of a member that an object of a valid JSON document has twice, or None."""
    try:
        json.loads(document, **_OPTIONS)
    except _Duplicate as duplicate:
        return str(duplicate)
    return None


def duplicate_in_list(document: str) -> tuple[str, int] | None:
    """Return what `duplicate_member` does, for a list, and the line on which the element with the duplicate begins."""
    decoder, start = json.JSONDecoder(**_OPTIONS), document.index("[")
    while (start := _BETWEEN.match(document, start).end()) < len(document):  # type: ignore[union-attr]  # always matches
        try:
            _, start = decoder.raw_decode(document, start)
        except _Duplicate as duplicate:
            return str(duplicate), document.count("\n", 0, start) + 1
    return None


def _unique(members: list[tuple[str, Any]]) -> None:
    names = set()
    for name, _ in members:
        if name in names:
            raise _Duplicate(name)
        names.add(name)


# Numbers stay text: converting one can fail (more than 4,300 digits), and their values do not matter.
_OPTIONS: Any = {"object_pairs_hook": _unique, "parse_int": str, "parse_float": str, "parse_constant": str}
_BETWEEN = re.compile(r"[\s,\[\]]*")  # the elements of a list
