"""`handoff lag`: how far behind the consumers are."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from handoff import aws
from handoff.clock import now_ms, to_iso
from ops import ages
from ops.cli import options as target
from ops.cli.dlq import Age
from ops.lag import report as lag_report
from ops.lag.measure import elsewhere, measure
from ops.lag.report import Report
from ops.stack.cloudwatch import MetricsError
from ops.stack.deployment import Deployment

_ERRORS = (MetricsError, *aws.ERRORS)


@click.command()
@click.option("--minutes", type=click.IntRange(1, 180), default=5, show_default=True, help="Lag and rates of how long.")
@click.option(
    "--every",
    type=click.IntRange(1),
    show_default="30, and 5 on the local stack, where a look costs nothing",
    help="Look again after so many seconds.",
)
@click.option("--once", is_flag=True, help="Look once; the default without a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Look once, and print it as JSON.")
@click.option("--fail-over", type=Age(), help="Look once; end with status 1 if anybody is further behind, such as 60s.")
@target.stack_option
@target.local_option
def lag(
    *, minutes: int, every: int | None, once: bool, as_json: bool, fail_over: int | None, stack: str, local: bool
) -> None:
    """Show how far behind each consumer is: what waits and since when, how late effects come, and when it is drained.

    With --fail-over it ends with status 1 if a consumer's oldest message or its p99 lag is over that age, and names it;
    what keeps failing counts by its age, dead letters do not. What goes wrong ends it with status 2.
    """
    with _failing():
        deployment = target.deployment(stack, local=local)
        if sys.stdout.isatty() and not (once or as_json or fail_over is not None):
            _watch(deployment, minutes, every or (5 if local else 30))
        else:
            _look(deployment, minutes, as_json=as_json, fail_over=fail_over)


def _look(deployment: Deployment, minutes: int, *, as_json: bool, fail_over: int | None) -> None:
    lags, others = measure(deployment, minutes=minutes), elsewhere(deployment)
    if as_json:
        click.echo(json.dumps(lag_report.document(lags, others, minutes), indent=2))
    else:
        _console().print(Report(lags, others, minutes))
    if fail_over is not None:
        late = lag_report.over(lags, fail_over)
        click.echo("".join(f"{line}\n" for line in late), err=True, nl=False)
        if late:
            raise click.exceptions.Exit(1)
        if not_known := lag_report.unknown(lags):
            raise click.ClickException("\n".join(not_known))


def _watch(deployment: Deployment, minutes: int, every: int) -> None:
    """Look again and again, until Ctrl-C. The first look must succeed; what a later one can't get is said."""
    report, at = _report(deployment, minutes)
    with Live(Group(report, _footer(at)), console=_console(), auto_refresh=False) as live:
        try:
            while True:
                time.sleep(every)
                try:
                    report, at = _report(deployment, minutes)
                    trouble = ""
                except _ERRORS as error:
                    trouble = str(error)
                live.update(Group(report, _footer(at, trouble)), refresh=True)
        except KeyboardInterrupt:
            return


def _report(deployment: Deployment, minutes: int) -> tuple[Report, int]:
    at = now_ms()
    return Report(measure(deployment, minutes=minutes), elsewhere(deployment), minutes), at


def _footer(at: int, trouble: str = "") -> Text:
    text = Text(f"As of {to_iso(at)[:19]}Z. Ctrl-C ends it.")
    return text.append(f"\nNo news for {ages.show(now_ms() - at)}: {trouble}", "red") if trouble else text


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


class _Failed(click.ClickException):
    """Something went wrong, which is not to be mistaken for a lag."""

    exit_code = 2


@contextmanager
def _failing() -> Iterator[None]:
    """What goes wrong is told in a line."""
    try:
        yield
    except _ERRORS as error:
        raise _Failed(f"AWS refused, or did not answer: {error}") from error
    except click.ClickException as error:
        raise _Failed(error.message) from error
