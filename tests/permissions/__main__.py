"""Remove each permission and check that its feature breaks: ``python -m tests.permissions [WORD ...]``.

On a local stack of its own, with IAM enforced. With words, only the permissions that contain one of them are tried; the
page keeps the results of the others.
"""

import socket
import sys
from collections.abc import Iterator, Sequence

from rich.console import Console

from dev.local.stack import running
from dev.template import ROOT, Template
from ops.stack.deployment import Deployment
from tests.permissions import grants, page
from tests.permissions.catalog import PURPOSES, Enforced
from tests.permissions.grants import Permission
from tests.permissions.local_shop import open_shop
from tests.permissions.trial import Roles, Trial, run_trial

say = Console().out


def main(words: Sequence[str]) -> int:
    """Try the permissions. Return 1 if any is not needed, or has no stated purpose."""
    stack = grants.stack(**grants.local_parameters())
    granted = grants.permissions_of(stack)
    unknown = [permission for permission in granted if permission not in PURPOSES]
    for permission in unknown:
        say(f"{permission} has no purpose: state it in tests/permissions/catalog.py")
    if unknown:
        return 1
    wanted = [found for found in granted if isinstance(PURPOSES[found], Enforced) and _matches(found, words)]
    trials = []
    for trial in _trials(stack, wanted):
        trials.append(trial)
        say(f"{len(trials):>3}/{len(wanted)} {_summary(trial)}")
    not_needed = [trial for trial in trials if trial.objection]
    say(f"\n{len(trials) - len(not_needed)} of {len(trials)} are needed; {len(granted) - len(trials)} were not tried")
    for trial in not_needed:
        say(_summary(trial))
    if not_needed or not trials:
        return 1
    earlier = page.results_in(page.PAGE.read_text()) if words else {}
    page.write(page.PAGE, earlier | {trial.permission: trial.summary for trial in trials})
    say(f"Written: {page.PAGE.relative_to(ROOT)}")
    return 0


def _trials(stack: Template, wanted: Sequence[Permission]) -> Iterator[Trial]:
    """Start a local stack, and try each permission on it."""
    functions = {role: owner.removeprefix("the function ") for role, owner in grants.owners().items()}
    say("Starting the local stack")
    with running(_free_port(), enforce_iam=True) as local:
        local.build()
        deployment = Deployment(local.deploy(), local.session(), local.endpoint)
        roles = Roles(deployment, stack)
        with open_shop(deployment) as shop:
            for permission in wanted:
                use = PURPOSES[permission]
                assert isinstance(use, Enforced)
                yield run_trial(permission, use, functions[permission.role], roles, shop)


def _matches(permission: Permission, words: Sequence[str]) -> bool:
    text = f"{permission.role} {permission.action} {permission.resource}".lower()
    return not words or any(word.lower() in text for word in words)


def _summary(trial: Trial) -> str:
    permission = trial.permission
    heading = f"{permission.role:<16} {permission.action} on {permission.resource}"
    if trial.objection:
        return f"NOT NEEDED {heading}: {trial.objection}"
    return f"needed     {heading}: {trial.summary}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
