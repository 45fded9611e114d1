"""Markdown tables."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, texts: int = 1) -> str:
    """A table whose first columns, ``texts`` of them, are texts; the others are numbers, and stand to the right."""
    align = ["---"] * texts + ["---:"] * (len(head) - texts)
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in [head, align, *rows])
