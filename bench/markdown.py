"""Markdown for the generated pages, and where these pages are."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
BENCHMARKS = "docs/reference/benchmarks.md"
CAPACITY = "docs/reference/capacity.md"
PLOTS = "docs/reference/benchmarks"

_LINK = re.compile(r"\]\((?!https?:|#)([^)]+)\)")


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, texts: int = 1) -> str:
    """Return a table whose first ``texts`` columns are aligned to the left, and the others to the right."""
    align = ["---"] * texts + ["---:"] * (len(head) - texts)
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in [head, align, *rows])


def plot(file: str, alt: str) -> str:
    """Return an image of a plot."""
    return f"![{alt}]({PLOTS}/{file})"


def relative(page: str, text: str) -> str:
    """Make the links in ``text``, which are relative to the repository's root, relative to the page."""
    folder = os.path.dirname(page)
    return _LINK.sub(lambda link: f"]({os.path.relpath(link[1], folder)})", text)
