"""The command `handoff compare`."""

import json
from dataclasses import asdict

import click

from handoff.clock import now_ms
from ops import compare as comparing
from ops.cli.errors import Failed, errors_with_status_2
from ops.cli.options import Age, StackCommand, Target, local_option


@click.command(cls=StackCommand)
@click.argument("stack")
@click.option("--table", default="ShadowTable", show_default=True, help="Logical id of the table of shadow records.")
@click.option(
    "--settled",
    type=Age(),
    default="5m",
    show_default=True,
    help="Age from which a record without its counterpart is a difference. The consumer can be that far behind.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@local_option("Use the local stack on PORT instead of AWS.")
def compare(*, stack: str, table: str, settled: int, as_json: bool, local: int | None) -> None:
    """Compare what a consumer in shadow mode composed with what the request did.

    STACK is a stack with a table of shadow records, such as examples/first-workflow. The command prints each order
    whose mail is missing, surplus, doubled or different. The exit status is 1 if there is a difference, and 2 if
    nothing could be compared.
    """
    with errors_with_status_2():
        deployment = Target(stack, local).connection()
        if not deployment.has(table):
            hint = "Deploy a step with a consumer in shadow mode, or name its table with --table."
            raise click.ClickException(f"The stack {stack!r} has no {table}. {hint}")
        found = comparing.compare(deployment.scan(table), now_ms() - settled)
    click.echo(json.dumps(asdict(found), indent=2) if as_json else "\n".join(found.lines()))
    if found.differences:
        raise click.exceptions.Exit(1)
    if not found.compared:
        raise Failed("Nothing was compared. Run the consumer in shadow mode, and place orders.")
