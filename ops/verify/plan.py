"""The plan of a run with its duration and cost, and the refusal of stacks for production."""

import math
from collections.abc import Iterator, Sequence

from ops.prices import PRICES, total
from ops.stack.production import signs_of_production
from ops.verify.check import Check, Situation


class Refused(Exception):
    """The checks must not run on this stack; the text says why and what to do."""


def check_stack(situation: Situation, *, production: bool) -> None:
    """Check that these checks may run on the stack.

    Raises
    ------
    Refused
        If it is a stack for production and ``production`` is not set, or if it is being deployed.
    """
    deployment = situation.deployment
    if deployment.status.endswith("_IN_PROGRESS"):
        raise Refused(
            f"The stack {deployment.stack} is {deployment.status}. Wait until that ends: "
            "an alarm that is set to ALARM now would roll back its canary."
        )
    signs = signs_of_production(deployment)
    if signs and not production:
        raise Refused(
            f"The stack {deployment.stack} is one for production ({', '.join(signs)}). The checks raise all of its "
            "alarms and place orders. Run them on another stack of the same template, or allow it with --production."
        )


def lines(checks: Sequence[Check], situation: Situation) -> Iterator[str]:
    """Yield the plan, line by line."""
    deployment = situation.deployment
    yield f"handoff verify would check {deployment.stack} ({deployment.stack_id}):"
    for check in checks:
        yield ""
        yield from _about(check, situation)
    yield ""
    possible = [check for check in checks if not check.obstacle(situation)]
    cents = math.ceil(100 * sum(total(check.costs) for check in possible))
    yield f"All in all it costs ${cents / 100:.2f} at most, at list prices of us-east-1:"
    for page in sorted({PRICES[name].page for check in possible for name in check.costs}):
        yield f"  {page}"


def _about(check: Check, situation: Situation) -> Iterator[str]:
    yield f"{check.key}: {check.name}"
    reason = check.obstacle(situation)
    if reason:
        yield f"  not available here: {reason}"
        return
    yield f"  {check.does}"
    yield f"  takes {check.takes}, costs ${total(check.costs):.4f} at most"
    yield f"  needs {check.needs}"
    if warning := check.warning(situation):
        yield f"  {warning}"
