"""`make consumer`: write a consumer of orders' events, in this stack or in a stack of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from dev.scaffold import in_stack, own_stack
from dev.scaffold.edits import Edits, MissingAnchors
from dev.scaffold.request import InvalidRequest, parse
from dev.template import ROOT

_KINDS = {"this": in_stack, "own": own_stack}


class GeneratorFailed(Exception):
    """A file could not be generated from the written ones; the text has the command and its output."""


@click.command()
@click.argument("name")
@click.option("--on", default="", help="Events of orders, with spaces or commas between them.")
@click.option("--stack", type=click.Choice(list(_KINDS)), default="this", help="own: a stack that imports the bus.")
def consumer(name: str, on: str, stack: str) -> None:
    """Write a consumer NAME: function, resources, permissions, sample, tests, docs.

    It works as it is written: it counts the events of each order in a table of its own, exactly once. If the name is
    taken, an event is unknown or a place in a file is not found, nothing is changed.
    """
    began = time.monotonic()
    kind = _KINDS[stack]
    edits = Edits(ROOT)
    try:
        request = parse(name, on, new=kind.NEW)
        kind.add(request, edits)
        generated = [path.format(name=name) for path in kind.GENERATED]
        edits.write(lambda: _finish(edits.python_files, kind.GENERATORS), generated)
    except (InvalidRequest, MissingAnchors, GeneratorFailed) as error:
        raise click.ClickException(str(error)) from error
    created = [path.format(name=name) for path in kind.NEW]
    changed = [path.relative_to(ROOT).as_posix() for path in edits.changed] + [*set(generated) - set(created)]
    click.echo(f"Wrote the consumer {name} of {', '.join(request.detail_types)} in {time.monotonic() - began:.0f} s.\n")
    click.echo(kind.NEXT.format(**request.words))
    click.echo(f"\nTo undo: git checkout -- {' '.join(sorted(changed))} && git clean -fdq {' '.join(created)}")


def _finish(python_files: Sequence[Path], generators: Sequence[str]) -> None:
    """Format the written code, then generate the files that are made of it, all at once."""
    if python_files:
        _wait(_start(["ruff", "format", "--quiet", *map(str, python_files)]))
    running = [_start([generator]) for generator in generators]
    try:
        for process in running:
            _wait(process)
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()


def _start(arguments: Sequence[str]) -> "subprocess.Popen[str]":
    # This checkout's packages come before installed ones, which can be another checkout's.
    path = os.pathsep.join([str(ROOT), str(ROOT / "layers/handoff"), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _wait(process: "subprocess.Popen[str]") -> None:
    output, _ = process.communicate()
    if process.returncode:
        command = " ".join(map(str, process.args)) if isinstance(process.args, list) else ""
        raise GeneratorFailed(f"Nothing was changed, because this failed: {command}\n{output[-3000:]}")
