"""Plan a redrive, and run it at a limited rate."""

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ops.dlq.directory import Directory, Match
from ops.dlq.scan import BATCH, QueueScan, Redriven, redrive

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

DEFAULT_RATE = 100.0  # dead letters a second
# Receiving ten messages, sending and deleting them are three calls. One thread receives, these do the other two.
_THREADS = 4
_MOST_RUNNING = 2 * _THREADS  # batches
_BATCH_BYTES = 250_000  # in a call. SQS allowed 256 KiB until 2025, and 1 MiB since then
_ENTRY_BYTES = 200  # of a trace header


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
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)  # by SQS, by consumer and reason
    undeleted: Counter[tuple[str, str]] = field(default_factory=Counter)  # sent, but still dead letters

    def skip(self, match: Match) -> None:
        """Count a dead letter whose consumer has no queue."""
        dead_letter = match.dead_letter
        skipped = self.undeliverable.setdefault(match.consumer, Undeliverable())
        skipped.add(dead_letter.published_at or dead_letter.happened_at)

    @property
    def is_empty(self) -> bool:
        """Whether there was no dead letter at all."""
        return not self.sent and not self.undeliverable and not self.refused


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
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="redrive") as threads:
        sender = _Sender(client, threads, outcome, rate)
        try:
            for match in matches:
                queue_url = known.queues.get(match.consumer)
                if queue_url is None:
                    outcome.skip(match)
                else:
                    sender.add(match, queue_url)
                yield from sender.taken()
            sender.finish(clean=True)
        except BaseException:
            sender.finish(clean=False)
            raise
        yield from sender.taken()


class _Sender:
    """Sends dead letters of one scan after the other in batches, each in a thread, at a limited rate.

    The scans and the outcome are touched only by the thread that calls the methods.
    """

    def __init__(self, client: "SQSClient", threads: ThreadPoolExecutor, outcome: Outcome, rate: float) -> None:
        self._client = client
        self._threads = threads
        self._outcome = outcome
        self._rate = rate
        self._size = min(BATCH, max(1, int(rate)))  # a batch is at most what one second allows
        self._next_at = 0.0
        self._scan: QueueScan | None = None
        self._waiting: dict[str, list[Match]] = {}  # by queue
        self._running: deque[tuple[list[Match], Future[Redriven]]] = deque()
        self._sent: list[Match] = []

    def add(self, match: Match, queue_url: str) -> None:
        """Send a dead letter, now or with later ones of its scan."""
        if match.scan is not self._scan:  # a message that fails again must be younger than all that the scan found
            self._scan, self._next_at = match.scan, max(self._next_at, time.monotonic() + QueueScan.PRECISION)
            match.scan.before_release = lambda clean: self.finish(clean=clean)
        batch = self._waiting.setdefault(queue_url, [])
        if sum(map(_size, batch)) + _size(match) > _BATCH_BYTES:
            self._send(queue_url)
            batch = self._waiting.setdefault(queue_url, [])
        batch.append(match)
        if len(batch) >= self._size:
            self._send(queue_url)

    def taken(self) -> Iterator[Match]:
        """Yield what was sent since the last call."""
        sent, self._sent = self._sent, []
        yield from sent

    def finish(self, *, clean: bool) -> bool:
        """Send the rest, unless something has failed, and wait for all batches; return whether there were any."""
        busy = bool(self._running or any(self._waiting.values()))
        if clean:
            for queue_url in list(self._waiting):
                self._send(queue_url)
        self._waiting.clear()
        if not clean:
            for _, running in self._running:
                running.cancel()
        while self._running:
            try:
                self._collect()
            except Exception:
                if clean:
                    raise  # otherwise an earlier error is on its way
        return busy

    def _send(self, queue_url: str) -> None:
        batch = self._waiting.pop(queue_url, [])
        if not batch:
            return
        while self._running and (len(self._running) >= _MOST_RUNNING or self._running[0][1].done()):
            self._collect()
        time.sleep(max(0.0, self._next_at - time.monotonic()))
        self._next_at = max(self._next_at, time.monotonic()) + len(batch) / self._rate
        letters = [match.dead_letter for match in batch]
        urls = {"dead_letters_url": batch[0].scan.queue_url, "queue_url": queue_url}
        self._running.append((batch, self._threads.submit(redrive, self._client, letters, **urls)))

    def _collect(self) -> None:
        """Wait for the oldest batch, and count what became of it."""
        wait([self._running[0][1]])  # an interruption here leaves the batch to the next call, which counts it
        batch, running = self._running.popleft()
        result = running.result()
        for n in result.sent:
            self._outcome.sent[batch[n].consumer] += 1
            self._sent.append(batch[n])
            if n not in result.undeleted:
                batch[n].scan.forget(batch[n].dead_letter)
        for n, reason in result.refused.items():
            self._outcome.refused[batch[n].consumer, reason] += 1
        for n, reason in result.undeleted.items():
            self._outcome.undeleted[batch[n].consumer, reason] += 1


def _size(match: Match) -> int:
    return len(match.dead_letter.message["Body"].encode()) + _ENTRY_BYTES
