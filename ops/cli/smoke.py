"""The command `handoff smoke`."""

import sys

import click
from rich.console import Console
from rich.markup import escape

from ops.cli.interrupts import report_remaining_work
from ops.cli.options import StackCommand, Target, target_options

console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
_MARKS = {True: "[green]ok[/]     ", False: "[red]failed[/] ", None: "[yellow]--[/]     "}
_WARNING = "[yellow]warning[/]"


@click.command(cls=StackCommand)
@click.option(
    "--token", default="", envvar="HANDOFF_TOKEN", help="A customer's token, for stacks whose pool cannot issue one."
)
@click.option("--within", default=120.0, show_default=True, help="Seconds that the consumers may take.")
@click.option("--packed", is_flag=True, help="Wait until an order is packed, also if PackAfter is over a minute.")
@target_options
def smoke(*, token: str, within: float, packed: bool, target: Target) -> None:
    """Check a deployed stack with an order.

    It checks public and protected routes, one order that is cancelled, one order from its placement to all consumers,
    and the sweeper. Orders are placed only if the payment provider is the sandbox, by a user of the stack's own pool or
    by the user of --token. They remain, the second with its shipment and the sale of one SMOKE-TEST. The second order
    is left out if a warehouse packs (Packing=manual), and without --packed if PackAfter is over a minute. The exit
    status is 1 if a check fails. A warning is not a failure.
    """
    from ops import smoke as smoke_test  # noqa: PLC0415  # costs other commands half a second

    deployment = target.deployment()
    failed = 0
    with report_remaining_work(lambda: "The other checks were not made. Orders that were placed remain."):
        for check in smoke_test.run(deployment, token=token, within=within, packed=packed):
            failed += check.passed is False
            where = f" -> look at {check.look_at}" if check.look_at else ""
            mark = _WARNING if check.warns else _MARKS[check.passed]
            console.print(f"{mark}  {escape(check.what)}: {escape(check.seen + where)}", soft_wrap=True)
    sys.exit(1 if failed else 0)
