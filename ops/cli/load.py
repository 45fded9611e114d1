"""The command `handoff load`."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape

from ops.cli.errors import errors_as_messages
from ops.cli.interrupts import report_remaining_work
from ops.cli.options import StackCommand, Target, target_options

if TYPE_CHECKING:
    from ops.load.run import LoadTest

_MOST_USERS = 1_000
_MARKS = {True: "[green]ok[/]     ", False: "[red]failed[/] "}


class Users(click.ParamType[tuple[int, ...]]):
    """Numbers of users, such as 1,10,50."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Return the numbers."""
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if not all(part.isdecimal() and len(part) <= 4 and 1 <= int(part) <= _MOST_USERS for part in parts):
            self.fail(f"{value!r} is not numbers from 1 to {_MOST_USERS}, separated by commas: 1,10,50", param, ctx)
        return tuple(map(int, parts))


@click.command(cls=StackCommand)
@click.option(
    "--users", type=Users(), default="1,10,50", show_default=True, help="Numbers of users, one after the other."
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, 45, min_open=True),  # tokens are valid for an hour
    default=2.0,
    show_default=True,
    help="Minutes that each number of users orders for.",
)
@click.option(
    "--think",
    type=click.FloatRange(0.1),
    default=10.0,
    show_default=True,
    help="Mean seconds between an answer and the user's next order.",
)
@click.option(
    "--warm-up",
    type=click.FloatRange(0, 600),
    default=10.0,
    show_default=True,
    help="Seconds before each measurement, which are not in the figures.",
)
@click.option(
    "--within",
    type=click.FloatRange(1),
    default=300.0,
    show_default=True,
    help="Seconds that the consumers may take afterwards.",
)
@click.option("--payment-token", default="tok_approve", show_default=True, help="Payment method of all orders.")
@click.option(
    "--production", is_flag=True, help="Allow a stack with DataPolicy=Retain or real payments. Needs --confirm."
)
@click.option("--confirm", default="", metavar="STACK", help="The name of the stack for production, once more.")
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would be done, and what it costs.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures and checks as JSON; the progress on stderr.")
@target_options
def load(
    *,
    users: tuple[int, ...],
    minutes: float,
    think: float,
    warm_up: float,
    within: float,
    payment_token: str,
    production: bool,
    confirm: str,
    only_plan: bool,
    yes: bool,
    as_json: bool,
    target: Target,
) -> None:
    """Measure a deployed stack under load: answer times, availability, backlog and lag.

    It shows what it will do and cost, and asks. Then it creates customers and products of its own, and lets each number
    of users order, wait for the answer, think, and order again. Afterwards it cancels the orders, checks that stock,
    sales, payments and queues agree with them, and removes its customers. Ctrl-C ends the load, and the rest is done
    all the same. It refuses a stack for production unless --production and --confirm allow it. The exit status is 1 if
    a check fails.
    """
    from ops.load import plan, report  # noqa: PLC0415  # costs other commands half a second
    from ops.load.run import LoadTest  # noqa: PLC0415
    from ops.load.settings import Settings  # noqa: PLC0415
    from ops.load.stage import Stage  # noqa: PLC0415

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120, stderr=as_json)
    deployment = target.deployment()
    settings = Settings(users, minutes * 60, think, warm_up, within, payment_token)
    with errors_as_messages(plan.Refused):
        plan.check_stack(deployment, settings, production=production, confirmed=confirm)
    for line in (*plan.lines(deployment, settings), *(f"    {page}" for page in plan.pages())):
        console.print(escape(line), soft_wrap=True)
    if only_plan:
        return
    if not yes:
        click.confirm("Send the orders?", abort=True, err=as_json)
    test = LoadTest(Stage(deployment), settings, lambda text: console.print(f"[dim]{escape(text)}[/]", soft_wrap=True))
    with report_remaining_work(lambda: "\n".join(["The checks were not finished.", *test.stage.remains()])):
        test.run()
    client = report.client_of(deployment)
    if as_json:
        click.echo(json.dumps(report.document(test, client), indent=2))
    _show(test, client, console)
    if test.interrupt:
        raise test.interrupt
    sys.exit(0 if test.passed else 1)


def _show(test: "LoadTest", client: dict[str, Any], console: Console) -> None:
    from ops.load import report  # noqa: PLC0415

    if test.levels:
        console.print()
        console.print(report.table(test.levels, test.settings))
        for note in report.notes(test, client):
            console.print(escape(note), soft_wrap=True)
        console.print()
    for check in test.checks:
        where = f" -> look at {check.look_at}" if check.look_at and not check.passed else ""
        console.print(f"{_MARKS[bool(check.passed)]}  {escape(f'{check.what}: {check.seen}{where}')}", soft_wrap=True)
    verdict = {None: "No orders were sent.", True: "The stack is consistent.", False: "The stack is not consistent."}
    console.print(escape("\n".join([verdict[test.is_consistent], *test.stage.remains()])))
