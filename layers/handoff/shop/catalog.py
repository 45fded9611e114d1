"""The catalog: products as this process has read them, for the prices of orders and for the pages of the list."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from handoff import aws
from handoff.attribute_values import from_item, to_item
from handoff.clock import Deadline, Stopwatch
from handoff.unfinished import parse_or_log
from shop import stock
from shop.model import Product

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

MAX_AGE = 60.0  # seconds that a page may be used
MAX_PRODUCTS = 1_000  # of a page: with the longest names it still fits Lambda's response of 6 MB
_MIN_AGE = 5.0  # seconds before a product that is not on sale, or has another price than expected, is read again
# Pages and products that are kept. A product takes about a kilobyte.
_KEPT_PAGES = 40
_KEPT_PRODUCTS = 40_000

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class CatalogPage:
    """Products on sale, by sku. ``next_after`` is the key that the next page follows, None on the last page."""

    products: tuple[Product, ...]
    next_after: str | None
    age: Stopwatch

    def usable_for(self) -> int:
        """Return for how many more seconds this page may be used."""
        return int(max(0.0, MAX_AGE - self.age.seconds()))


@dataclass(frozen=True, slots=True)
class _Copy:
    """A product as it was read; None if it is missing or not readable."""

    product: Product | None
    age: Stopwatch


class Catalog:
    """Reads products, and keeps copies of them.

    An order is priced from the copies of its own products, however old: reserving them requires that name, price and
    listing are still the same, and returns the products that have changed (`learn`). So no order waits for a read of
    the whole table.
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table
        self._copies: dict[str, _Copy] = {}
        self._pages: dict[tuple[int, str | None], CatalogPage] = {}

    def on_sale(self, skus: Collection[str], deadline: Deadline) -> dict[str, Product | None]:
        """Return the products with these skus, None for one that is not on sale.

        One that is not known may be new, and one that is delisted may be listed again, so both are read again.
        """
        if not all(self._listed(sku) for sku in skus):
            self.refresh(skus, deadline)
        return {sku: self._listed(sku) for sku in skus}

    def refresh(self, skus: Iterable[str], deadline: Deadline) -> bool:
        """Read these products again, unless that was done some seconds ago; return whether any was read."""
        old = [sku for sku in skus if sku not in self._copies or self._copies[sku].age.seconds() > _MIN_AGE]
        items = aws.batch_get(self._client, self._table, "sku", old, deadline) if old else {}
        self.learn({sku: _product(items.get(sku)) for sku in old})
        return bool(old)

    def learn(self, products: Mapping[str, Product | None]) -> None:
        """Keep products that were just read; None for one that is missing or not readable."""
        age = _started()
        for sku, product in products.items():
            _keep(self._copies, sku, _Copy(product, age), _KEPT_PRODUCTS)

    def shards_of(self, skus: Iterable[str]) -> dict[str, int]:
        """Return the number of stock shards of those of these products that have any."""
        products = [self._listed(sku) for sku in skus]
        return {product.sku: product.shards for product in products if product and product.shards}

    def page(self, limit: int, after: str | None, deadline: Deadline) -> CatalogPage:
        """Return a page of the products on sale, at most a minute old.

        Pages follow the order of the table, which is that of a hash; within a page, products are sorted. A page can
        have fewer products than ``limit``, or none, and not be the last: the deadline ends the search among delisted
        products.
        """
        known = self._pages.get((limit, after))
        if known is None or known.age.seconds() > MAX_AGE:
            known = self._read_page(limit, after, deadline)
            _keep(self._pages, (limit, after), known, _KEPT_PAGES)
        return known

    def _read_page(self, limit: int, after: str | None, deadline: Deadline) -> CatalogPage:
        age, listed = _started(), list[Product]()
        while True:
            rows, last = self._scan(limit, after)
            self.learn({row["sku"]: _product(row) for row in rows if not stock.is_shard(row["sku"])})
            for row in rows:
                if product := self._listed(row["sku"]):
                    listed.append(product)
                if len(listed) == limit and (last or row is not rows[-1]):
                    return self._page(listed, row["sku"], age, deadline)
            if last is None or deadline.remaining() < aws.LONGEST_CALL:
                return self._page(listed, last, age, deadline)
            after = last

    def _page(self, products: list[Product], next_after: str | None, age: Stopwatch, deadline: Deadline) -> CatalogPage:
        """Return a page; of products whose own item is empty, also the units in their shards are read."""
        empty = [product.sku for product in products if product.shards and product.available <= 0]
        found = stock.read(self._client, self._table, empty, deadline)
        whole = [found[product.sku].whole if product.sku in found else product for product in products]
        return CatalogPage(tuple(sorted(whole, key=lambda product: product.sku)), next_after, age)

    def _scan(self, limit: int, after: str | None) -> tuple[list[dict[str, Any]], str | None]:
        """Return as many rows after a sku, and the last one's sku unless the table ends there.

        Rows are not filtered by DynamoDB: one that fails validation is logged.
        """
        start: Any = {"ExclusiveStartKey": to_item({"sku": after})} if after else {}
        response = self._client.scan(TableName=self._table, Limit=limit, **start)
        last = from_item(response.get("LastEvaluatedKey", {}))
        return [from_item(item) for item in response["Items"]], last.get("sku")

    def _listed(self, sku: str) -> Product | None:
        copy = self._copies.get(sku)
        return copy.product if copy and copy.product and copy.product.listed else None


def _product(item: Mapping[str, Any] | None) -> Product | None:
    """Return the product of a row.

    A row that fails validation is logged and skipped, so that one bad row cannot take the catalog down.
    """
    return parse_or_log(Product, item, "sku") if item else None


def _started() -> Stopwatch:
    age = Stopwatch()
    age.restart()
    return age


def _keep(kept: dict[_K, _V], key: _K, value: _V, most: int) -> None:
    """Keep a value, in place of the one that was read longest ago if there are too many."""
    kept.pop(key, None)
    if len(kept) >= most:
        del kept[next(iter(kept))]
    kept[key] = value
