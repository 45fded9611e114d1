"""Raise and lower the number of a product's stock shards while orders go on; see `shop.stock`."""

from contextlib import suppress
from typing import TYPE_CHECKING

from handoff import aws
from handoff.clock import Deadline
from handoff.errors import TransactionConflict
from handoff.update import Attr, Update, delete, put_new
from shop.model import Product
from shop.stock import Shard, Stock, item_sku, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_SECONDS = 60.0


class NoSuchProduct(Exception):
    """The table has no such product, or its row is not readable."""


def set_shards(client: "DynamoDBClient", table: str, sku: str, number: int) -> Stock:
    """Give a product this number of stock shards, 1 for none beside its own item; return its stock.

    Each write leaves the sum of the units as it is, and orders find the units at every moment. So the call can be
    repeated after a crash between any two of them, and two calls at once do no harm.

    Raises
    ------
    NoSuchProduct
        If there is no such product.
    TransactionConflict
        If orders kept writing the same items. Call it again.
    """
    deadline, wanted = Deadline(_SECONDS), number if number > 1 else 0
    while deadline.remaining() > aws.LONGEST_CALL:
        stock = read(client, table, [sku], deadline).get(sku)
        if stock is None:
            raise NoSuchProduct(f"There is no product {sku}. Add it first: handoff catalog load FILE")
        writes = list(_next_writes(table, stock, wanted))
        if not writes:
            return stock
        with suppress(aws.ConditionFailed, TransactionConflict):  # orders or another call were faster: read again
            for write in writes:
                aws.write(client, write, deadline)
    raise TransactionConflict(f"Orders kept writing the stock of {sku}. Run the command again.")


def _next_writes(table: str, stock: Stock, wanted: int) -> "Iterator[list[TransactWriteItemTypeDef]]":
    """Yield the next writes, each all or nothing; none if the product has the wanted shards."""
    surplus = [shard for n, shard in stock.shards.items() if n > wanted or shard.on_sale is None]
    missing = [n for n in range(1, wanted + 1) if n not in stock.shards]
    if surplus:
        for shard in surplus:
            yield _close(table, shard) if shard.on_sale is not None else _remove(table, stock.product, shard)
    elif missing or (stock.product.shards or 0) != wanted:
        yield _split(table, stock.product, missing, wanted)


def _close(table: str, shard: Shard) -> "list[TransactWriteItemTypeDef]":
    """Keep orders from changing a shard."""
    return [Update(table, {"sku": shard.sku}).remove("onSale").when(Attr("onSale").exists()).write()]


def _remove(table: str, product: Product, shard: Shard) -> "list[TransactWriteItemTypeDef]":
    """Move the units of a closed shard to the product's own item."""
    is_as_read = Attr("available").eq(shard.available) & Attr("onSale").not_exists()
    units = Update(table, {"sku": product.sku}).increase("available", shard.available)
    return [delete(table, {"sku": shard.sku}, is_as_read), units.write()]


def _split(table: str, product: Product, missing: list[int], wanted: int) -> "list[TransactWriteItemTypeDef]":
    """Add the missing shards, with equal parts of the units in the product's own item, and store the new number."""
    part = max(0, product.available) // (len(missing) + 1)
    moved = part * len(missing)
    update = Update(table, {"sku": product.sku}).increase("available", -moved)
    update = update.set("shards", wanted) if wanted else update.remove("shards")
    update.when(
        Attr("name").eq(product.name),
        Attr("unitPrice").eq(product.unit_price),
        Attr("listed").eq(product.listed),
        Attr("shards").eq(product.shards) if product.shards else Attr("shards").not_exists(),
        Attr("available").gte(moved),
    )
    shards = [
        Shard(
            sku=item_sku(product.sku, n),
            name=product.name,
            unit_price=product.unit_price,
            on_sale=product.listed,
            available=part,
        )
        for n in missing
    ]
    return [update.write(), *(put_new(table, shard.dump(), "sku") for shard in shards)]
