"""The command `handoff verify`."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape

from handoff.clock import now_ms
from ops.cli.errors import errors_as_messages
from ops.cli.options import StackCommand, Target, target_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ops.stack.deployment import Deployment
    from ops.verify.answers import Answers
    from ops.verify.check import Check, Result, Situation

_KEYS = (
    "order",
    "poison",
    "alarms",
    "audit",
    "queries",
    "key",
    "pages",
    "idle",
    "packing",
    "metrics",
    "replay",
    "burst",
    "canary",
)
_STYLES = {"passed": "green", "failed": "red", "interrupted": "red"}

console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)


@click.command(cls=StackCommand)
@click.option("--only", multiple=True, type=click.Choice(_KEYS), help="Only this check; repeat it for several.")
@click.option(
    "--idle",
    type=click.FloatRange(0, 45),  # the token that the order is placed with is valid for an hour
    default=10.0,
    show_default=True,
    help="Minutes without a request before the second order; 0 skips it.",
)
@click.option("--within", default=120.0, show_default=True, help="Seconds that the consumers may take.")
@click.option(
    "--token", default="", envvar="HANDOFF_TOKEN", help="A customer's token, for stacks whose pool cannot issue one."
)
@click.option("--canary", is_flag=True, help="Stop a canary that you start, and follow its repetition.")
@click.option("--production", is_flag=True, help="Allow a stack with DataPolicy=Retain, or with real payments.")
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would be done, and what it costs.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option(
    "--report",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    show_default="handoff-verify-STACK-TIME",
    help="Folder for report.json and report.md.",
)
@target_options
def verify(
    *,
    only: tuple[str, ...],
    idle: float,
    within: float,
    token: str,
    canary: bool,
    production: bool,
    only_plan: bool,
    yes: bool,
    folder: Path | None,
    target: Target,
) -> None:
    """Check on a deployed stack what no local engine shows.

    It places orders, raises each alarm once, makes a dead letter and redrives it, replays a minute, reads the audit
    log, the saved queries and the metrics, and exceeds a request limit. It first shows what it will do and cost, and
    asks. It charges no one: with real payments, no order is placed. It cleans up, also after Ctrl-C; the orders of
    SMOKE-TEST stay. A report has each outcome with AWS's answers. What a deployment does not have is reported as
    not available here, never as passed. The exit status is 1 if a check failed or was interrupted.
    """
    from ops.verify import plan  # noqa: PLC0415  # costs other commands half a second
    from ops.verify.answers import Answers  # noqa: PLC0415
    from ops.verify.check import Situation  # noqa: PLC0415
    from ops.verify.checks import CHECKS  # noqa: PLC0415

    deployment = target.deployment()
    answers = Answers(deployment.session)
    situation = Situation(deployment, token=token, idle_minutes=idle, within=within, canary=canary)
    chosen = [check for check in CHECKS if not only or check.key in only]
    with errors_as_messages(plan.Refused):
        plan.check_stack(situation, production=production)
        for line in plan.lines(chosen, situation):
            console.print(escape(line), soft_wrap=True)
    if only_plan:
        return
    if not yes:
        click.confirm("Run these checks?", abort=True)
    passed = _run(chosen, situation, answers, _made(folder, deployment))
    sys.exit(0 if passed else 1)


def _made(folder: Path | None, deployment: "Deployment") -> Path:
    """Create the report's folder before anything is done that it should report."""
    chosen = folder or Path(f"handoff-verify-{deployment.stack}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    try:
        chosen.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"The folder of the report cannot be created: {error}") from error
    return chosen


def _run(checks: "Sequence[Check]", situation: "Situation", answers: "Answers", folder: Path) -> bool:
    """Run the checks, show the results, and write the report in all cases; return whether nothing failed."""
    from ops.verify import report, run  # noqa: PLC0415

    began = now_ms()
    results: list[Result] = []
    try:
        for result in run.run(checks, situation, answers, _show_progress):
            results.append(result)
            _show(result)
    finally:
        report.write(folder, situation.deployment, results, began=began, ended=now_ms())
        console.print(escape(f"\n{report.counts(results)}\nReport: {folder}/report.md"), soft_wrap=True)
    return report.has_passed(results)


def _show_progress(text: str) -> None:
    console.print(f"[dim]{escape(text)}[/]", soft_wrap=True)


def _show(result: "Result") -> None:
    style = _STYLES.get(result.outcome, "yellow")
    console.print(f"[{style}]{result.outcome}[/]  {escape(f'{result.name}: {result.seen}')}", soft_wrap=True)
    for left in result.left:
        console.print(f"[red]left behind[/]  {escape(left)}", soft_wrap=True)
