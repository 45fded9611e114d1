"""The mechanisms that the promises rest on, each with the change that removes it and the tests that notice.

    [P7."An order is read consistently"]
    change = { in = "OrderStore.get", drop = "keyword ConsistentRead" }
    tests = ["tests/integration/test_consumers.py::test_orders_are_read_consistently"]

``in`` is a function, class or constant, in whichever file it is, or a YAML file. `python_edit` and `template_edit`
explain the verbs and places. ``change`` may be a list.
"""

import ast
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.mutants import python_edit, template_edit
from tests.mutants.errors import Stale
from tests.mutants.scopes import ROOTS, Scopes, node_of

FOLDER = Path(__file__).with_name("catalog")


@dataclass(frozen=True, slots=True)
class Change:
    """One edit: ``{ in = WHERE, VERB = PLACE, with = NEW }``."""

    where: str
    verb: str
    place: str
    new: str

    @classmethod
    def of(cls, entry: Mapping[str, str]) -> "Change":
        """Return the change that a table of the catalog describes."""
        ((verb, place),) = ((name, value) for name, value in entry.items() if name not in {"in", "with"})
        return cls(entry["in"], verb, place, entry.get("with", ""))

    def apply(self, tree: Path, scopes: Scopes) -> Path:
        """Edit the code in this folder; returns the file.

        Raises
        ------
        Stale
            If the place is gone, or ambiguous.
        """
        if self.where.endswith(".yaml"):
            path = tree / self.where
            path.write_text(template_edit.edit(path.read_text(), self.verb, self.place, self.new))
            return path
        file, name = scopes.find(self.where)
        path = tree / file
        module = ast.parse(path.read_text())
        try:
            python_edit.edit(node_of(module, name), self.verb, self.place, self.new)
        except Stale as error:
            raise Stale(f"{self.where} in {file}: {error}") from None
        path.write_text(ast.unparse(module))
        return path


@dataclass(frozen=True, slots=True)
class Mutation:
    """One mechanism, and how to remove it; ``tests`` are the files or ids of the tests that should notice."""

    mechanism: str
    promise: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]

    def apply(self, tree: Path, scopes: Scopes) -> set[Path]:
        """Remove the mechanism from the code in this folder; returns the files that changed."""
        return {change.apply(tree, scopes) for change in self.changes}


def reformat(tree: Path) -> None:
    """Write the code as the edits write it, without comments, so that a test can only fail because of the edit."""
    for root in ROOTS:
        for path in (tree / root).rglob("*.py"):
            path.write_text(ast.unparse(ast.parse(path.read_text())))
    for path in (*tree.glob("*.yaml"), *tree.glob(".github/*-role.yaml")):
        path.write_text(template_edit.reformat(path.read_text()))


def load(folder: Path = FOLDER) -> list[Mutation]:
    """Return all entries, by promise."""
    entries = [
        Mutation(mechanism, promise, _changes(entry["change"]), tuple(entry["tests"]))
        for path in sorted(folder.glob("*.toml"))
        for promise, mechanisms in tomllib.loads(path.read_text()).items()
        for mechanism, entry in mechanisms.items()
    ]
    return sorted(entries, key=lambda entry: int(entry.promise.removeprefix("P")))


def _changes(entry: Mapping[str, str] | list[Mapping[str, str]]) -> tuple[Change, ...]:
    return tuple(map(Change.of, entry if isinstance(entry, list) else [entry]))
