"""`make test-scaffold`: write consumers in a copy of the repository, and run ``make lint`` and ``make test`` there.

The tests on the local stack deploy the copy, place orders, and look for the consumer's lag, dead letters and metrics.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from dev.template import ROOT
from tests.scaffold.copies import commands_of_the_page, copy_repository

say = Console().out


def main() -> int:
    """Run everything. Return the exit code of the first command that fails, otherwise 0."""
    (ROOT / ".local").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".local", prefix="scaffold-") as folder:
        copy = copy_repository(Path(folder) / "copy")
        for command in (*commands_of_the_page(), ["make", "lint"], ["make", "test"]):
            say(f"In a copy of the repository: {' '.join(command)}")
            status = subprocess.run(command, cwd=copy, check=False).returncode
            if status:
                say(f"{' '.join(command)} failed with {status}")
                return status
    say("The copy with the new consumers passes lint and all tests, without an edit by hand.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
