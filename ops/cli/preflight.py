"""The command `handoff preflight`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ops.cli.errors import errors_as_messages
from ops.text import plain

if TYPE_CHECKING:
    from ops.preflight.check import Check

_MARKS = {
    "passed": click.style("ok         ", fg="green"),
    "warning": click.style("warning    ", fg="yellow"),
    "failed": click.style("failed     ", fg="red"),
    "not checked": click.style("not checked", fg="yellow"),
}


@click.command()
@click.option(
    "--config-env", default="dev", show_default=True, help="Environment in samconfig.toml, as for sam deploy."
)
@click.option(
    "--parameter-overrides",
    metavar="NAME=VALUE...",
    help="Parameters instead of samconfig.toml's list, in one argument, as for sam deploy.",
)
@click.option("--region", help="Region to deploy to, instead of the one in samconfig.toml or the environment.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def preflight(*, config_env: str, parameter_overrides: str | None, region: str | None, as_json: bool) -> None:
    """Check what a first deployment needs, before it.

    It checks parameters, build tools, credentials, the stack's names, whether the region has every resource type,
    quotas, SES and secrets. It changes nothing. Run it in Handoff's folder. The exit status is 1 if a check failed or
    could not be made. A warning is not a failure.
    """
    from ops.preflight.check import Outcome  # noqa: PLC0415  # costs other commands half a second
    from ops.preflight.plan import PlanError, plan  # noqa: PLC0415
    from ops.preflight.run import document, run  # noqa: PLC0415

    with errors_as_messages(PlanError):
        planned = plan(Path.cwd(), config_env, parameter_overrides)
    checks = []
    for check in run(planned, region):
        checks.append(check)
        if not as_json:
            _show(check)
    if as_json:
        click.echo(json.dumps([document(check) for check in checks], indent=2))
    good = (Outcome.PASSED, Outcome.WARNING)
    sys.exit(0 if all(check.finding.outcome in good for check in checks) else 1)


def _show(check: "Check") -> None:
    found = check.finding
    fix = f" -> {found.fix}" if found.fix else ""
    click.echo(f"{_MARKS[found.outcome]}  {plain(f'{check.what}: {found.seen}{fix}')}")
