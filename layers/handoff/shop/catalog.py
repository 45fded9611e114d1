"""The catalog: a copy of the products in memory."""

from typing import TYPE_CHECKING

from handoff import aws
from handoff.clock import Stopwatch
from handoff.unfinished import parse_or_log
from shop.model import Product

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

MAX_AGE = 60.0  # seconds that a copy may be used
_MIN_AGE = 5.0  # seconds before an unknown product causes another read


class Catalog:
    """A copy of the products, at most a minute old. Reserving checks price and listing again."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table
        self._products: dict[str, Product] = {}
        self._age = Stopwatch()

    def product(self, sku: str) -> Product | None:
        """Return a listed product, or None. An unknown product may be new, so the table is read for it."""
        products = self._fresh(MAX_AGE)
        if sku not in products:
            products = self._fresh(_MIN_AGE)
        found = products.get(sku)
        return found if found and found.listed else None

    def listed(self) -> list[Product]:
        """Return all listed products, by sku."""
        products = self._fresh(MAX_AGE)
        return [products[sku] for sku in sorted(products) if products[sku].listed]

    def usable_for(self) -> int:
        """Return for how many more seconds this copy may be used."""
        return int(max(0.0, MAX_AGE - self._age.seconds()))

    def refresh(self) -> None:
        """Read the table.

        Rows that fail validation are logged and skipped, so one bad row cannot take the catalog down.
        """
        pages = self._client.get_paginator("scan").paginate(TableName=self._table)
        items = [aws.from_item(item) for page in pages for item in page["Items"]]
        self._products = {item["sku"]: found for item in items if (found := parse_or_log(Product, item, "sku"))}
        self._age.restart()

    def _fresh(self, max_age: float) -> dict[str, Product]:
        if self._age.seconds() > max_age:
            self.refresh()
        return self._products
