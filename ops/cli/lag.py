"""The command `handoff lag`."""

import json
import sys
import time

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from handoff import aws
from handoff.clock import now_ms, to_iso
from ops import ages
from ops.cli.errors import errors_with_status_2
from ops.cli.options import Age, StackCommand, Target, target_options
from ops.lag import report as lag_report
from ops.lag.measure import measure, other_dead_letters
from ops.lag.report import Report
from ops.stack.cloudwatch import MetricsError
from ops.stack.deployment import Deployment

_ERRORS = (MetricsError, *aws.ERRORS)


@click.command(cls=StackCommand)
@click.option(
    "--minutes",
    type=click.IntRange(1, 180),
    default=5,
    show_default=True,
    help="Minutes that lag and rates are measured over.",
)
@click.option(
    "--every",
    type=click.IntRange(1),
    show_default="30; 5 on the local stack, where requests are free",
    help="Seconds between two measurements.",
)
@click.option("--once", is_flag=True, help="Measure once; the default without a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Measure once and print JSON, for scripts.")
@click.option(
    "--fail-over", type=Age(), help="Measure once; exit with status 1 if a consumer is further behind, such as 60s."
)
@target_options
def lag(*, minutes: int, every: int | None, once: bool, as_json: bool, fail_over: int | None, target: Target) -> None:
    """Show how far each consumer is behind.

    The table has waiting events and their age, the lag, the rates, and the time until the backlog is drained.
    Consumers of stacks that import the bus are included, as STACK/NAME. With --fail-over, the exit status is 1 if a
    consumer's oldest message or its p99 lag exceeds that age; the command names the consumer. Events that keep failing
    count by their age, dead letters do not count. The exit status is 2 if the lag cannot be measured.
    """
    with errors_with_status_2(MetricsError):
        deployment = target.deployment()
        if sys.stdout.isatty() and not (once or as_json or fail_over is not None):
            _watch(deployment, minutes, every or (5 if target.port else 30))
        else:
            _measure_once(deployment, minutes, as_json=as_json, fail_over=fail_over)


def _measure_once(deployment: Deployment, minutes: int, *, as_json: bool, fail_over: int | None) -> None:
    lags, others = measure(deployment, minutes=minutes), other_dead_letters(deployment)
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
    """Measure until Ctrl-C. The first measurement must succeed; the error of a later one is shown."""
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
    return Report(measure(deployment, minutes=minutes), other_dead_letters(deployment), minutes), at


def _footer(at: int, trouble: str = "") -> Text:
    text = Text(f"As of {to_iso(at)[:19]}Z. Press Ctrl-C to quit.")
    return text.append(f"\nNot updated for {ages.show(now_ms() - at)}: {trouble}", "red") if trouble else text


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)
