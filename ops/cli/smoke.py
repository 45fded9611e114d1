"""The command `handoff smoke`."""

import sys

import click
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.markup import escape

from ops.cli import options as target

console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
_MARKS = {True: "[green]ok[/]     ", False: "[red]failed[/] ", None: "[yellow]--[/]     "}
_WARNING = "[yellow]warning[/]"


@click.command()
@click.option("--token", default="", envvar="HANDOFF_TOKEN", help="A customer's token, where it can get none.")
@click.option("--within", default=120.0, show_default=True, help="Seconds that the consumers have.")
@target.stack_option
@target.local_option
def smoke(*, token: str, within: float, stack: str, local: bool) -> None:
    """Check a deployed stack: what is open, what is closed, and one order all its way.

    An order is placed where payments are the sandbox's, by a user of the stack's own pool or by the one of --token. It
    stays, with its shipment and its sale of one SMOKE-TEST. Ends with status 1 if anything is not as it should be; a
    warning is for you to judge.
    """
    from ops import smoke as smoke_test  # noqa: PLC0415  # costs other commands half a second

    deployment = target.deployment(stack, local=local)
    failed = 0
    try:
        for check in smoke_test.run(deployment, token=token, within=within):
            failed += check.passed is False
            where = f" -> look at {check.look_at}" if check.look_at else ""
            mark = _WARNING if check.warns else _MARKS[check.passed]
            console.print(f"{mark}  {escape(check.what)}: {escape(check.seen + where)}", soft_wrap=True)
    except (BotoCoreError, ClientError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(1 if failed else 0)
