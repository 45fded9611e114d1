"""`make test-scaffold`: write consumers in a copy of the repository, and run all checks in it, also on a stack."""

import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from dev.template import ROOT
from tests.scaffold.copies import commands_of_the_page, copy_repository

say = Console().out
_CHECKS = (
    ["make", "lint"],
    ["make", ".test-in-process"],  # of the tests on a stack, the next one has those that concern a consumer
    [".venv/bin/python", "-m", "tests.scaffold.on_stack"],
    ["make", "permissions", "ONLY=LoyaltyRole"],
)


def main() -> int:
    """Run all commands. Return the exit code of the first one that fails, otherwise 0."""
    (ROOT / ".local").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".local", prefix="scaffold-") as folder:
        copy = copy_repository(Path(folder) / "copy")
        for command in (*commands_of_the_page(), *_CHECKS):
            say(f"In a copy of the repository: {' '.join(command)}")
            status = subprocess.run(command, cwd=copy, check=False).returncode
            if status:
                say(f"{' '.join(command)} failed with {status}")
                return status
    say("With the new consumers, all checks pass without an edit by hand.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
