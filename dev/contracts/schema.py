"""Compare two JSON Schemas: list the values that one allows and the other does not.

Only the keywords used by our contracts are supported. Any other keyword is an error.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

Json = dict[str, Any]

_ANNOTATIONS = {"title", "description", "default", "examples", "$schema", "$id", "$defs", "$comment"}
_UNIONS = ("anyOf", "oneOf")
# A higher lower bound, or a lower upper bound, makes a schema narrower.
_LOWER, _UPPER = ("minimum", "minLength", "minItems"), ("maximum", "maxLength", "maxItems")
_KNOWN = {
    *_ANNOTATIONS,
    *_UNIONS,
    *_LOWER,
    *_UPPER,
    *(
        "$ref",
        "type",
        "const",
        "enum",
        "not",
        "pattern",
        "format",
        "items",
        "properties",
        "required",
        "additionalProperties",
    ),
}


@dataclass(frozen=True)
class Schema:
    """A schema, and the document that resolves its references."""

    root: Json
    node: Json

    def resolved(self) -> "Schema":
        """Resolve the reference at the top of the schema.

        Raises
        ------
        NotImplementedError
            If the schema uses an unsupported keyword.
        """
        node = self.node
        while "$ref" in node:
            target: Any = self.root
            for step in node["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            node = target | {name: value for name, value in node.items() if name != "$ref"}
        if "const" in node:
            node = {"enum": [node["const"]], **{name: value for name, value in node.items() if name != "const"}}
        unknown = node.keys() - _KNOWN
        if unknown:
            raise NotImplementedError(f"{', '.join(sorted(unknown))} is not supported: extend dev/contracts/schema.py")
        return Schema(self.root, node)

    def part(self, node: Json) -> "Schema":
        """Return another schema of the same document."""
        return Schema(self.root, node)

    def branches(self) -> "list[Schema]":
        """Return the alternatives of the schema, or the schema itself if it has none."""
        for union in _UNIONS:
            if union in self.node:
                rest = {name: value for name, value in self.node.items() if name != union}
                return [self.part({**rest, **self.part(node).resolved().node}) for node in self.node[union]]
        return [self]

    def allows(self, value: Any) -> bool:
        """Whether a value is valid."""
        whole: Json = {name: self.root[name] for name in ("$defs", "components") if name in self.root}
        return bool(Draft202012Validator({**whole, **self.node}).is_valid(value))


def untitled(node: Any) -> Any:
    """Remove the titles that pydantic derives from names, but not a member that is called title: it is a schema."""
    if isinstance(node, list):
        return [untitled(part) for part in node]
    if not isinstance(node, dict):
        return node
    return {name: untitled(part) for name, part in node.items() if not (name == "title" and isinstance(part, str))}


def excess(narrow: Schema, wide: Schema, at: str = "") -> list[str]:
    """Return what ``narrow`` allows and ``wide`` does not, by location; empty if every value of one fits the other."""
    narrow, wide = narrow.resolved(), wide.resolved()
    found = []
    for branch in narrow.branches():
        tries = [_branch_excess(branch.resolved(), other.resolved(), at) for other in wide.branches()]
        found += sorted(tries, key=len)[0]
    return found


def _branch_excess(narrow: Schema, wide: Schema, at: str) -> list[str]:
    where = at or "the document"
    if "enum" in narrow.node:
        return [f"{where}: may be {value!r}" for value in narrow.node["enum"] if not wide.allows(value)]
    if "enum" in wide.node:
        return [f"{where}: may be other than {wide.node['enum']}"]
    types, allowed = _types(narrow.node), _types(wide.node)
    if allowed and not (types and types <= _with_integers(allowed)):
        return [f"{where}: may be {' or '.join(sorted(types)) or 'anything'}, not only {' or '.join(sorted(allowed))}"]
    return [
        *_bounds(narrow.node, wide.node, where),
        *_items(narrow, wide, at),
        *_members(narrow, wide, at),
    ]


def _types(node: Json) -> set[str]:
    declared = node.get("type", [])
    return {declared} if isinstance(declared, str) else set(declared)


def _with_integers(types: set[str]) -> set[str]:
    return types | {"integer"} if "number" in types else types


def _bounds(narrow: Json, wide: Json, where: str) -> Iterator[str]:
    for bound in (*_LOWER, *_UPPER):
        if bound in wide:
            sign = 1 if bound in _LOWER else -1
            if bound not in narrow or sign * narrow[bound] < sign * wide[bound]:
                yield f"{where}: {bound} is {narrow.get(bound, 'open')}, not {wide[bound]}"
    for rule in ("pattern", "format"):
        if rule in wide and narrow.get(rule) != wide[rule]:  # not decidable which of two patterns is wider
            yield f"{where}: {rule} is {narrow.get(rule, 'open')}, not {wide[rule]}"
    if "not" in wide and narrow.get("not") != wide["not"]:
        yield f"{where}: may be what is not allowed: {wide['not']}"


def _items(narrow: Schema, wide: Schema, at: str) -> list[str]:
    if "items" not in wide.node:
        return []
    return excess(narrow.part(narrow.node.get("items", {})), wide.part(wide.node["items"]), f"{at}[]")


def _members(narrow: Schema, wide: Schema, at: str) -> Iterator[str]:
    ours, theirs = narrow.node.get("properties", {}), wide.node.get("properties", {})
    for name in sorted(set(wide.node.get("required", [])) - set(narrow.node.get("required", []))):
        yield f"{at}.{name}: may be missing"
    for name in sorted(theirs.keys() & ours.keys()):
        yield from excess(narrow.part(ours[name]), wide.part(theirs[name]), f"{at}.{name}")
    is_open = narrow.node.get("additionalProperties", True)
    if is_open:
        yield from (f"{at}.{name}: is not described" for name in sorted(theirs.keys() - ours.keys()))
    if not wide.node.get("additionalProperties", True):
        yield from (f"{at}.{name}: is unknown" for name in sorted(ours.keys() - theirs.keys()))
        if is_open and "object" in _types(narrow.node):
            yield f"{at or 'the document'}: may have other members"
