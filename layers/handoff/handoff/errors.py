"""Errors of the core, apart from those that talking to AWS raises (`handoff.aws`) and a wrong environment.

Exception
├── PermanentError            no retry can help: the message becomes a dead letter
├── TransientError            a later try may succeed
│   ├── NotYet                the subject of the event is not visible yet
│   ├── RetryLater            the same, with a reason for the dead letter and perhaps a pause
│   └── TransactionConflict   other writers kept changing the same items
├── ConcurrentUpdate          the aggregate has changed since it was read
├── consumer.BatchFailed      all messages of a batch failed
├── aws.ConditionFailed       a conditional write was refused; it carries the current items
└── settings.MissingSetting   the environment lacks a variable
"""

from collections.abc import Callable
from typing import Any


class PermanentError(Exception):
    """No retry can help. The text becomes the dead letter's reason, so it holds no personal data.

    ``after_dead_letter`` runs once the dead letter is sent. Until then the message has to fail again.
    """

    def __init__(self, reason: str, *, after_dead_letter: Callable[[], object] = lambda: None) -> None:
        super().__init__(reason)
        self.after_dead_letter = after_dead_letter


class TransientError(Exception):
    """A later try may succeed: the consumer retries the message, the sweeper reschedules the aggregate."""


class NotYet(TransientError):
    """The subject of the event is missing, or older than the event. A later read will find it."""


class RetryLater(TransientError):
    """A later try may succeed. The text becomes the dead letter's reason, so it holds no personal data and no secrets.

    ``after`` is the pause in seconds that another system asked for, 0 if none did.
    """

    def __init__(self, reason: str, *, after: float = 0) -> None:
        super().__init__(reason)
        self.after = after


class TransactionConflict(TransientError):
    """Other writers kept changing the same items, or there was no time for a try. Nothing was changed; retry later."""


class ConcurrentUpdate(Exception):
    """The aggregate has changed since it was read. ``current`` is its present state, None if it does not exist."""

    def __init__(self, current: Any) -> None:  # of the store's own kind of aggregate
        super().__init__("the aggregate has changed since it was read")
        self.current = current
