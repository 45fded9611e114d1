"""Edits of a folder that are made all together or not at all."""

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TEXTS = Path(__file__).parent / "texts"


class MissingAnchors(Exception):
    """Lines that mark where text is inserted are not in their files; the text lists them."""


class _Text(string.Template):
    """A text with placeholders such as %%name, which neither Python, YAML nor CloudFormation uses."""

    delimiter = "%%"


def filled(text: str, words: Mapping[str, str]) -> str:
    """Return a file of texts/ with its placeholders replaced."""
    return _Text((TEXTS / text).read_text(encoding="utf-8")).substitute(words)


@dataclass
class Edits:
    """New files and insertions below a folder, held in memory until `write`."""

    root: Path
    created: list[Path] = field(default_factory=list)
    _texts: dict[Path, str] = field(default_factory=dict)
    _missing: list[str] = field(default_factory=list)

    def create(self, path: str, text: str) -> None:
        """Create a file."""
        self.created.append(self.root / path)
        self._texts[self.root / path] = text

    def before(self, path: str, anchor: str, text: str, *, above: int = 0) -> None:
        """Insert text before the one line that is ``anchor``, apart from its indentation, or lines ``above`` it."""
        self._insert(path, anchor, lambda _: text, -above)

    def after(self, path: str, anchor: str, text: Callable[[str], str]) -> None:
        """Insert the text made of the one line that is ``anchor``, apart from its indentation, after that line."""
        self._insert(path, anchor, text, 1)

    def append_row(self, path: str, header: str, row: str) -> None:
        """Append a row to the Markdown table with this header."""
        head, found, rest = self._text(path).partition(f"{header}\n")
        if not found:
            self._missing.append(_missing(path, header, 0))
            return
        rows = rest.splitlines(keepends=True)
        end = next((n for n, line in enumerate(rows) if not line.startswith("|")), len(rows))
        rows.insert(end, f"{row}\n")
        self._texts[self.root / path] = head + found + "".join(rows)

    def check(self) -> None:
        """Raise `MissingAnchors` if an insertion has no place."""
        if self._missing:
            raise MissingAnchors("Nothing was changed. These places were not found:\n  " + "\n  ".join(self._missing))

    def write(self, finish: Callable[[], None], generated: Sequence[str]) -> None:
        """Write all files, then call ``finish``, which writes ``generated``. If either fails, restore all of them."""
        self.check()
        paths = [*self._texts, *(self.root / path for path in generated)]
        earlier = {path: path.read_bytes() if path.exists() else None for path in paths}
        try:
            for path, text in self._texts.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            finish()
        except BaseException:
            self._restore(earlier)
            raise

    @property
    def changed(self) -> list[Path]:
        """The existing files that are changed."""
        return [path for path in self._texts if path not in self.created]

    @property
    def python_files(self) -> list[Path]:
        """The Python files that are created or changed."""
        return [path for path in self._texts if path.suffix == ".py"]

    def _text(self, path: str) -> str:
        return self._texts.get(self.root / path) or (self.root / path).read_text(encoding="utf-8")

    def _insert(self, path: str, anchor: str, text: Callable[[str], str], offset: int) -> None:
        lines = self._text(path).splitlines(keepends=True)
        found = [n for n, line in enumerate(lines) if line.strip() == anchor]
        if len(found) != 1:
            self._missing.append(_missing(path, anchor, len(found)))
            return
        lines.insert(found[0] + offset, text(lines[found[0]]))
        self._texts[self.root / path] = "".join(lines)

    def _restore(self, earlier: Mapping[Path, bytes | None]) -> None:
        for path, content in earlier.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
        for folder in {path.parent for path in self.created}:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _missing(path: str, anchor: str, found: int) -> str:
    return f"{path}: the line {anchor!r}, found {found} times instead of once"
