"""The Markdown files of the repository, their links and their headings."""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(<?([^)>\s]+)>?\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def files() -> Iterator[Path]:
    """Yield all Markdown files, except in environments and builds (hidden folders, ``build``)."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(
            name for name in folders if name == ".github" or not name.startswith((".", "build", "node_"))
        )
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(".md"))


def links(text: str) -> list[str]:
    """Return the targets of all links and images outside of code."""
    return _LINK.findall(_CODE.sub("", _FENCE.sub("", text)))


def anchors(text: str) -> set[str]:
    """Return the fragments that GitHub gives the headings of a page."""
    found: dict[str, int] = {}
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {f"{slug}-{n}" if n else slug for slug, count in found.items() for n in range(count + 1)}


def commands(text: str) -> list[tuple[list[str], bool]]:
    """Return the simple shell commands of a page, each as its words, and whether it is complete.

    Those in ``sh`` blocks are complete; those in inline code may leave out arguments.
    """
    found = []
    blocks = "\n".join(match[0] for match in _FENCE.finditer(text) if match[0].lstrip().startswith("```sh"))
    for line in re.sub(r"\\\n", " ", blocks).splitlines():
        if not line.lstrip().startswith("```"):
            found += [(words, True) for words in _simple(line)]
    for code in _CODE.findall(_FENCE.sub("", text)):
        found += [(words, False) for words in _simple(code.strip("`"))]
    return found


def _simple(line: str) -> Iterator[list[str]]:
    """Yield the simple commands of a line, without variables; also those in ``$(...)``."""
    for inner in re.findall(r"\$\(([^()]*)\)", line):
        yield from _simple(inner)
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    try:
        for word in [*lexer, ";"]:
            if set(word) <= set("();<>|&"):
                if words:
                    yield words
                words = []
            elif words or not re.match(r"[A-Z_]+=", word):
                words.append(word)
    except ValueError:  # not a command: an unmatched quote
        return


def codes(text: str) -> list[str]:
    """Return the inline code of a page."""
    return [code.strip("`") for code in _CODE.findall(_FENCE.sub("", text))]
