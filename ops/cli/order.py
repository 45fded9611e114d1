"""The command `handoff order`."""

import json
from typing import IO

import click

from handoff.clock import now_ms
from ops.cli.errors import errors_as_messages
from ops.cli.options import StackCommand, Target, target_options


@click.command(cls=StackCommand)
@click.argument("order_id", metavar="ID")
@click.option("--all", "whole", is_flag=True, help="Search all logs up to now, to include late replays and repeats.")
@click.option("--waterfall", "as_waterfall", is_flag=True, help="Show work and waits as bars, below their cause.")
@click.option(
    "--otlp", "spans_file", type=click.File("w", lazy=True), metavar="FILE", help="Write the spans as OTLP/JSON."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@target_options
def order(
    order_id: str, *, whole: bool, as_waterfall: bool, spans_file: IO[str] | None, as_json: bool, target: Target
) -> None:
    """Show the timeline of order ID.

    It has each step, failures and retries, and pending work. The customer's address and the payment token are not read.
    Consumers of stacks that import the bus are included, as STACK/NAME. Logs are searched up to an hour after the
    order's last step, and up to now for consumers that had not finished by then.
    """
    from ops.trace import otlp, report  # noqa: PLC0415  # costs other commands half a second
    from ops.trace.timeline import NoSuchOrder, build_timeline  # noqa: PLC0415

    deployment = target.deployment()
    with errors_as_messages(NoSuchOrder):
        timeline = build_timeline(deployment, order_id, whole=whole)
    if spans_file:
        spans = otlp.document(timeline, deployment.stack, otlp.destinations(deployment), now_ms())
        spans_file.write(json.dumps(spans, indent=2))
    if as_json:
        click.echo(json.dumps(report.document(timeline), indent=2))
    else:
        click.echo("\n".join(report.text(timeline, as_waterfall=as_waterfall)))
