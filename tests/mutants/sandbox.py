"""Try mutations in copies of the tree. The checkout itself is never touched, whatever interrupts the work."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from tests.mutants import catalog, fork
from tests.mutants.catalog import Mutation
from tests.mutants.errors import Stale
from tests.mutants.scopes import Scopes

_NOT_COPIED = shutil.ignore_patterns(".[!g]*", ".git", "__pycache__")  # but .github, which has a template
# Loading Hypothesis only to report nothing takes longer than most tests.
_NO_PLUGINS = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:anyio"]
# These failures prove nothing: the code could not be loaded, or the computer was too slow.
_NO_PROOF = ("ImportError", "ModuleNotFoundError", "SyntaxError", "NameError", "Failed: Timeout")


class Broken(Exception):
    """A run that proves nothing: tests could not be collected or set up, or the code is not the copy's."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A test that failed, and its message."""

    test: str
    message: str


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of a mutation: the test that killed it, or an ``error`` in the catalog; neither if it survived."""

    mutation: Mutation
    killer: Failure | None
    error: str | None
    seconds: float


class Sandbox:
    """Copies of one tree, in a temporary folder."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._folder = folder
        self._original = folder / "original"
        shutil.copytree(root, self._original, ignore=_NOT_COPIED)
        catalog.reformat(self._original)
        self._scopes = Scopes(self._original)

    def check_tests(self, tests: Sequence[str]) -> None:
        """Run the tests, file by file, on the code without a mutation.

        Raises
        ------
        Broken
            If one fails: its failure under a mutation would then prove nothing.
        """
        by_file: dict[str, list[str]] = {}
        for test in tests:
            by_file.setdefault(test.partition("::")[0], []).append(test)
        jobs = [[file] if file in named else named for file, named in by_file.items()]
        with _parallel() as pool:
            for failure in pool.map(lambda job: _run(self._original, job), jobs):
                if failure:
                    raise Broken(f"{failure.test} fails without any mutation: {failure.message}")

    def trials(self, mutations: Sequence[Mutation]) -> Iterator[Trial]:
        """Try each mutation, as many at a time as there are cores. Yield the results in the mutations' order."""
        with _parallel() as pool:
            yield from pool.map(self._try, range(len(mutations)), mutations)

    def _try(self, number: int, mutation: Mutation) -> Trial:
        start = time.monotonic()
        tree = self._folder / f"mutant-{number}"
        killer, error = None, None
        try:
            shutil.copytree(self._original, tree)
            for path in mutation.apply(tree, self._scopes):
                _check_names(path)
            killer = _run(tree, mutation.tests)
        except (Stale, Broken) as found:
            error = str(found)
        finally:
            shutil.rmtree(tree, ignore_errors=True)
        return Trial(mutation, killer, error, time.monotonic() - start)


@contextmanager
def sandbox(root: Path) -> Iterator[Sandbox]:
    """Yield a sandbox for this tree; its folder is removed at the end."""
    with TemporaryDirectory(prefix="mutants-") as folder:
        yield Sandbox(root, Path(folder).resolve())


def _run(tree: Path, tests: Sequence[str]) -> Failure | None:
    """Return the first of these tests that fails on the code in this tree; None if all pass."""
    folder = tree / f".run-{time.monotonic_ns()}"
    folder.mkdir()
    report, log = folder / "report.xml", folder / "log.txt"
    options = ["-x", "-q", *_NO_PLUGINS, f"--junitxml={report}"]
    status = fork.pytest(tree, [*options, *tests], log)
    if status == 0:
        return None
    for case in ElementTree.parse(report).iter("testcase") if report.is_file() else []:
        failure = case.find("failure")
        if failure is not None:
            message = failure.get("message", "").partition("\n")[0]
            if message.startswith(_NO_PROOF):
                raise Broken(f"no proof: {message}")
            return Failure(f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}", message)
    raise Broken(f"pytest ended with status {status} in {tests[0]}: " + " | ".join(log.read_text().splitlines()[-8:]))


def _check_names(path: Path) -> None:
    """Raise `Broken` if the code does not parse, or uses undefined names: it would fail for that alone."""
    if path.suffix == ".py":
        options = ["check", "--isolated", "--quiet", "--select", "E9,F821", "--output-format", "concise"]
        command = [sys.executable, "-m", "ruff", *options, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Broken(f"the mutation is invalid code: {done.stdout.strip()}")


def _parallel() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count())
