"""The tree in the docstring of shop.errors: every exception of the layer, with its base and its module."""

import ast
import re
from pathlib import Path

from shop import errors

LAYER = Path(errors.__file__).parents[1]
_ENTRY = re.compile(r"^    ([│ ]*[├└]── )(\w+)(?: +([\w.]+))?", re.MULTILINE)


def drawn():
    """The exceptions in the tree: their base and their module."""
    found, parents = {}, {0: "Exception"}
    for indent, name, module in _ENTRY.findall(errors.__doc__):
        level = len(indent) // 4
        parents[level] = name
        found[name] = (parents[level - 1], "shop.errors" if module in ("", "here") else module)
    return found


def defined():
    """The exceptions in the code: their base and their module."""
    found = {}
    for file in LAYER.rglob("*.py"):
        module = ".".join(file.relative_to(LAYER).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.bases and not node.name.startswith("_"):
                base = ast.unparse(node.bases[0])
                if base == "Exception" or base in found:
                    found[node.name] = (base, module)
    return found


def test_the_tree_shows_every_exception_of_the_layer():
    assert drawn() == defined()
