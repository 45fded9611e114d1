"""Text for a terminal."""

from collections.abc import Sequence

_WIDEST = 60  # characters of a cell: ids are at most 36 long, messages of log lines seldom more than 50


def plain(text: str) -> str:
    """Escape characters that could control the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def sentences(*texts: object) -> str:
    """Join texts as sentences; one that does not end with a punctuation mark gets a period."""
    stripped = [str(text).strip() for text in texts]
    return " ".join(text if text.endswith((".", "?", "!")) else f"{text}." for text in stripped)


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, such as ``1 event`` or ``2 events``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """Align cells in columns. The last one is whole; in the others, a long cell is shortened in the middle."""
    cells = [[*(_shorten(plain(cell)) for cell in line[:-1]), plain(line[-1])] for line in lines]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)][:-1]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in cells
    ]


def _shorten(text: str) -> str:
    half = (_WIDEST - 3) // 2
    return text if len(text) <= _WIDEST else f"{text[:half]}...{text[-half:]}"
