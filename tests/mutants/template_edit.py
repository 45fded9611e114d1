"""Edit YAML at a path of names, each anywhere below the one before: ``EmailsQueue > RedrivePolicy > maxReceiveCount``.

A part of the path is a key or, where there is no such key, a text that an item of a list contains. Of several matches,
the one nearest to the top is meant. Aliases and merge keys are expanded first, so an edit changes one resource only.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from tests.mutants.errors import Stale

_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a mapping, or an item of a list."""

    parent: yaml.CollectionNode
    index: int

    @property
    def key(self) -> str | None:
        """The key, if this is in a mapping."""
        return self.parent.value[self.index][0].value if isinstance(self.parent, yaml.MappingNode) else None

    @property
    def node(self) -> yaml.Node:
        """The value."""
        held = self.parent.value[self.index]
        return held[1] if isinstance(self.parent, yaml.MappingNode) else held

    def fill(self, node: yaml.Node) -> None:
        """Put another value in here."""
        held = self.parent.value[self.index]
        self.parent.value[self.index] = (held[0], node) if isinstance(self.parent, yaml.MappingNode) else node


def edit(text: str, verb: str, path: str, new: str = "") -> str:
    """Return the YAML after one change: ``drop``, ``replace`` by the YAML ``new``, or ``add`` it to the value.

    Raises
    ------
    Stale
        If there is no such path, or more than one.
    """
    root = _expanded(yaml.compose(text, yaml.CSafeLoader))
    node, entry = root, None
    for part in path.split(" > "):
        entry = _find(node, part, path)
        node = entry.node
    assert entry
    match verb:
        case "drop":
            del entry.parent.value[entry.index]
        case "replace":
            entry.fill(yaml.compose(new, yaml.CSafeLoader))
        case "add":
            entry.node.value += yaml.compose(new, yaml.CSafeLoader).value
    return yaml.serialize(root, Dumper=yaml.CSafeDumper)


def reformat(text: str) -> str:
    """Return the same YAML as `edit` would write it."""
    return yaml.serialize(_expanded(yaml.compose(text, yaml.CSafeLoader)), Dumper=yaml.CSafeDumper)


def _expanded(node: yaml.Node) -> yaml.Node:
    """Return a copy that shares no node and has no merge key."""
    if isinstance(node, yaml.ScalarNode):  # most are: a fifth of the time of copy.copy
        return yaml.ScalarNode(node.tag, node.value, node.start_mark, node.end_mark, node.style)
    node = copy.copy(node)
    if isinstance(node, yaml.MappingNode):
        own = [(key, value) for key, value in node.value if key.tag != _MERGE]
        merged = [pair for key, value in node.value if key.tag == _MERGE for pair in _expanded(value).value]
        overridden = {key.value for key, _ in own}
        inherited = [(key, value) for key, value in merged if key.value not in overridden]
        node.value = [(_expanded(key), _expanded(value)) for key, value in inherited + own]
    elif isinstance(node, yaml.SequenceNode):
        node.value = [_expanded(item) for item in node.value]
    return node


def _find(node: yaml.Node, part: str, path: str) -> Entry:
    for matches in (_is_key, _contains):
        level = list(_entries(node))
        while level:
            found = [entry for entry in level if matches(entry, part)]
            if len(found) > 1:
                lines = ", ".join(str(entry.node.start_mark.line + 1) for entry in found)
                raise Stale(f"{len(found)} places match '{part}' of '{path}' (lines {lines}): add a part before it")
            if found:
                return found[0]
            level = [below for entry in level for below in _entries(entry.node)]
    raise Stale(f"nothing matches '{part}' of '{path}': name its successor")


def _entries(node: yaml.Node) -> Iterator[Entry]:
    if isinstance(node, yaml.CollectionNode):
        yield from (Entry(node, index) for index in range(len(node.value)))


def _is_key(entry: Entry, part: str) -> bool:
    return entry.key == part


def _contains(entry: Entry, part: str) -> bool:
    return entry.key is None and any(part in scalar for scalar in _scalars(entry.node))


def _scalars(node: yaml.Node) -> Iterator[str]:
    if isinstance(node, yaml.ScalarNode):
        yield node.value
    for entry in _entries(node):
        yield from [entry.key] if entry.key else []
        yield from _scalars(entry.node)
