"""`make first-workflow`: one step of the example, on the running local stack."""

import statistics
import sys
import uuid
from collections import Counter

import click

from dev.first_workflow.deployed import FirstWorkflow, NotAsExpected, Placed, mailed
from dev.local.stack import LocalStack, LocalStackError
from dev.options import local_port_option
from ops.cli.options import Target
from ops.stack.deployment import DEFAULT_STACK

_STEPS = (
    "the chain as it is",
    "the event is written together with the order",
    "the consumer runs in shadow mode",
    "the switch decides who sends the mail",
    "the switch is turned back",
    "the old code is removed",
)
_COMPARED = (2, 3, 4)


@click.command(name="first-workflow")
@click.option("--step", type=click.IntRange(0, 5), required=True, envvar="STEP", show_envvar=True, help="Step to run.")
@click.option(
    "--percent",
    type=click.IntRange(0, 100),
    envvar="PERCENT",
    show_envvar=True,
    help="For step 3: turn the switch to this value first.",
)
@click.option("--orders", type=click.IntRange(1), default=20, show_default=True, help="Number of orders to place.")
@local_port_option
def first_workflow(*, step: int, percent: int | None, orders: int, port: int) -> None:
    """Run a step of examples/first-workflow beside the running local stack.

    The command deploys the step's code, places orders, and shows the mails and how long the customers waited. In steps
    2 to 4 it compares both sides, and exits with status 1 if they differ. Start the local stack with `make run`.
    """
    if percent is not None and step != 3:
        raise click.UsageError("--percent is for step 3, whose code has the switch.")
    handoff = Target(DEFAULT_STACK, port).deployment()
    try:
        workflow = FirstWorkflow(LocalStack(port), handoff)
        click.echo(f"Step {step}: {_STEPS[step]}.")
        workflow.run_step(step)
        if percent is not None:
            workflow.turn(percent)
        placed = [workflow.place(str(uuid.uuid4())) for _ in range(orders)]
        workflow.wait_until_quiet()
        _show(placed, workflow.mails())
        if step in _COMPARED:
            _compare(workflow)
    except (LocalStackError, NotAsExpected) as error:
        raise click.ClickException(str(error)) from error


def _show(placed: list[Placed], mails: Counter[str]) -> None:
    milliseconds = round(statistics.median(order.seconds for order in placed) * 1000)
    by_event = sum(order.mail_by == "event" for order in placed)
    click.echo(f"{len(placed)} orders, half of them answered within {milliseconds} ms.")
    click.echo(f"{len(placed) - by_event} to be mailed by the request, {by_event} by the consumer.")
    click.echo(mailed([{"orderId": order.order_id} for order in placed], mails))


def _compare(workflow: FirstWorkflow) -> None:
    found = workflow.compare()
    for line in found.lines():
        click.echo(line)
    if found.differences:
        sys.exit(1)


@click.command()
@click.option(
    "--rounds", type=click.IntRange(1), default=4, show_default=True, help="How often the switch goes 0 to 100 to 0."
)
@click.option(
    "--orders", type=click.IntRange(1), default=60, show_default=True, help="Orders at each value of the switch."
)
@local_port_option
def throw(*, rounds: int, orders: int, port: int) -> None:
    """Throw the switch of examples/first-workflow under load, and kill processes.

    Starts a local stack. At each value of the switch (0, 10, 50, 100 and 0 per cent) a function's process
    is killed with SIGKILL. Exits with status 1 if an order has no mail, if there are more second mails than the killed
    processes explain, if the two sides differ, or if a planted difference is not found.
    """
    from dev.first_workflow.own_stack import throw_on_own_stack  # noqa: PLC0415  # costs other commands half a second

    try:
        problems = throw_on_own_stack(port, click.echo, rounds=rounds, orders=orders)
    except (LocalStackError, NotAsExpected) as error:
        raise click.ClickException(str(error)) from error
    if problems:
        sys.exit(1)
