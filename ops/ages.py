"""Ages such as 30m or 2h5m, parsed and formatted."""

import re

_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse(text: str) -> int:
    """Return the milliseconds of an age such as ``90s``, ``30m``, ``1h`` or ``2d``.

    Raises
    ------
    ValueError
        If the text has another form.
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if not found:
        raise ValueError(f"{text!r} is not an age such as 90s, 30m, 1h or 2d")
    return int(found[1]) * _UNITS[found[2]]


def show(milliseconds: int) -> str:
    """Return an age in its largest unit and the next one, such as ``2h5m``; ``0s`` if it is negative."""
    left = max(0, milliseconds)
    parts: list[str] = []
    for unit in reversed(_UNITS):
        count, left = divmod(left, _UNITS[unit])
        if count or parts:
            parts.append(f"{count}{unit}")
    return "".join(part for part in parts[:2] if not part.startswith("0")) or "0s"
