"""The template after SAM's transformation, one line per resource: its type and a digest of all that is declared.

A change of the lines shows what a change set would show. `released_resources` writes them, with its own list.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dev.template import ROOT, source, transformed

LIST = ROOT / "tests/template/snapshot.toml"
COMMAND = ".venv/bin/python -m tests.template.released_resources"
_HEAD = f"""\
# The translated template: each resource's type, and a digest of its declaration.
# `{COMMAND}` writes it. Lines that differ are what a deployment changes.
"""
Lines = dict[str, dict[str, str]]


def current() -> Lines:
    """Return the lines of template.yaml, and those that differ with Canary."""
    plain, canary = lines(transformed(source(), canary="false")), lines(transformed(source(), canary="true"))
    return plain | {"resources with Canary": dict(canary["resources"].items() - plain["resources"].items())}


def lines(template: Mapping[str, Any]) -> Lines:
    """Return the lines of a translated template: of its resources, and of its other sections."""
    resources = {name: f"{found['Type']} {_digest(found)}" for name, found in template["Resources"].items()}
    others = ("Parameters", "Conditions", "Rules", "Outputs")
    entries = {f"{section}.{name}": _digest(entry) for section in others for name, entry in template[section].items()}
    return {"resources": resources, "other sections": entries}


def listed(path: Path = LIST) -> Lines:
    """Return the recorded lines."""
    return tomllib.loads(path.read_text())


def changes(before: Lines, after: Lines) -> list[str]:
    """Return what is added (+), removed (-) and modified (~), each with its type."""
    found = []
    for section in after:
        old, new = before.get(section, {}), after[section]
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                sign = "~" if name in old and name in new else "+" if name in new else "-"
                kind = (new.get(name) or old[name]).rpartition(" ")[0]
                found.append(" ".join(filter(None, (sign, name, kind))))
    return found


def written(found: Lines) -> str:
    """Return lines as text."""
    parts = [_HEAD]
    for section, entries in found.items():
        parts += [f'\n["{section}"]\n', *(f'"{name}" = "{entry}"\n' for name, entry in sorted(entries.items()))]
    return "".join(parts)


def write(path: Path = LIST) -> None:
    """Record the template as it is."""
    path.write_text(written(current()))


def _digest(declaration: Any) -> str:
    text = json.dumps(_plain(declaration), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(node: Any) -> Any:
    """Return a declaration with the values of ``Fn::Sub`` in its text, so that a shared text equals an own one."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {name: _plain(item) for name, item in node.items()}
    match node:
        case {"Fn::Sub": [text, dict(values)]}:
            inlined = {name: _inlined(value) for name, value in values.items()}
            rest = {name: value for name, value in values.items() if inlined[name] is None}
            text = re.sub(r"\$\{(\w+)\}", lambda found: inlined.get(found[1]) or found[0], text)
            return {"Fn::Sub": [text, rest] if rest else text}
    return node


def _inlined(value: Any) -> str | None:
    match value:
        case str():
            return value
        case {"Ref": name}:
            return f"${{{name}}}"
    return None
