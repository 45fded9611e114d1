"""Settings: environment variables, checked when they are read."""

import os


class MissingSetting(Exception):
    """An environment variable is missing or has an invalid value."""


def text(name: str) -> str:
    """Return the value of a variable.

    Raises
    ------
    MissingSetting
        If it is not set.
    """
    value = os.environ.get(name)
    if value is None:
        raise MissingSetting(f"{name} is not set; set it in the function's environment in template.yaml")
    return value


def number(name: str) -> float:
    """Return the value of a variable that must be a positive number.

    Raises
    ------
    MissingSetting
        If it is not set, or not a positive number.
    """
    value = text(name)
    try:
        parsed = float(value)
    except ValueError as error:
        raise MissingSetting(f"{name} must be a number, not {value!r}") from error
    if parsed <= 0:
        raise MissingSetting(f"{name} must be positive, not {value}")
    return parsed
