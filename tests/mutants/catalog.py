"""The mechanisms that the promises rest on, each with the edit that takes it away."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("catalog")


class Stale(Exception):
    """The code has moved on, and an entry of the catalog with it."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One mechanism, and how to take it away; ``tests`` are the files or ids of the tests that should notice."""

    mechanism: str
    promise: str
    file: str
    text: str
    instead: str
    tests: tuple[str, ...]

    def apply(self, tree: Path) -> None:
        """Take the mechanism away from the code in this folder.

        Raises
        ------
        Stale
            If the file is gone, or does not hold the text exactly once.
        """
        path = tree / self.file
        if not path.is_file():
            raise Stale(f"there is no {self.file}")
        code = path.read_text()
        found = code.count(self.text)
        if found != 1:
            raise Stale(f"{self.file} holds the text {found} times, not once")
        path.write_text(code.replace(self.text, self.instead))


def load(folder: Path = FOLDER) -> list[Mutation]:
    """All entries, by promise."""
    entries = [
        Mutation(**entry | {"tests": tuple(entry["tests"])})
        for path in sorted(folder.glob("*.toml"))
        for entry in tomllib.loads(path.read_text())["mutation"]
    ]
    return sorted(entries, key=lambda entry: int(entry.promise.removeprefix("P")))
