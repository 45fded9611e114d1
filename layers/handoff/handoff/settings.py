"""What template.yaml tells the functions through their environment, read once and checked."""

import os
from dataclasses import dataclass
from functools import cache


class MissingSetting(Exception):
    """The environment lacks a variable that template.yaml should have set, or it has no usable value."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What all functions that deal with orders are told; what only one is told, it reads with `text` and `number`."""

    orders_table: str
    products_table: str
    customers_table: str
    shipments_table: str
    sandbox_table: str
    bus_name: str
    currency: str
    payment_provider: str
    unfinished_shards: int


@cache
def load() -> Settings:
    """The settings of this process.

    Raises
    ------
    MissingSetting
        If a variable is missing or not a number where one is needed.
    """
    return Settings(
        orders_table=text("ORDERS_TABLE"),
        products_table=text("PRODUCTS_TABLE"),
        customers_table=text("CUSTOMERS_TABLE"),
        shipments_table=text("SHIPMENTS_TABLE"),
        sandbox_table=text("SANDBOX_TABLE"),
        bus_name=text("BUS_NAME"),
        currency=text("CURRENCY"),
        payment_provider=text("PAYMENT_PROVIDER"),
        unfinished_shards=int(number("UNFINISHED_SHARDS")),
    )


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
