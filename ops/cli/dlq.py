"""The commands `handoff dlq ...`: dead letters."""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

import click

from handoff.clock import now_ms
from ops.cli.errors import Commands, errors_as_messages
from ops.cli.interrupts import report_remaining_work
from ops.cli.options import Age, Target, target_options
from ops.dlq import redrive as redriving
from ops.dlq import report
from ops.dlq.directory import Directory, Filter, NoSuchConsumer, directory, find
from ops.stack.deployment import Deployment

_PROGRESS_EVERY = 100  # dead letters


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    """Add the arguments and options that choose dead letters."""
    for option in (
        target_options,
        click.option("--newer-than", type=Age(), help="Only events that happened less than this ago, such as 30m."),
        click.option("--older-than", type=Age(), help="Only events that happened longer ago than this, such as 1h."),
        click.option("--event", default="", help="Only the event with this id."),
        click.option("--order", default="", help="Only events of the order with this id."),
        click.option("--reason", default="", help="Only dead letters with this text in the reason; case is ignored."),
        click.argument("consumers", nargs=-1, metavar="[CONSUMER...]"),
    ):
        command = option(command)
    return command


@click.group(cls=Commands)
def dlq() -> None:
    """Find, show and redrive dead letters.

    A dead letter is an event that a consumer failed to handle, or that could not be delivered to it.
    """


@dlq.command(name="list")
@_filters
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def list_(*, as_json: bool, target: Target, **chosen: Any) -> None:
    """List dead letters.

    They are those of all consumers, or of the CONSUMERs named: a line for each event, then a count for each reason.
    Consumers of stacks that import the bus are named STACK/NAME.
    """
    with errors_as_messages(NoSuchConsumer):
        rows = _rows(*_prepare(target, **chosen))
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
@target_options
def show(consumer: str, event_id: str, target: Target) -> None:
    """Show a dead letter in full.

    The output has its original body, and a query for its log lines.
    """
    with errors_as_messages(NoSuchConsumer):
        deployment, known, chosen = _prepare(target, consumers=(consumer,), event=event_id)
        rows = _rows(deployment, known, chosen)
        if not rows:
            raise click.ClickException(f"{consumer} has no dead letter of {event_id}.")
        for row in rows:
            click.echo("\n".join(report.details(row, deployment)))


@dlq.command()
@_filters
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0.2),  # ten messages, one receive, then take less time than their visibility timeout
    default=redriving.DEFAULT_RATE,
    show_default=True,
    help="Dead letters a second, at most.",
)
def redrive(*, dry_run: bool, yes: bool, rate: float, target: Target, **chosen: Any) -> None:
    """Send dead letters back to their queues.

    Without CONSUMERs and filters, all dead letters are sent. The command shows what it would do and asks for
    confirmation. If it is interrupted, run it again. Redriving an event twice is harmless: every consumer recognizes
    events that it has handled. Events that fail again during the redrive stay in the dead-letter queue.
    """
    with errors_as_messages(NoSuchConsumer):
        deployment, known, chosen_filter = _prepare(target, **chosen)
        if dry_run or not yes:
            held_elsewhere = Counter[str]()
            found = find(deployment.sqs, known, chosen_filter, _warn, held_elsewhere=held_elsewhere)
            with closing(found) as matches:
                planned = redriving.plan(matches, known)
            if planned.is_empty:
                _fail_if_held(held_elsewhere)
            click.echo("\n".join(report.outcome(planned, would=True)))
            if dry_run or not planned.sent:
                return
            click.confirm("Redrive them?", abort=True)
    _redrive(deployment, known, chosen_filter, rate)


def _redrive(deployment: Deployment, known: Directory, chosen: Filter, rate: float) -> None:
    """Redrive, and report the progress."""
    done, held_elsewhere = redriving.Outcome(), Counter[str]()
    with (
        report_remaining_work(
            lambda: f"{done.sent.total()} redriven, the others are unchanged. Run the command again to continue."
        ),
        closing(find(deployment.sqs, known, chosen, _warn, held_elsewhere=held_elsewhere)) as matches,
    ):
        for count, _ in enumerate(redriving.run(deployment.sqs, matches, known, done, rate), 1):
            if count % _PROGRESS_EVERY == 0:
                click.echo(f"{count} so far")
    if done.is_empty:
        _fail_if_held(held_elsewhere)
    click.echo("\n".join(report.outcome(done, would=False)))
    if done.refused or done.undeleted:
        raise click.exceptions.Exit(1)


def _prepare(
    target: Target,
    *,
    consumers: tuple[str, ...],
    reason: str = "",
    order: str = "",
    event: str = "",
    older_than: int | None = None,
    newer_than: int | None = None,
) -> tuple[Deployment, Directory, Filter]:
    deployment = target.deployment()
    known = directory(deployment)
    known.check(consumers)
    now = now_ms()
    chosen = Filter(
        consumers=consumers,
        reason=reason,
        order=order,
        event=event,
        before=None if older_than is None else now - older_than,
        after=None if newer_than is None else now - newer_than,
    )
    return deployment, known, chosen


def _rows(deployment: Deployment, known: Directory, chosen: Filter) -> list[report.Row]:
    """Return a row for each event. End with an error if another receiver holds all dead letters."""
    held_elsewhere = Counter[str]()
    with closing(find(deployment.sqs, known, chosen, _warn, held_elsewhere=held_elsewhere)) as matches:
        rows = report.rows(matches)
    if not rows:
        _fail_if_held(held_elsewhere)
    return rows


def _fail_if_held(held_elsewhere: Counter[str]) -> None:
    """No dead letter was visible: end the command with an error if another receiver holds some."""
    if held_elsewhere:
        raise click.ClickException(report.none_visible(held_elsewhere.total()))


def _warn(text: str) -> None:
    click.echo(text, err=True)
