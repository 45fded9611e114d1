"""What template.yaml tells the shop's functions through their environment, read once and checked."""

from dataclasses import dataclass
from functools import cache

from handoff.settings import MissingSetting, number, text

__all__ = ["MissingSetting", "Settings", "load", "number", "text"]


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
