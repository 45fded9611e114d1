"""The trees in the docstrings of shop.errors and handoff.errors: every exception, with its base and its module."""

import ast
import re
from pathlib import Path

import pytest

from handoff import errors as core_errors
from shop import errors

LAYER = Path(errors.__file__).parents[1]
_ENTRY = re.compile(r"^([│ ]*)[├└]── (?:(\w+)\.)?(\w+)(?: +(here\b|(?:shop|handoff)\.[\w.]+))?", re.MULTILINE)


def drawn(module):
    """The exceptions in a tree: their base and their module."""
    found, parents = {}, {}
    for indent, prefix, name, column in _ENTRY.findall(module.__doc__):
        parents[len(indent)] = name
        own = f"handoff.{prefix}" if prefix else module.__name__
        found[name] = (parents.get(len(indent) - 4, "Exception"), own if column in ("", "here") else column)
    return found


def defined(*packages):
    """The exceptions in the code: their base and their module."""
    found = {}
    for file in (file for package in packages for file in sorted((LAYER / package).rglob("*.py"))):
        module = ".".join(file.relative_to(LAYER).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.bases and not node.name.startswith("_"):
                found[node.name] = (ast.unparse(node.bases[0]), module)
    return {name: entry for name, entry in found.items() if _is_exception(name, found)}


def _is_exception(name, found):
    return name == "Exception" or (name in found and _is_exception(found[name][0], found))


@pytest.mark.parametrize(
    ("module", "packages"), [(core_errors, ["handoff"]), (errors, ["handoff", "shop"])], ids=["core", "shop"]
)
def test_the_tree_shows_every_exception(module, packages):
    assert drawn(module) == defined(*packages)
