"""The `handoff` command."""

import sys

import click
from rich.console import Console
from rich.markup import escape

from ops import rebuild as rebuilds
from ops import replay as replays
from ops import tokens
from ops.cli.catalog import catalog
from ops.cli.cleanup import cleanup
from ops.cli.compare import compare
from ops.cli.console import console as console_command
from ops.cli.customers import customers
from ops.cli.dlq import dlq
from ops.cli.errors import Commands, errors_as_messages
from ops.cli.interrupts import InterruptibleCommands, report_remaining_work
from ops.cli.lag import lag
from ops.cli.load import load
from ops.cli.options import Target, target_options
from ops.cli.order import order
from ops.cli.orders import orders
from ops.cli.preflight import preflight
from ops.cli.smoke import smoke
from ops.cli.verify import verify

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


@click.group(cls=InterruptibleCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="handoff", prog_name="handoff")
def main() -> None:
    """Operate a deployed Handoff, on AWS or on the local stack.

    For completion in bash, add this line to ~/.bashrc (for zsh and fish, write zsh_source and fish_source):

        eval "$(_HANDOFF_COMPLETE=bash_source handoff)"
    """


for command in (
    catalog,
    cleanup,
    compare,
    console_command,
    customers,
    dlq,
    lag,
    load,
    order,
    orders,
    preflight,
    smoke,
    verify,
):
    main.add_command(command)


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
        name = replays.new_name()
        with report_remaining_work(lambda: f"If it was started, it is still running. {replays.how_to_cancel(name)}"):
            replays.run(deployment.events, name, wanted, route, _show)


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
            with report_remaining_work(lambda: "Run the command again to remove the rest."):
                rebuilds.prune(deployment.dynamodb, deployment.resource("SalesTable"), _show)
            return
        with report_remaining_work(lambda: rebuilds.UNCHANGED):
            done = rebuilds.of(deployment).run(_show)
            console.print(f"Generation {done.generation} is now in use: {done.events} events of {done.orders} orders.")


@main.command()
@click.option(
    "--scope",
    type=click.Choice(tuple(tokens.ACCESS)),
    default=tokens.REPORTS.scope,
    show_default=True,
    help="Scope of the token.",
)
@target_options
def token(scope: str, target: Target) -> None:
    """Print an access token for a program.

    It is valid for one hour, and for one scope: reading reports, looking orders up, cancelling orders, refunds or
    packing.
    """
    with errors_as_messages(tokens.TokenError):
        access = tokens.ACCESS[scope]
        print(tokens.token_for(target.deployment(), access))  # noqa: T201  # unwrapped, so that it can be pasted


def _show(text: str) -> None:
    console.print(escape(text))
