"""`handoff dlq`: the commands for dead letters."""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

import click

from handoff import aws
from handoff.clock import now_ms
from ops import ages
from ops.cli import options as target
from ops.cli.errors import told_in_a_line
from ops.dlq import redrive as redriving
from ops.dlq import report
from ops.dlq.directory import Directory, NoSuchConsumer, Wanted, directory, find
from ops.stack.deployment import Deployment

_PROGRESS_EVERY = 100  # letters


class Age(click.ParamType[int]):
    """An age such as 30m, as milliseconds."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        try:
            return ages.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments and options that choose among the letters."""
    for option in (
        target.local_option,
        target.stack_option,
        click.option("--newer-than", type=Age(), help="Only of events that happened less than this ago, such as 30m."),
        click.option("--older-than", type=Age(), help="Only of events that happened longer ago than this, such as 1h."),
        click.option("--event", default="", help="Only of this event, by its id."),
        click.option("--order", default="", help="Only of this order, by its id."),
        click.option("--reason", default="", help="Only with this in the reason, in capitals or not."),
        click.argument("consumers", nargs=-1, metavar="[CONSUMER...]"),
    ):
        command = option(command)
    return command


@click.group()
def dlq() -> None:
    """Dead letters: events that a consumer could not deal with, or that could not be delivered to it."""


@dlq.command(name="list")
@_filters
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
def list_(*, as_json: bool, stack: str, local: bool, **chosen: Any) -> None:
    """List the dead letters of all consumers, or of those named: a line for each event, then the reasons by count."""
    with told_in_a_line(NoSuchConsumer):
        deployment, known, wanted = _prepare(stack, local=local, **chosen)
        elsewhere = Counter[str]()
        with closing(find(deployment.sqs, known, wanted, _mind, elsewhere=elsewhere)) as letters:
            rows = report.rows(letters)
    if not rows:
        _refuse_to_say_none(elsewhere)
    if as_json:
        click.echo(json.dumps([row.document() for row in rows], indent=2))
    elif rows:
        click.echo("\n".join([*report.table(rows), "", *report.summary(rows)]))
    else:
        names = ", ".join(chosen.pop("consumers"))
        click.echo(f"No dead letters{' of ' + names if names else ''}{' match' if any(chosen.values()) else ''}.")


@dlq.command()
@click.argument("consumer")
@click.argument("event_id")
@target.stack_option
@target.local_option
def show(consumer: str, event_id: str, stack: str, local: bool) -> None:
    """Show a dead letter whole, with its body as it is, and where to look on."""
    with told_in_a_line(NoSuchConsumer):
        deployment, known, wanted = _prepare(stack, local=local, consumers=(consumer,), event=event_id)
        elsewhere = Counter[str]()
        with closing(find(deployment.sqs, known, wanted, _mind, elsewhere=elsewhere)) as letters:
            rows = report.rows(letters)
        if not rows:
            _refuse_to_say_none(elsewhere)
            raise click.ClickException(f"{consumer} has no dead letter of {event_id}.")
        for row in rows:
            click.echo("\n".join(report.whole(row, deployment)))


@dlq.command()
@_filters
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0.2),  # ten letters, one receive, take less time than they stay out of sight
    default=10.0,  # 36,000 an hour, and slow enough for what happens now not to wait behind it
    show_default=True,
    help="At most so many a second.",
)
def redrive(*, dry_run: bool, yes: bool, rate: float, stack: str, local: bool, **chosen: Any) -> None:
    """Send dead letters back to their consumers' queues: all, or those chosen.

    It says what it would do and asks first. Interrupted, run it again. Doing it twice does no harm: every consumer
    knows what it has done. What dies again meanwhile is left where it is.
    """
    with told_in_a_line(NoSuchConsumer):
        deployment, known, wanted = _prepare(stack, local=local, **chosen)
        if dry_run or not yes:
            elsewhere = Counter[str]()
            with closing(find(deployment.sqs, known, wanted, _mind, elsewhere=elsewhere)) as letters:
                planned = redriving.plan(letters, known)
            if planned.is_empty:
                _refuse_to_say_none(elsewhere)
            click.echo("\n".join(report.outcome(planned, would=True)))
            if dry_run or not planned.sent:
                return
            click.confirm("Redrive them?", abort=True)
    _redrive(deployment, known, wanted, rate)


def _redrive(deployment: Deployment, known: Directory, wanted: Wanted, rate: float) -> None:
    """Do it, and say how far it came."""
    done, elsewhere = redriving.Outcome(), Counter[str]()
    try:
        with closing(find(deployment.sqs, known, wanted, _mind, elsewhere=elsewhere)) as letters:
            for _ in redriving.run(deployment.sqs, letters, known, done, rate):
                if done.sent.total() % _PROGRESS_EVERY == 0:
                    click.echo(f"{done.sent.total()} so far")
    except (KeyboardInterrupt, *aws.ERRORS) as error:
        why = "Interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        raise click.ClickException(
            f"{why}\n{done.sent.total()} redriven, the others are where they were. Run it again to go on."
        ) from error
    if done.is_empty:
        _refuse_to_say_none(elsewhere)
    click.echo("\n".join(report.outcome(done, would=False)))


def _prepare(
    stack: str,
    *,
    local: bool,
    consumers: tuple[str, ...],
    reason: str = "",
    order: str = "",
    event: str = "",
    older_than: int | None = None,
    newer_than: int | None = None,
) -> tuple[Deployment, Directory, Wanted]:
    deployment = target.deployment(stack, local=local)
    known = directory(deployment)
    known.check(consumers)
    now = now_ms()
    wanted = Wanted(
        consumers=consumers,
        reason=reason,
        order=order,
        event=event,
        before=None if older_than is None else now - older_than,
        after=None if newer_than is None else now - newer_than,
    )
    return deployment, known, wanted


def _refuse_to_say_none(elsewhere: Counter[str]) -> None:
    """No letter was seen: end the command with an error if somebody else has some."""
    if elsewhere:
        raise click.ClickException(report.none_to_be_seen(elsewhere.total()))


def _mind(what: str) -> None:
    click.echo(what, err=True)
