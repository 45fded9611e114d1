"""Remove each mechanism and run the tests that should notice: ``python -m tests.mutants [WORD ...]``.

With words, only the mechanisms that contain one of them are tried.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tests.mutants import catalog, page
from tests.mutants.sandbox import Broken, Trial, sandbox

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "mutants.md"

say = Console().out


def main(words: Sequence[str]) -> int:
    """Try the mutations. Return 1 if any survives, or proves nothing."""
    every = catalog.load()
    mutations = [
        mutation for mutation in every if not words or any(word.lower() in mutation.mechanism.lower() for word in words)
    ]
    trials: list[Trial] = []
    try:
        with sandbox(ROOT) as box:
            say("Running the tests without a mutation")
            box.check_tests(list(dict.fromkeys(test for mutation in mutations for test in mutation.tests)))
            for trial in box.trials(mutations):
                trials.append(trial)
                say(f"{len(trials):>4}/{len(mutations)} {_summary(trial)}")
    except Broken as error:
        say(error)
        return 1
    failed = [trial for trial in trials if trial.killer is None]
    say(f"\n{len(trials) - len(failed)} of {len(trials)} mutations were killed")
    for trial in failed:
        say(_summary(trial))
    page.write(PAGE, every, trials)
    say(f"Written: {PAGE.relative_to(ROOT)}")
    return 1 if failed or not trials else 0


def _summary(trial: Trial) -> str:
    mutation = trial.mutation
    places = ", ".join(change.where for change in mutation.changes)
    heading = f"{mutation.promise:<3} {mutation.mechanism}  ({places}, {trial.seconds:.0f} s)"
    if trial.killer:
        return f"killed    {heading}\n{'':19}{trial.killer.test}\n{'':19}{trial.killer.message[:150]}"
    return f"ERROR     {heading}\n{'':19}{trial.error}" if trial.error else f"SURVIVED  {heading}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
