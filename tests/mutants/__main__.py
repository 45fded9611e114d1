"""Take each mechanism away and run what should notice: ``python -m tests.mutants [WORD ...]``.

With words, only the mechanisms that name one of them are tried, and the table stays as it is.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tests.mutants import catalog, table
from tests.mutants.laboratory import Broken, Trial, laboratory

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "reference" / "mutants.md"

say = Console().out


def main(words: Sequence[str]) -> int:
    """Try the mutations; 1 if any survives, or proves nothing."""
    mutations = [
        mutation
        for mutation in catalog.load()
        if not words or any(word.lower() in mutation.mechanism.lower() for word in words)
    ]
    trials: list[Trial] = []
    try:
        with laboratory(ROOT) as lab:
            say("Running the tests on the code as it is")
            lab.check_tests(list(dict.fromkeys(test for mutation in mutations for test in mutation.tests)))
            for trial in lab.trials(mutations):
                trials.append(trial)
                say(f"{len(trials):>4}/{len(mutations)} {_told(trial)}")
    except Broken as error:
        say(error)
        return 1
    failed = [trial for trial in trials if trial.killer is None]
    say(f"\n{len(trials) - len(failed)} of {len(trials)} mutations were killed")
    for trial in failed:
        say(_told(trial))
    if failed or not trials:
        return 1
    if not words:
        table.write(TABLE, trials)
        say(f"Written: {TABLE.relative_to(ROOT)}")
    return 0


def _told(trial: Trial) -> str:
    mutation = trial.mutation
    heading = f"{mutation.promise:<3} {mutation.mechanism}  ({mutation.file}, {trial.seconds:.0f} s)"
    if trial.killer:
        return f"killed    {heading}\n{'':19}{trial.killer.test}\n{'':19}{trial.killer.said[:150]}"
    return f"ERROR     {heading}\n{'':19}{trial.error}" if trial.error else f"SURVIVED  {heading}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
