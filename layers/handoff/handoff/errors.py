"""Errors that a consumer's work ends with. They live apart from `handoff.consumer`, whose import costs a cold start."""

from collections.abc import Callable


class PermanentError(Exception):
    """No retry can fix this. The text becomes the dead letter's reason, so it holds no personal data.

    ``after_dead_letter`` runs once the dead letter is sent. Until then the message has to fail again.
    """

    def __init__(self, reason: str, *, after_dead_letter: Callable[[], object] = lambda: None) -> None:
        super().__init__(reason)
        self.after_dead_letter = after_dead_letter


class NotYet(Exception):
    """What the event is about can't be read yet; a later try will find it."""
