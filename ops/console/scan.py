"""One scan of the dead-letter queues."""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import TypeVar

from ops.dlq import report
from ops.dlq.directory import Directory, Filter, Match, directory, find
from ops.dlq.redrive import Outcome
from ops.stack.deployment import Deployment

Result = TypeVar("Result")
Stopped = Callable[[], bool]


class Scan:
    """Reads the chosen dead letters, and collects warnings about messages that it could not see."""

    def __init__(self, deployment: Deployment, chosen: Filter) -> None:
        self.warnings: list[str] = []
        self.held_elsewhere: Counter[str] = Counter()  # messages that another receiver holds, by queue
        self._deployment = deployment
        self._chosen = chosen

    def read(self, use: Callable[[Iterable[Match], Directory], Result], stopped: Stopped) -> Result:
        """Return what ``use`` makes of the dead letters. They end early when ``stopped`` returns true.

        Raises
        ------
        ops.dlq.directory.NoSuchConsumer
            If one of the chosen consumers does not exist.
        """
        known = directory(self._deployment)
        known.check(self._chosen.consumers)
        found = find(
            self._deployment.sqs,
            known,
            self._chosen,
            self.warnings.append,
            held_elsewhere=self.held_elsewhere,
            stopped=stopped,
        )
        with closing(found) as dead_letters:
            return use(dead_letters, known)

    @property
    def is_complete(self) -> bool:
        """Whether it saw all dead letters."""
        return not self.warnings and not self.held_elsewhere

    def none_found(self) -> str:
        """Return what it means that the scan found nothing."""
        if self.held_elsewhere:
            return report.none_visible(self.held_elsewhere.total())
        if self.warnings:
            return "The scan saw no dead letter, but some arrived meanwhile. Refresh to see them."
        return f"No dead letters{' of ' + ', '.join(self._chosen.consumers) if self._chosen.consumers else ''}."

    def summary(self, done: Outcome, *, would: bool) -> list[str]:
        """Return what a redrive of these dead letters did, or would do."""
        if done.is_empty and self.held_elsewhere:
            return [report.none_visible(self.held_elsewhere.total())]
        return report.outcome(done, would=would)
