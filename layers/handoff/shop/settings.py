"""The settings of the shop's functions: environment variables from template.yaml, read once and checked."""

from dataclasses import dataclass
from functools import cache

from handoff.settings import MissingSetting, number, text

__all__ = ["MissingSetting", "Settings", "load", "number", "text"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of all functions that handle orders. A function reads its own with `text` and `number`."""

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
    """Return the settings of this process.

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
