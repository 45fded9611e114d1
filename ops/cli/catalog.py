"""The commands `handoff catalog ...`: products."""

from dataclasses import dataclass, field
from pathlib import Path

import click

from ops import catalog as catalogs
from ops.cli.errors import Commands, errors_as_messages
from ops.cli.interrupts import report_remaining_work
from ops.cli.options import Target, target_options
from ops.stock_shards import NoSuchProduct, set_shards
from shop.model import MAX_SHARDS

_PROGRESS_EVERY = 500  # products: five seconds, at 10 ms each


@click.group(cls=Commands)
def catalog() -> None:
    """Load products, and spread the stock of a hot product."""


@catalog.command()
@click.argument("file", type=click.Path(path_type=Path))
@target_options
def load(file: Path, target: Target) -> None:
    """Add and change the products in FILE.

    Products are added, renamed, repriced, listed and delisted; deliveries are added to the stock. FILE is a JSON list
    like events/catalog.json. Only a delivery changes the stock of an existing product; a delivery id counts once:

        {"sku": ..., "delivery": {"id": "2026-11-23-a", "units": 20}}

    If the command is interrupted, run it again: nothing is counted twice.
    """
    deployment = target.deployment()
    with errors_as_messages(catalogs.BadCatalog):
        entries = catalogs.read(file)
    products, markers = deployment.resource("ProductsTable"), deployment.resource("IdempotencyTable")
    deliveries = [entry for entry in entries if entry.delivery]
    done = _Done(len(entries), len(deliveries))
    with report_remaining_work(done.left):
        for entry in entries:
            done.count(catalogs.load(deployment.dynamodb, products, [entry]))
        for entry in deliveries:
            done.count_delivery(catalogs.count_deliveries(deployment.dynamodb, products, markers, [entry]))
    click.echo(f"{done.loaded.added} products added, {done.loaded.updated} updated, {done.counted} deliveries counted")


@catalog.command()
@click.argument("sku")
@click.argument("number", type=click.IntRange(1, MAX_SHARDS))
@target_options
def shards(sku: str, number: int, target: Target) -> None:
    """Give the product SKU a NUMBER of stock shards.

    A product with 1, as every product begins, can have about 50 orders a second; with more, as many times that.
    Orders go on meanwhile. If the command is interrupted, run it again.
    """
    deployment = target.deployment()
    with errors_as_messages(NoSuchProduct):
        stock = set_shards(deployment.dynamodb, deployment.resource("ProductsTable"), sku, number)
    click.echo(f"{sku} has {number} stock shards, and {stock.total} units are available")


@dataclass
class _Done:
    """How far a load is. Its progress goes to standard error."""

    products: int
    deliveries: int
    loaded: catalogs.Loaded = field(default_factory=catalogs.Loaded)
    tried: int = 0  # deliveries, with those that had been counted before
    counted: int = 0

    def count(self, loaded: catalogs.Loaded) -> None:
        """Count one more product."""
        self.loaded = self.loaded + loaded
        _show(self.loaded.total, self.products, "products loaded")

    def count_delivery(self, counted: int) -> None:
        """Count one more delivery, unless an earlier load has counted it."""
        self.tried += 1
        self.counted += counted
        _show(self.tried, self.deliveries, "deliveries counted")

    def left(self) -> str:
        """Return the work done, and how to do the rest."""
        return (
            f"{self.loaded.total} of {self.products} products loaded, {self.tried} of {self.deliveries} deliveries "
            "counted. Run the command again to load the others: no delivery is counted twice."
        )


def _show(done: int, total: int, what: str) -> None:
    if done % _PROGRESS_EVERY == 0 and done < total:
        click.echo(f"{done} of {total} {what}", err=True)
