"""The page that lists every mechanism and the test that noticed its removal."""

import re
from collections.abc import Iterable
from pathlib import Path

from tests.mutants.catalog import Mutation
from tests.mutants.sandbox import Trial

HEAD = """# Mechanisms, and the tests that hold them

`make mutants` removes each mechanism below, one at a time and in a copy of the code, and runs the tests that should
notice. It writes this page. The mutations are in `tests/mutants/catalog`; the promises are those of
[reliability](../reliability.md).

| mechanism | promise | killed by |
|---|---|---|
"""
_ROW = re.compile(r"^\| (.+) \| (P\d+) \| `(.+)` \|$", re.MULTILINE)


def write(path: Path, catalog: Iterable[Mutation], trials: Iterable[Trial]) -> None:
    """Write the row of each mutation that was tried and killed, and keep the rows of the others in the catalog."""
    killers = {mechanism: killer for mechanism, _promise, killer in rows(path)}
    killers |= {trial.mutation.mechanism: _without_parameters(trial.killer.test) for trial in trials if trial.killer}
    lines = [
        f"| {mutation.mechanism} | {mutation.promise} | `{killers[mutation.mechanism]}` |\n"
        for mutation in catalog
        if mutation.mechanism in killers
    ]
    path.write_text(HEAD + "".join(lines))


def rows(path: Path) -> list[tuple[str, str, str]]:
    """Return mechanism, promise and killing test of each row."""
    return _ROW.findall(path.read_text()) if path.is_file() else []


def _without_parameters(test: str) -> str:
    """Return the test's id without its parameters, which can hold any character."""
    return test.partition("[")[0].removeprefix("tests/")
