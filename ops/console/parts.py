"""Small pieces that all parts of the page are made of."""

import math
from datetime import datetime

from nicegui import ui

# Classes of text that stand out at least 4.5 to one against the page's background, light and dark.
QUIET = "text-sm text-gray-600 dark:text-gray-300"
TROUBLE = "text-red-800 dark:text-red-300"
WAITS = "text-amber-900 dark:text-amber-300"
SMALL_BUTTON = "outline no-caps padding='xs sm'"


def heading(text: str, level: int) -> ui.label:
    """A heading, for those who listen, too."""
    size = {1: "text-lg font-medium", 2: "text-lg font-medium", 3: "font-medium"}[level]
    return ui.label(text).classes(size).props(f"role=heading aria-level={level}")


def clock(epoch_ms: int) -> str:
    """A moment as this machine's wall clock shows it."""
    return f"{datetime.fromtimestamp(epoch_ms / 1000).astimezone():%H:%M:%S}"


def milliseconds(value: float | None) -> str:
    """A time in the unit that fits it; "-" if it is not known."""
    if value is None:
        return "-"
    return f"{value:.0f} ms" if value < 1000 else seconds(value / 1000)


def seconds(value: float | None) -> str:
    """A time in the unit that fits it; "-" if it is not known, "never" if it is infinite."""
    if value is None:
        return "-"
    if math.isinf(value):
        return "never"
    if 0 < value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.0f} h"


def rate(value: float | None) -> str:
    """Events a second."""
    return "-" if value is None else f"{value:.1f}/s"
