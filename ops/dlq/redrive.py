"""Redriving: what it would do, and doing it, no faster than asked."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ops.dlq.directory import Directory, Found
from ops.dlq.scan import Look, redrive

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient


@dataclass
class Left:
    """Letters of a consumer without a queue: how many, and the span of time in which their events were published."""

    count: int = 0
    first: int | None = None
    last: int | None = None

    def add(self, published_at: int | None) -> None:
        """Count one more; epoch milliseconds."""
        self.count += 1
        if published_at is not None:
            self.first = published_at if self.first is None else min(self.first, published_at)
            self.last = published_at if self.last is None else max(self.last, published_at)


@dataclass
class Outcome:
    """What was done, or would be: by consumer."""

    sent: Counter[str] = field(default_factory=Counter)
    left: dict[str, Left] = field(default_factory=dict)

    def leave(self, found: Found) -> None:
        """Count a letter that no queue takes."""
        letter = found.letter
        self.left.setdefault(found.consumer, Left()).add(letter.published_at or letter.happened_at)

    @property
    def is_empty(self) -> bool:
        """Whether there was no letter at all."""
        return not self.sent and not self.left


def plan(letters: Iterable[Found], known: Directory) -> Outcome:
    """What redriving these letters would do."""
    outcome = Outcome()
    for found in letters:
        if found.consumer in known.queues:
            outcome.sent[found.consumer] += 1
        else:
            outcome.leave(found)
    return outcome


def run(
    client: "SQSClient", letters: Iterable[Found], known: Directory, outcome: Outcome, rate: float
) -> Iterator[Found]:
    """Redrive these letters, at most ``rate`` a second; yields each one that is done, and counts it in ``outcome``."""
    next_at, look = 0.0, None
    for found in letters:
        queue_url = known.queues.get(found.consumer)
        if queue_url is None:
            outcome.leave(found)
            continue
        if found.look is not look:  # whatever dies again must be younger than all that was there
            look, next_at = found.look, max(next_at, time.monotonic() + Look.PRECISION)
        time.sleep(max(0.0, next_at - time.monotonic()))
        next_at = max(next_at, time.monotonic()) + 1 / rate
        redrive(client, found.letter, dead_letters_url=found.look.queue_url, queue_url=queue_url)
        found.look.gone(found.letter)
        outcome.sent[found.consumer] += 1
        yield found
