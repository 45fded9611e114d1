"""Plan a redrive, and run it at a limited rate."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ops.dlq.directory import Directory, Match
from ops.dlq.scan import QueueScan, redrive

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient


@dataclass
class Undeliverable:
    """Dead letters of a consumer without a queue: how many, and when the first and last were published (epoch ms)."""

    count: int = 0
    first: int | None = None
    last: int | None = None

    def add(self, published_at: int | None) -> None:
        """Count one more."""
        self.count += 1
        if published_at is not None:
            self.first = published_at if self.first is None else min(self.first, published_at)
            self.last = published_at if self.last is None else max(self.last, published_at)


@dataclass
class Outcome:
    """The result of a redrive, planned or done, by consumer."""

    sent: Counter[str] = field(default_factory=Counter)
    undeliverable: dict[str, Undeliverable] = field(default_factory=dict)

    def skip(self, match: Match) -> None:
        """Count a dead letter whose consumer has no queue."""
        dead_letter = match.dead_letter
        skipped = self.undeliverable.setdefault(match.consumer, Undeliverable())
        skipped.add(dead_letter.published_at or dead_letter.happened_at)

    @property
    def is_empty(self) -> bool:
        """Whether there was no dead letter at all."""
        return not self.sent and not self.undeliverable


def plan(matches: Iterable[Match], known: Directory) -> Outcome:
    """Return what redriving these dead letters would do."""
    outcome = Outcome()
    for match in matches:
        if match.consumer in known.queues:
            outcome.sent[match.consumer] += 1
        else:
            outcome.skip(match)
    return outcome


def run(
    client: "SQSClient", matches: Iterable[Match], known: Directory, outcome: Outcome, rate: float
) -> Iterator[Match]:
    """Redrive dead letters, at most ``rate`` a second; yield each one sent, and count it in ``outcome``."""
    next_at, scan = 0.0, None
    for match in matches:
        queue_url = known.queues.get(match.consumer)
        if queue_url is None:
            outcome.skip(match)
            continue
        if match.scan is not scan:  # a message that fails again must be younger than all that the scan found
            scan, next_at = match.scan, max(next_at, time.monotonic() + QueueScan.PRECISION)
        time.sleep(max(0.0, next_at - time.monotonic()))
        next_at = max(next_at, time.monotonic()) + 1 / rate
        redrive(client, match.dead_letter, dead_letters_url=match.scan.queue_url, queue_url=queue_url)
        match.scan.forget(match.dead_letter)
        outcome.sent[match.consumer] += 1
        yield match
