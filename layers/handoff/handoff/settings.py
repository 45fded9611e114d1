"""What template.yaml tells the functions through their environment, read once and checked."""

import os


class MissingSetting(Exception):
    """The environment lacks a variable that template.yaml should have set, or it has no usable value."""


def text(name: str) -> str:
    """The value of one variable; see `load` for the errors."""
    value = os.environ.get(name)
    if value is None:
        raise MissingSetting(f"{name} is not set; template.yaml sets it")
    return value


def number(name: str) -> float:
    """The value of one variable that must be a positive number; see `load` for the errors."""
    value = text(name)
    try:
        parsed = float(value)
    except ValueError as error:
        raise MissingSetting(f"{name} must be a number, not {value!r}") from error
    if parsed <= 0:
        raise MissingSetting(f"{name} must be positive, not {value}")
    return parsed
