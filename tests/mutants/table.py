"""The table of mechanisms in docs/reference/mutants.md."""

from collections.abc import Sequence
from pathlib import Path

from tests.mutants.laboratory import Trial

BEGIN, END = "<!-- mutants: written by `make mutants` -->", "<!-- mutants: end -->"


def write(path: Path, trials: Sequence[Trial]) -> None:
    """Put the table of what was killed between the markers.

    Raises
    ------
    ValueError
        If the markers are not there.
    """
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} lacks the marker {BEGIN} or {END}")
    path.write_text(f"{before}{BEGIN}\n\n{_table(trials)}\n{END}{after}")


def _table(trials: Sequence[Trial]) -> str:
    rows = ["| mechanism | promise | killed by |", "|---|---|---|"]
    rows += [
        f"| {trial.mutation.mechanism} | {trial.mutation.promise} | {_killer(trial.killer.test)} |"
        for trial in trials
        if trial.killer
    ]
    return "\n".join(rows) + "\n"


def _killer(test: str) -> str:
    """Without its parameters: they can hold anything."""
    return f"`{test.partition('[')[0].removeprefix('tests/')}`"
