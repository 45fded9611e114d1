"""The `handoff` command."""

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from ops import catalog as catalogs
from ops import rebuild as rebuilds
from ops import replay as replays
from ops import tokens
from ops.cli import console as cli_console
from ops.cli import dlq as cli_dead_letters
from ops.cli import lag as cli_lag
from ops.cli import order as cli_order
from ops.cli import smoke as cli_smoke
from ops.cli.errors import Commands
from ops.cli.options import deployment as _deployment
from ops.cli.options import local_option as _local_option
from ops.cli.options import stack_option as _stack_option

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Operate a deployed Handoff, on AWS or on the local stack."""


@main.group(name="catalog")
def catalog() -> None:
    """The products."""


@catalog.command()
@click.argument("file", type=click.Path(path_type=Path))
@_stack_option
@_local_option
def load(file: Path, stack: str, local: bool) -> None:
    """Load FILE: add products; rename, reprice, list and delist known ones; count deliveries in.

    FILE is a JSON list like events/catalog.json. A known product's stock changes by a delivery only:
    {"sku": ..., "delivery": {"id": "2026-11-23-a", "units": 20}}; the same id counts once.
    """
    deployment = _deployment(stack, local=local)
    try:
        entries = catalogs.read(file)
    except catalogs.BadCatalog as error:
        raise click.ClickException(str(error)) from error
    products, markers = deployment.resource("ProductsTable"), deployment.resource("IdempotencyTable")
    loaded = catalogs.load(deployment.dynamodb, products, entries)
    counted = catalogs.count_deliveries(deployment.dynamodb, products, markers, entries)
    console.print(f"{loaded.added} added, {loaded.updated} updated, {counted} deliveries counted in")


main.add_command(cli_console.console)
main.add_command(cli_dead_letters.dlq)
main.add_command(cli_smoke.smoke)
main.add_command(cli_lag.lag)
main.add_command(cli_order.order)


@main.command()
@click.option("--from", "start", required=True, help="Published from when on, such as 2026-11-23T10:00:00Z.")
@click.option("--to", "end", required=True, help="Published up to when.")
@click.option("--rules", multiple=True, default=replays.DEFAULT, show_default=True, help="To which rules, by name.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_stack_option
@_local_option
def replay(*, start: str, end: str, rules: tuple[str, ...], yes: bool, stack: str, local: bool) -> None:
    """Replay archived events to the named rules alone: it fills gaps, and does nothing twice."""
    try:
        wanted = replays.parse(start, end, rules)
        deployment = _deployment(stack, local=local)
        route = replays.route(deployment, wanted)
        for caution in wanted.cautions:
            console.print(f"[yellow]Mind:[/] {escape(caution)}")
        if not yes:
            click.confirm(f"Replay {start} to {end} of {stack} to {', '.join(wanted.rules)}?", abort=True)
        replays.run(deployment.events, wanted, route, _say)
    except replays.ReplayError as error:
        raise click.ClickException(str(error)) from error


@main.group(name="rebuild")
def rebuild() -> None:
    """What is derived from the orders, made anew."""


@rebuild.command(name="sales")
@click.option("--prune", is_flag=True, help="Only remove the counters that earlier rebuilds have replaced.")
@_stack_option
@_local_option
def rebuild_sales(prune: bool, stack: str, local: bool) -> None:
    """Count all orders anew, while the shop goes on, and switch over. Interrupted, run it again."""
    deployment = _deployment(stack, local=local)
    try:
        if prune:
            rebuilds.prune(deployment.dynamodb, deployment.resource("SalesTable"), _say)
        else:
            done = rebuilds.of(deployment).run(_say)
            console.print(f"Generation {done.generation} counts now: {done.events} events of {done.orders} orders.")
    except rebuilds.RebuildError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@_stack_option
@_local_option
def token(stack: str, local: bool) -> None:
    """Print a token that may read reports, good for an hour."""
    try:
        print(tokens.for_reports(_deployment(stack, local=local)))  # noqa: T201  # as it is: it will be pasted
    except tokens.TokenError as error:
        raise click.ClickException(str(error)) from error


def _say(what: str) -> None:
    console.print(escape(what))
