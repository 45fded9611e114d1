"""The stock of a product: one number in its item, or split into shards.

DynamoDB cancels a transaction that meets another one on the same item, so one item limits how many orders a second a
product can have. A product with shards has several items more, ``SKU#1`` to ``SKU#n``, each with a part of the units.
An order takes its units from one of them. Deliveries and the units of ended orders go to the product's own item,
number 0, and an order that finds its shard empty refills it from there.

Each shard repeats the name, the price and the listing, so that an order needs no other item to check them.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict

from handoff import aws
from handoff.clock import Deadline
from handoff.model import Model
from handoff.unfinished import parse_or_log
from handoff.update import Attr, Update
from shop.model import MAX_SHARDS, SKU, Line, Product

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

KEY = SKU.removesuffix("$") + "(#[0-9]{1,2})?$"  # of an item of the products table
# Units that a refill moves at most: it costs two calls and one write more, and other orders of the shard wait for it.
_REFILL = 200
# Units that are worth a refill while other shards have some: all refills are writes to the product's own item.
_WORTH_A_REFILL = 10
_OTHER_ITEMS = 3  # of the transaction that takes the units: the order, the customer, the user's counts
_READS = 4  # of the same items, until two of them agree

# The units that an order takes from a product's items, by number. A negative number is a refill.
Pick = Mapping[int, int]


class Shard(Model):
    """A part of a product's stock. It is closed, without ``on_sale``, while `handoff` removes it.

    ``on_sale`` repeats ``listed`` under another name: earlier releases take no row without ``listed`` for a product.
    """

    model_config = ConfigDict(strict=True)

    sku: str
    name: str
    unit_price: int
    available: int
    on_sale: bool | None = None


@dataclass(frozen=True, slots=True)
class Stock:
    """A product and its shards, by number, as they were read."""

    product: Product
    shards: Mapping[int, Shard]

    @property
    def units(self) -> dict[int, int]:
        """The units that can be ordered now, by item: not from a shard that is closed or has other terms."""
        terms = (self.product.name, self.product.unit_price, self.product.listed)
        usable = {
            number: shard.available
            for number, shard in self.shards.items()
            if (shard.name, shard.unit_price, shard.on_sale) == terms
        }
        return {0: self.product.available, **usable}

    @property
    def total(self) -> int:
        """The units of all items."""
        return self.product.available + sum(shard.available for shard in self.shards.values())

    @property
    def whole(self) -> Product:
        """The product with the units of all its items."""
        return self.product.model_copy(update={"available": self.total})

    def pick(self, quantity: int, chosen: int, most_items: int) -> Pick | None:
        """Return how to take a quantity, preferably from the chosen shard; None if that is not possible now."""
        units, refill = self.units, 0
        if units.get(chosen, 0) >= quantity:
            return {chosen: quantity}
        if chosen in units and most_items > 1:
            refill = min(_REFILL, (units[0] - quantity) // (2 * len(units)))
        enough = [number for number, count in units.items() if count >= quantity]
        if refill >= (_WORTH_A_REFILL if len(enough) > 1 else 1):
            return {0: quantity + refill, chosen: -refill}
        return {random.choice(enough): quantity} if enough else _gather(units, quantity, most_items)


def _gather(units: Mapping[int, int], quantity: int, most_items: int) -> Pick | None:
    """Return how to take a quantity from several items, the largest first."""
    picked: dict[int, int] = {}
    for number in sorted(units, key=lambda number: -units[number])[:most_items]:
        taken = min(quantity - sum(picked.values()), units[number])
        if taken > 0:
            picked[number] = taken
    return picked if sum(picked.values()) == quantity else None


def item_sku(sku: str, number: int) -> str:
    """Return the key of an item of a product; no sku contains the character before the number."""
    return f"{sku}#{number}" if number else sku


def is_shard(key: str) -> bool:
    """Return whether an item of the products table is a shard."""
    return "#" in key


def product_of(key: str) -> str:
    """Return the sku of the product that an item belongs to."""
    return key.partition("#")[0]


def first_pick(line: Line, shards: int | None) -> Pick:
    """Return from which item an order takes a line at its first try."""
    return {random.randint(1, shards) if shards else 0: line.quantity}


def takes(table: str, line: Line, shards: int | None, pick: Pick) -> "list[TransactWriteItemTypeDef]":
    """Return the writes that take a line, on the condition that its product is as the line says."""
    return [_take(table, line, shards, number, units) for number, units in pick.items()]


def _take(table: str, line: Line, shards: int | None, number: int, units: int) -> "TransactWriteItemTypeDef":
    update = Update(table, {"sku": item_sku(line.sku, number)}).increase("available", -units)
    update.when(Attr("name").eq(line.name), Attr("unitPrice").eq(line.unit_price))
    if number:
        update.when(Attr("onSale").eq(True))
    else:
        # An order that knows another number of shards could take everything from here.
        spread = Attr("shards").eq(shards) if shards else Attr("shards").not_exists()
        update.when(Attr("listed").eq(True), spread)
    # Of several orders that find a shard empty, one refills it.
    enough = Attr("available").gte(units) if units > 0 else Attr("available").lt(line.quantity)
    return update.when(enough).write()


def most_items(lines: int) -> int:
    """Return from how many items an order of so many lines may take each: a transaction holds 100 items."""
    return 1 + (aws.ITEMS_PER_WRITE - _OTHER_ITEMS - lines) // lines


def restocks(table: str, sku: str, quantity: int) -> "TransactWriteItemTypeDef":
    """Return the write that puts units back: into the product's own item, which always exists."""
    return Update(table, {"sku": sku}).increase("available", quantity).write()


def read(client: "DynamoDBClient", table: str, skus: Iterable[str], deadline: Deadline) -> dict[str, Stock]:
    """Return the stock of products, without those that are missing or not readable."""
    keys = [item_sku(sku, number) for sku in skus for number in range(MAX_SHARDS + 1)]
    items = aws.batch_get(client, table, "sku", keys, deadline)
    found = {sku: stock_of(sku, items) for sku in skus}
    return {sku: stock for sku, stock in found.items() if stock}


def read_for(client: "DynamoDBClient", table: str, lines: Sequence[Line], deadline: Deadline) -> dict[str, Stock]:
    """Return the stock of the lines' products, and be sure of a shortage.

    The items are not read at one moment: units that another order moves between two of them can be missing from both.
    If a product seems to be short, its items are read until nothing has changed between two reads.
    """
    skus = [line.sku for line in lines]
    found = read(client, table, skus, deadline)
    for _ in range(_READS):
        if all(line.sku in found and found[line.sku].total >= line.quantity for line in lines):
            break
        before, found = found, read(client, table, skus, deadline)
        if found == before:
            break
    return found


def stock_of(sku: str, items: Mapping[str, Mapping[str, Any]]) -> Stock | None:
    """Return the stock of a product, given items of the table by key; None if the product is missing."""
    product = parse_or_log(Product, items[sku], "sku") if sku in items else None
    if product is None:
        return None
    keys = {number: item_sku(sku, number) for number in range(1, MAX_SHARDS + 1)}
    rows = {number: parse_or_log(Shard, items[key], "sku") for number, key in keys.items() if key in items}
    return Stock(product, {number: shard for number, shard in rows.items() if shard})
