"""Take each right away and see what fails: ``python -m tests.rights [WORD ...]``.

On a local stack of its own, with IAM enforced. With words, only the rights that name one of them are tried, and the
page stays as it is.
"""

import socket
import sys
from collections.abc import Iterator, Sequence

from rich.console import Console

from dev.local.stack import running
from dev.template import ROOT, Template
from ops.stack.deployment import Deployment
from tests.rights import grants, page
from tests.rights.catalog import CATALOGUE, Tried
from tests.rights.grants import Right
from tests.rights.shop import opened
from tests.rights.trial import Roles, Trial, tried

say = Console().out


def main(words: Sequence[str]) -> int:
    """Try the rights; 1 if any is held in vain, or is not accounted for."""
    stack = grants.stack(**grants.local_parameters())
    granted = grants.rights(stack)
    unknown = [right for right in granted if right not in CATALOGUE]
    for right in unknown:
        say(f"{right}: nobody says what it is for; tests/rights/catalog.py should")
    if unknown:
        return 1
    wanted = [right for right in granted if isinstance(CATALOGUE[right], Tried) and _named(right, words)]
    trials = []
    for trial in _trials(stack, wanted):
        trials.append(trial)
        say(f"{len(trials):>3}/{len(wanted)} {_told(trial)}")
    in_vain = [trial for trial in trials if trial.complaint]
    say(f"\n{len(trials) - len(in_vain)} of {len(trials)} are needed; {len(granted) - len(trials)} were not tried")
    for trial in in_vain:
        say(_told(trial))
    if in_vain or not trials:
        return 1
    if not words:
        page.write(page.PAGE, {trial.right: trial.told for trial in trials})
        say(f"Written: {page.PAGE.relative_to(ROOT)}")
    return 0


def _trials(stack: Template, wanted: Sequence[Right]) -> Iterator[Trial]:
    """Each right taken away from a role of a fresh local stack, one after the other."""
    functions = {role: owner.removeprefix("the function ") for role, owner in grants.owners().items()}
    say("Starting the local stack")
    with running(_free_port(), enforce_iam=True) as local:
        local.build()
        deployment = Deployment(local.deploy(), local.session(), local.endpoint)
        roles = Roles(deployment, stack)
        with opened(deployment) as shop:
            for right in wanted:
                need = CATALOGUE[right]
                assert isinstance(need, Tried)
                yield tried(right, need, functions[right.role], roles, shop)


def _named(right: Right, words: Sequence[str]) -> bool:
    return not words or any(word.lower() in f"{right.role} {right.action} {right.resource}".lower() for word in words)


def _told(trial: Trial) -> str:
    right = trial.right
    heading = f"{right.role:<16} {right.action} on {right.resource}"
    if trial.complaint:
        return f"IN VAIN  {heading}: {trial.complaint}"
    return f"needed   {heading}: {trial.told}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
