"""How long ago: as people write it, and as they read it."""

import re

_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse(text: str) -> int:
    """Milliseconds of an age such as ``90s``, ``30m``, ``1h`` or ``2d``.

    Raises
    ------
    ValueError
        If it is none; the text says what one looks like.
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if not found:
        raise ValueError(f"{text!r} is not an age such as 90s, 30m, 1h or 2d")
    return int(found[1]) * _UNITS[found[2]]


def show(milliseconds: int) -> str:
    """An age in its largest unit and the next one, such as ``2h5m``; ``0s`` for what is yet to come."""
    left = max(0, milliseconds)
    parts: list[str] = []
    for unit in reversed(_UNITS):
        count, left = divmod(left, _UNITS[unit])
        if count or parts:
            parts.append(f"{count}{unit}")
    return "".join(part for part in parts[:2] if not part.startswith("0")) or "0s"
