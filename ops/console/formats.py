"""Times and rates as the page shows them."""

import math
from datetime import datetime


def clock(epoch_ms: int) -> str:
    """Return a time of day in this machine's time zone."""
    return f"{datetime.fromtimestamp(epoch_ms / 1000).astimezone():%H:%M:%S}"


def milliseconds(value: float | None) -> str:
    """Return a duration in the unit that fits; "-" if it is unknown."""
    if value is None:
        return "-"
    return f"{value:.0f} ms" if value < 1000 else seconds(value / 1000)


def seconds(value: float | None) -> str:
    """Return a duration in the unit that fits; "-" if it is unknown, "never" if it is infinite."""
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
    """Return events per second; "-" if they are unknown."""
    return "-" if value is None else f"{value:.1f}/s"
