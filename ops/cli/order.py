"""The command `handoff order`."""

import json

import click

from ops.cli import options as target
from ops.cli.errors import errors_as_messages


@click.command()
@click.argument("order_id", metavar="ID")
@click.option("--all", "whole", is_flag=True, help="Search all logs up to now: late replays and repeats show as well.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@target.stack_option
@target.local_option
def order(order_id: str, *, whole: bool, as_json: bool, stack: str, local: bool) -> None:
    """Tell the story of the order ID: what happened when, who failed and tried again, and what is still open.

    Neither the customer's address nor the payment token is read. Logs are searched up to an hour after the order's
    last step, and up to now of those who have not finished by then.
    """
    from ops.trace import report as story_report  # noqa: PLC0415  # costs other commands half a second
    from ops.trace import timeline as story  # noqa: PLC0415

    with errors_as_messages(story.NoSuchOrder):
        told = story.tell(target.deployment(stack, local=local), order_id, whole=whole)
    click.echo(json.dumps(story_report.document(told), indent=2) if as_json else "\n".join(story_report.text(told)))
