"""Known vulnerabilities in the locked requirements, part of `make lint`.

pip-audit prints "no known vulnerabilities" also for packages that it could not look up, and its exit status is the same
for a vulnerability and for an unreachable database. So this module reads its report. Without an answer lint continues
with a warning; with AUDIT=required, as in the pipeline, it fails.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dev.local.stack import ROOT

ACCEPTED: Mapping[str, str] = {}  # id of a vulnerability without a fix yet: why it does no harm here
_PIP_AUDIT = ROOT / ".tools/scanners/bin/pip-audit"


class BadRequirements(Exception):
    """A file that can't be audited: a requirement in it is not pinned, or has no hash."""


@dataclass(frozen=True)
class Audit:
    """Result for one file: a line for each vulnerability, and the packages that the database does not know."""

    vulnerable: list[str]
    unknown: list[str]
    answered: bool  # whether the database knew any package


def locked_files() -> list[Path]:
    """Return all files of locked requirements, the functions' first."""
    return sorted(ROOT.glob("layers/*/requirements.txt")) + sorted(ROOT.glob("requirements/*.txt"))


def audit(file: Path, pip_audit: Path = _PIP_AUDIT) -> Audit:
    """Look up all packages that a file locks.

    Raises
    ------
    BadRequirements
        If the file can't be audited.
    """
    command = [
        str(pip_audit),
        "--disable-pip",
        "--require-hashes",
        "--progress-spinner=off",
        "--format=json",
        "-r",
        str(file),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.stdout:
        return _read(json.loads(done.stdout)["dependencies"])
    checked = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=False)
    if checked.returncode:
        raise BadRequirements(checked.stderr.strip()[-400:])
    return Audit([], [], answered=False)


def _read(dependencies: list[dict[str, Any]]) -> Audit:
    unknown = [str(found["name"]) for found in dependencies if "skip_reason" in found]
    vulnerable = [
        f"{found['name']} {found['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions']) or 'no version'}"
        for found in dependencies
        for flaw in found.get("vulns", [])
        if flaw["id"] not in ACCEPTED
    ]
    return Audit(vulnerable, unknown, answered=len(unknown) < len(dependencies))


@click.command()
@click.option("--required", is_flag=True, help="Fail if the database of vulnerabilities does not answer.")
def vulnerabilities(*, required: bool) -> None:
    """Look up all locked packages in a vulnerability database."""
    sys.exit(check(locked_files(), required=required))


def check(files: Iterable[Path], pip_audit: Path = _PIP_AUDIT, *, required: bool) -> int:
    """Audit the files and print the findings; return the exit status."""
    wrong = 0
    for file in files:
        name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
        try:
            found = audit(file, pip_audit)
        except BadRequirements as error:
            _say(f"{name} can't be audited: {error}")
            wrong += 1
            continue
        if not found.answered:
            _say(
                f"NOT AUDITED: the database of vulnerabilities did not answer for {name}. The other files are skipped."
            )
            wrong += required
            break
        for line in found.vulnerable:
            _say(f"{name}: {line}")
        if found.unknown:
            _say(f"NOT AUDITED: the database does not know {', '.join(found.unknown)} in {name}")
        wrong += len(found.vulnerable) + (required and len(found.unknown))
    return 1 if wrong else 0


def _say(what: str) -> None:
    print(what, file=sys.stderr)  # noqa: T201
