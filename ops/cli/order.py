"""The command `handoff order`."""

import json

import click

from ops.cli.errors import errors_as_messages
from ops.cli.options import StackCommand, Target, target_options


@click.command(cls=StackCommand)
@click.argument("order_id", metavar="ID")
@click.option("--all", "whole", is_flag=True, help="Search all logs up to now, to include late replays and repeats.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@target_options
def order(order_id: str, *, whole: bool, as_json: bool, target: Target) -> None:
    """Show the timeline of order ID.

    It has each step, failures and retries, and pending work. The customer's address and the payment token are not read.
    Consumers of stacks that import the bus are included, as STACK/NAME. Logs are searched up to an hour after the
    order's last step, and up to now for consumers that had not finished by then.
    """
    from ops.trace import report  # noqa: PLC0415  # costs other commands half a second
    from ops.trace.timeline import NoSuchOrder, build_timeline  # noqa: PLC0415

    with errors_as_messages(NoSuchOrder):
        timeline = build_timeline(target.deployment(), order_id, whole=whole)
    click.echo(json.dumps(report.document(timeline), indent=2) if as_json else "\n".join(report.text(timeline)))
