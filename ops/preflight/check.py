"""A check with its outcome. An error that leaves the answer open is an outcome too."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from botocore.exceptions import BotoCoreError, ClientError

_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    WARNING = "warning"  # the deployment succeeds, and something works less well
    FAILED = "failed"  # the deployment fails, or does not do what it is for
    UNKNOWN = "not checked"


@dataclass(frozen=True)
class Finding:
    """The result of a check: its outcome, the reason, and how to fix it if it did not pass."""

    outcome: Outcome
    seen: str
    fix: str = ""


@dataclass(frozen=True)
class Check:
    """A check by its name, with its finding."""

    what: str
    finding: Finding


@dataclass(frozen=True)
class Question:
    """A check that was not made yet."""

    what: str
    find: Callable[[], Finding]

    def answer(self) -> Check:
        """Make the check. If AWS does not answer it, the outcome is `Outcome.UNKNOWN`."""
        try:
            return Check(self.what, self.find())
        except ClientError as error:
            return Check(self.what, unanswered(error))
        except BotoCoreError as error:
            return self.skipped(f"AWS could not be asked: {error}")

    def skipped(self, reason: str) -> Check:
        """Return the check as not made, for this reason."""
        return Check(self.what, Finding(Outcome.UNKNOWN, reason))


def passed(seen: str) -> Finding:
    """Return a finding of a check that passed."""
    return Finding(Outcome.PASSED, seen)


def warning(seen: str, fix: str) -> Finding:
    """Return a finding that does not stop a deployment."""
    return Finding(Outcome.WARNING, seen, fix)


def failed(seen: str, fix: str) -> Finding:
    """Return a finding that must be fixed before the deployment."""
    return Finding(Outcome.FAILED, seen, fix)


def unanswered(error: ClientError) -> Finding:
    """Return the finding for an error of AWS that leaves the answer open; it names a permission that is missing."""
    if error.response["Error"]["Code"] not in _DENIED:
        return Finding(Outcome.UNKNOWN, f"AWS answered with an error: {error}")
    named = re.search(r"not authorized to perform:? ([\w-]+:\w+)", str(error))
    permission = named[1] if named else f"{error.operation_name}, see AWS's answer: {error}"
    return Finding(Outcome.UNKNOWN, "access denied", f"Get the permission {permission}.")
