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
    parsed = _float(name)
    if parsed <= 0:
        raise MissingSetting(f"{name} must be positive, not {text(name)}")
    return parsed


def seconds(name: str) -> float:
    """Return the value of a variable that must be a time in seconds; 0 is one.

    Raises
    ------
    MissingSetting
        If it is not set, or not a number from 0.
    """
    parsed = _float(name)
    if parsed < 0:
        raise MissingSetting(f"{name} must not be negative, but is {text(name)}")
    return parsed


def count(name: str) -> int:
    """Return the value of a variable that must be a whole number; 0 is one.

    Raises
    ------
    MissingSetting
        If it is not set, or not a whole number from 0.
    """
    parsed = _float(name)
    if parsed < 0 or not parsed.is_integer():
        raise MissingSetting(f"{name} must be a whole number from 0, not {text(name)}")
    return int(parsed)


def _float(name: str) -> float:
    value = text(name)
    try:
        return float(value)
    except ValueError as error:
        raise MissingSetting(f"{name} must be a number, not {value!r}") from error
