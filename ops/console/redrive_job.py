"""A redrive in the background."""

import threading
import time
from collections import Counter
from collections.abc import Iterable

from ops.console.errors import ERRORS, describe
from ops.console.scan import Scan
from ops.dlq import redrive
from ops.dlq.directory import Directory, Filter, Match
from ops.stack.deployment import Deployment
from ops.stack.observe import depth
from ops.text import counted

_REMAINING = "Messages that were not redriven are still in the dead-letter queue."
# Seconds for which redriven events are watched: at least, because a permanent error takes a moment, and at most.
_WATCH_AT_LEAST, _WATCH_AT_MOST = 5.0, 30.0


class RedriveJob:
    """One redrive: its progress, and in the end its result, with the events that have failed again."""

    def __init__(self, deployment: Deployment, chosen: Filter, *, patience: float = _WATCH_AT_MOST) -> None:
        self.result = [f"The redrive ended with an internal console error. {_REMAINING}"]
        self._deployment = deployment
        self._scan = Scan(deployment, chosen)
        self._done = redrive.Outcome()
        self._stop = threading.Event()
        self._sent: Counter[tuple[str, str]] = Counter()  # by consumer and body: a new message has a new id
        self._queues: dict[str, str] = {}  # by consumer
        self._patience = patience
        self._is_watching = False

    def stop(self) -> None:
        """Stop after the messages that are being redriven."""
        self._stop.set()

    @property
    def progress(self) -> str:
        """How many messages were redriven."""
        stopping = ", stopping ..." if self._stop.is_set() else ""
        if self._is_watching:
            return f"{self._done.sent.total()} redriven; waiting whether they fail again{stopping or ' ...'}"
        return f"{self._done.sent.total()} redriven so far{stopping}"

    def run(self) -> None:
        """Redrive until all is done or the job is stopped, watch what becomes of the events, then set ``result``."""
        try:
            self._scan.read(self._redrive, self._stop.is_set)
        except ERRORS as error:
            count = self._done.sent.total()
            self.result = [describe(error), f"{count} redriven. {_REMAINING} Redrive again to continue."]
            return
        result = [*self._scan.summary(self._done, would=False), *self._scan.warnings]
        if self._stop.is_set():
            result.append(f"Stopped. {_REMAINING} Redrive again to continue.")
        elif self._sent:
            result += self._watch()
        self.result = result

    def _redrive(self, dead_letters: Iterable[Match], known: Directory) -> None:
        self._queues = dict(known.queues)
        for match in redrive.run(self._deployment.sqs, dead_letters, known, self._done, redrive.DEFAULT_RATE):
            self._sent[_identity(match)] += 1

    def _watch(self) -> list[str]:
        """Wait until the queues of the redriven events are empty; return how many events have failed again."""
        self._is_watching = True
        begin = time.monotonic()
        try:
            while self._is_to_wait(time.monotonic() - begin) and not self._stop.wait(1.0):
                pass
            left = self._left()
            again = Scan(self._deployment, Filter(consumers=tuple(self._done.sent))).read(
                lambda matches, _: self._failed_again(matches), self._stop.is_set
            )
        except ERRORS as error:
            return [f"It is unknown whether they failed again: {describe(error)}"]
        waited = f"within {time.monotonic() - begin:.0f} s"
        result = [f"{count} failed again: {reason}" for reason, count in again.most_common()]
        if left:
            result.append(f"{counted(left, 'event')} still waiting or in progress there. Look again later.")
        return result or [f"None of them failed again {waited}."]

    def _is_to_wait(self, waited: float) -> bool:
        return waited < self._patience and (waited < _WATCH_AT_LEAST or bool(self._left()))

    def _left(self) -> int:
        """Return how many events the queues of the redriven ones hold."""
        return sum(depth(self._deployment, self._queues[consumer]).backlog for consumer in self._done.sent)

    def _failed_again(self, dead_letters: Iterable[Match]) -> Counter[str]:
        """Count the redriven events that are dead letters again, by their reasons."""
        again: Counter[str] = Counter()
        sent = self._sent.copy()
        for match in dead_letters:
            if sent[_identity(match)]:
                sent[_identity(match)] -= 1
                again[match.dead_letter.kind] += 1
        return again


def _identity(match: Match) -> tuple[str, str]:
    return match.consumer, match.dead_letter.message["Body"]
