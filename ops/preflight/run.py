"""All checks, one after the other."""

from collections.abc import Iterator

from ops.preflight import account, build, mail, names, plan, secrets
from ops.preflight.aws import Aws
from ops.preflight.check import Check, Finding, Outcome, Question
from ops.preflight.plan import Plan


def run(planned: Plan, region: str | None) -> Iterator[Check]:
    """Make all checks of a plan. ``region`` replaces that of samconfig.toml and of the environment."""
    for question in (plan.values(planned), names.stack_name(planned), *build.questions(planned)):
        yield question.answer()
    aws = Aws(planned, region)
    identity = Question("credentials and region", lambda: account.credentials(aws)).answer()
    yield identity
    may_ask = identity.finding.outcome is Outcome.PASSED
    for question in _questions(aws):
        yield question.answer() if may_ask else question.skipped("needs credentials and a region")


def _questions(aws: Aws) -> Iterator[Question]:
    for part in (names, account, mail, secrets):
        yield from part.questions(aws)


def document(check: Check) -> dict[str, str]:
    """Return a check for scripts."""
    found: Finding = check.finding
    return {"check": check.what, "outcome": found.outcome, "seen": found.seen, "fix": found.fix}
