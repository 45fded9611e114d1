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
from ops.cli.console import console as console_command
from ops.cli.dlq import dlq
from ops.cli.errors import Commands, errors_as_messages
from ops.cli.lag import lag
from ops.cli.options import Target, target_options
from ops.cli.order import order
from ops.cli.smoke import smoke

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="handoff", prog_name="handoff")
def main() -> None:
    """Operate a deployed Handoff, on AWS or on the local stack.

    For completion in bash, add this line to ~/.bashrc (for zsh and fish, write zsh_source and fish_source):

        eval "$(_HANDOFF_COMPLETE=bash_source handoff)"
    """


for command in (console_command, dlq, lag, order, smoke):
    main.add_command(command)


@main.group(cls=Commands)
def catalog() -> None:
    """Load products."""


@catalog.command()
@click.argument("file", type=click.Path(path_type=Path))
@target_options
def load(file: Path, target: Target) -> None:
    """Add and change the products in FILE.

    Products are added, renamed, repriced, listed and delisted; deliveries are added to the stock. FILE is a JSON list
    like events/catalog.json. Only a delivery changes the stock of an existing product; a delivery id counts once:

        {"sku": ..., "delivery": {"id": "2026-11-23-a", "units": 20}}
    """
    deployment = target.deployment()
    with errors_as_messages(catalogs.BadCatalog):
        entries = catalogs.read(file)
    products, markers = deployment.resource("ProductsTable"), deployment.resource("IdempotencyTable")
    loaded = catalogs.load(deployment.dynamodb, products, entries)
    counted = catalogs.count_deliveries(deployment.dynamodb, products, markers, entries)
    console.print(f"{loaded.added} products added, {loaded.updated} updated, {counted} deliveries counted")


@main.command()
@click.option("--from", "start", required=True, help="Replay events published from then on, e.g. 2026-11-23T10:00:00Z.")
@click.option("--to", "end", required=True, help="Replay events published before then.")
@click.option("--rules", multiple=True, default=replays.DEFAULT, show_default=True, help="Names of the rules to use.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@target_options
def replay(*, start: str, end: str, rules: tuple[str, ...], yes: bool, target: Target) -> None:
    """Replay archived events to chosen rules.

    This fills gaps. Consumers recognize events that they have handled, so nothing is done twice.
    """
    with errors_as_messages(replays.ReplayError):
        wanted = replays.parse(start, end, rules)
        deployment = target.deployment()
        route = replays.route(deployment, wanted)
        for caution in wanted.cautions:
            console.print(f"[yellow]Warning:[/] {escape(caution)}")
        if not yes:
            click.confirm(f"Replay {start} to {end} of {target.stack} to {', '.join(wanted.rules)}?", abort=True)
        replays.run(deployment.events, wanted, route, _show)


@main.group(cls=Commands)
def rebuild() -> None:
    """Rebuild data derived from the orders."""


@rebuild.command(name="sales")
@click.option("--prune", is_flag=True, help="Only remove the counters that earlier rebuilds have replaced.")
@target_options
def rebuild_sales(prune: bool, target: Target) -> None:
    """Count the sales of all orders again.

    The shop keeps running; at the end, the new counters replace the old ones. If the command is interrupted, run it
    again: it resumes.
    """
    deployment = target.deployment()
    with errors_as_messages(rebuilds.RebuildError):
        if prune:
            rebuilds.prune(deployment.dynamodb, deployment.resource("SalesTable"), _show)
        else:
            done = rebuilds.of(deployment).run(_show)
            console.print(f"Generation {done.generation} is now in use: {done.events} events of {done.orders} orders.")


@main.command()
@target_options
def token(target: Target) -> None:
    """Print an access token for reports.

    It is valid for one hour.
    """
    with errors_as_messages(tokens.TokenError):
        print(tokens.for_reports(target.deployment()))  # noqa: T201  # unwrapped, so that it can be pasted


def _show(text: str) -> None:
    console.print(escape(text))
