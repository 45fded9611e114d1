"""`make drill`: outages on the local stack, and whether anything is lost."""

import json
import signal
import sys
import time
from pathlib import Path

import click
from rich.console import Console

from dev.local.stack import LocalStackError
from dev.options import local_port_option

NAMES = ("mail", "analytics", "bus", "payments", "capture", "poison", "kills", "restart")

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@local_port_option
@click.option("--json", "figures", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def drill(names: tuple[str, ...], port: int, figures: Path | None) -> None:
    """Cause outages under load and check that nothing is lost.

    Runs all drills on a local stack, or those that you name. Exits with status 1 if an effect is lost, doubled or
    otherwise wrong.
    """
    from dev.drills import run as drills  # noqa: PLC0415  # costs other commands half a second
    from dev.drills.report import table  # noqa: PLC0415

    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.default_int_handler)  # clean up as after Ctrl-C
    start = time.monotonic()
    last = ""

    def progress(step: str) -> None:
        nonlocal last
        if step != last:
            console.print(f"{time.monotonic() - start:5.0f} s  {step}", markup=False)
        last = step

    reports = []
    try:
        with drills.drill_stack(port, progress) as stack:
            for name in names or NAMES:
                reports.append(drills.run(stack, name, progress))
                console.print(table(reports[-1]))
    except LocalStackError as error:
        raise click.ClickException(str(error)) from error
    if figures:
        figures.write_text(json.dumps([report.figures() for report in reports], indent=2) + "\n")
    failed = [report.name for report in reports if not report.passed]
    console.print(f"Drills: {len(reports)} run, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}")
    sys.exit(1 if failed else 0)
