"""A redrive in the background."""

import threading
from collections.abc import Iterable

from ops.console.errors import ERRORS, describe
from ops.console.scan import Scan
from ops.dlq import redrive
from ops.dlq.directory import Directory, Filter, Match
from ops.stack.deployment import Deployment

_RATE = 10.0  # messages a second, the default of `handoff dlq redrive`
_REMAINING = "Messages that were not redriven are still in the dead-letter queue."


class RedriveJob:
    """One redrive: its progress, and in the end its result."""

    def __init__(self, deployment: Deployment, chosen: Filter) -> None:
        self.result = [f"The redrive ended with an internal console error. {_REMAINING}"]
        self._deployment = deployment
        self._scan = Scan(deployment, chosen)
        self._done = redrive.Outcome()
        self._stop = threading.Event()

    def stop(self) -> None:
        """Stop after the message that is being redriven."""
        self._stop.set()

    @property
    def progress(self) -> str:
        """How many messages were redriven."""
        return f"{self._done.sent.total()} redriven so far{', stopping ...' if self._stop.is_set() else ''}"

    def run(self) -> None:
        """Redrive until all is done or the job is stopped, then set ``result``."""
        try:
            self._scan.read(self._redrive, self._stop.is_set)
        except ERRORS as error:
            count = self._done.sent.total()
            self.result = [describe(error), f"{count} redriven. {_REMAINING} Redrive again to continue."]
            return
        self.result = [*self._scan.summary(self._done, would=False), *self._scan.warnings]
        if self._stop.is_set():
            self.result.append(f"Stopped. {_REMAINING} Redrive again to continue.")

    def _redrive(self, dead_letters: Iterable[Match], known: Directory) -> None:
        for _ in redrive.run(self._deployment.sqs, dead_letters, known, self._done, _RATE):
            pass
