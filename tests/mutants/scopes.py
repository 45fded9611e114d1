"""Find functions, classes and constants by name, in whichever file they are."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.mutants.errors import Stale

ROOTS = ("functions", "layers/handoff", "ops", "examples/first-workflow")


class Scopes:
    """The names of one source tree."""

    def __init__(self, tree: Path) -> None:
        paths = [path.relative_to(tree) for root in ROOTS for path in sorted((tree / root).rglob("*.py"))]
        self._places = [
            (".".join([*path.with_suffix("").parts, name]), path, name)
            for path in paths
            for name, _node in _named(ast.parse((tree / path).read_text()))
        ]

    def find(self, name: str) -> tuple[Path, str]:
        """Return the file that defines a dotted name, and the name within that file.

        The module may be left out where the name is unique: ``OrderStore.get``, ``shop.catalog.MAX_AGE``.

        Raises
        ------
        Stale
            If nothing has this name, or more than one thing has it.
        """
        found = [(full, path, local) for full, path, local in self._places if f".{full}".endswith(f".{name}")]
        if not found:
            raise Stale(
                f"{name}: no function, class or constant has this name in {', '.join(ROOTS)}. Name its successor."
            )
        if len(found) > 1:
            raise Stale(f"{name} is ambiguous: {', '.join(full for full, _path, _local in found)}. Add the module.")
        _full, path, local = found[0]
        return path, local


def node_of(module: ast.Module, name: str) -> ast.AST:
    """Return the node that defines a name within its module."""
    return dict(_named(module))[name]


def _named(parent: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    for node in ast.iter_child_nodes(parent):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield prefix + name, node
                yield from _named(node, f"{prefix}{name}.")
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if not isinstance(parent, ast.FunctionDef):
                    yield prefix + name, node
