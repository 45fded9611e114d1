"""Run checks one after the other. Each cleans up, also after a failure or Ctrl-C."""

import time
from collections.abc import Callable, Iterator, Sequence

import httpx

from handoff import aws
from ops.replay import ReplayError
from ops.smoke_order import CheckFailed
from ops.stack.cloudwatch import MetricsError
from ops.stack.deployment import NoSuchResource
from ops.verify.answers import Answers
from ops.verify.check import Attempt, Check, NotAvailable, Outcome, Result, Situation, Skipped

_ERRORS = (*aws.ERRORS, httpx.HTTPError, MetricsError, NoSuchResource, ReplayError)


def run(
    checks: Sequence[Check], situation: Situation, answers: Answers, show: Callable[[str], None]
) -> Iterator[Result]:
    """Yield the results of each check. After an interrupt, the others are not run, and it is raised at the end.

    ``show`` gets the name of each check when it begins, and its progress.
    """
    for number, check in enumerate(checks):
        show(f"{check.name} ...")
        attempt = Attempt(situation, answers, show)
        yield from _results(check, attempt)
        if attempt.interrupt:
            yield from (Result(later.name, Outcome.NOT_RUN, "interrupted before") for later in checks[number + 1 :])
            raise attempt.interrupt


def _results(check: Check, attempt: Attempt) -> list[Result]:
    """Run a check and clean up; return its result, and those of its parts."""
    began = time.monotonic()
    attempt.answers.take()
    try:
        outcome, seen = _outcome(check, attempt)
    finally:
        left = attempt.clean_up()
    if left and outcome == Outcome.PASSED:
        outcome, seen = Outcome.FAILED, f"{seen}, but not everything was cleaned up"
    seconds = time.monotonic() - began
    own = Result(check.name, outcome, seen, seconds, tuple(attempt.notes), left, attempt.answers.take())
    return [own, *attempt.others]


def _outcome(check: Check, attempt: Attempt) -> tuple[Outcome, str]:
    try:
        if reason := check.obstacle(attempt.situation):
            return Outcome.NOT_AVAILABLE, reason
        return Outcome.PASSED, check.run(attempt)
    except CheckFailed as failure:
        return Outcome.FAILED, str(failure)
    except _ERRORS as error:
        return Outcome.FAILED, f"{type(error).__name__}: {error}"
    except NotAvailable as reason:
        return Outcome.NOT_AVAILABLE, str(reason)
    except Skipped as option:
        return Outcome.SKIPPED, str(option)
    except KeyboardInterrupt as interrupt:
        attempt.interrupt = interrupt
        return Outcome.INTERRUPTED, "by a signal, such as Ctrl-C"
