"""The settings of the shop's functions: environment variables from template.yaml, read once and checked."""

from dataclasses import dataclass
from functools import cache

from handoff.settings import MissingSetting, count, number, seconds, text
from shop import countries

__all__ = ["MissingSetting", "Settings", "count", "country_codes", "load", "number", "seconds", "text"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of all functions that handle orders. A function reads its own with `text` and `number`."""

    orders_table: str
    products_table: str
    customers_table: str
    shipments_table: str
    sandbox_table: str
    limits_table: str
    bus_name: str
    currency: str
    payment_provider: str
    unfinished_shards: int
    order_list_shards: int
    orders_per_hour: int
    declines_per_hour: int
    rejected_days: int


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
        limits_table=text("LIMITS_TABLE"),
        bus_name=text("BUS_NAME"),
        currency=text("CURRENCY"),
        payment_provider=text("PAYMENT_PROVIDER"),
        unfinished_shards=int(number("UNFINISHED_SHARDS")),
        order_list_shards=int(number("ORDER_LIST_SHARDS")),
        orders_per_hour=count("ORDERS_PER_HOUR"),
        declines_per_hour=count("DECLINES_PER_HOUR"),
        rejected_days=int(number("REJECTED_DAYS")),
    )


def country_codes(name: str) -> frozenset[str]:
    """Return the countries in a variable, empty for all.

    Raises
    ------
    MissingSetting
        If it is not set, or one is not a country.
    """
    try:
        return countries.parsed(text(name))
    except ValueError as error:
        raise MissingSetting(f"{name}: {error}") from error
