"""The sweep: finishing what crashes, a dead bus or a silent provider left pending.

The index is a hint, so each aggregate is read again before anything is done about it. Two sweeps at once do no harm:
each write requires what was read, and events may come twice. So the shards of the index are swept in several threads.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic

from handoff import aws, ids, tracing
from handoff.aggregate import A
from handoff.bus import ENTRIES_PER_CALL, Bus
from handoff.clock import Deadline, now_ms, to_iso
from handoff.errors import ConcurrentUpdate, TransientError
from handoff.store import AggregateStore
from handoff.telemetry import log_context, logger
from handoff.unfinished import IndexEntry

PUBLISHING_BUDGET = 40.0  # seconds a run and thread
FINISHING_BUDGET = 20.0  # seconds a run and thread, a separate budget, so that a dead provider does not hold up events
THROTTLE_PATIENCE = 3.0  # seconds for one call: threads together can exceed the quota of a small region
_SHORTEST_PAUSE = 60_000  # ms
# ms: it ends within a run, so the run after that retries, four minutes on. Alarms look at five minutes.
_LONGEST_PAUSE = 180_000
_WRITE_SECONDS = 10.0
CLEARED_TOGETHER = aws.ITEMS_PER_WRITE


@dataclass(frozen=True, slots=True)
class Swept(Generic[A]):
    """One table that the sweep looks after.

    ``finish`` does the pending work of an aggregate that is not about its outbox; None if there is no such work. It
    may raise a `TransientError`: the aggregate is rescheduled then. It runs in the thread of its sweep.
    """

    store: AggregateStore[A]
    finish: Callable[[A], None] | None = None


class Sweep:
    """One run, in one thread. ``oldest_age`` is in seconds, 0 if nothing is pending; the others count."""

    def __init__(self, tables: Sequence[Swept[Any]], bus: Bus) -> None:
        self._tables = tables
        self._bus = bus
        self._publishing = Budget(PUBLISHING_BUDGET)
        self._finishing = Budget(FINISHING_BUDGET)
        self._bus_works = True
        self.oldest_age = 0.0
        self.published = 0
        self.failed = 0

    def run(self, shards: Iterable[int]) -> None:
        """Finish the pending work that is due in these shards of the index.

        A shard that fails does not keep the next ones from being swept. The first error is raised at the end.
        """
        errors = []
        for shard in shards:
            try:
                for table in self._tables:
                    for entries in table.store.unfinished.entries(shard):
                        self._sweep(table, entries)
            except Exception as error:  # noqa: BLE001  # raised below
                logger.exception("shard not swept", shard=shard)
                errors.append(error)
        if errors:
            raise errors[0]

    def _sweep(self, table: Swept[A], entries: Sequence[IndexEntry]) -> None:
        now = now_ms()
        self.oldest_age = max([self.oldest_age, *((now - entry.unfinished_since) / 1000 for entry in entries)])
        if self._publishing.spent and (self._finishing.spent or table.finish is None):
            return
        self._process(table, {entry.key: entry for entry in entries if entry.due_at <= now})

    def _process(self, table: Swept[A], due: Mapping[str, IndexEntry]) -> None:
        """Do the work of these aggregates; one that cannot be processed is rescheduled, so that it stops no other."""
        try:
            self._publish_and_finish(table, due)
        except aws.ERRORS:
            raise
        except Exception as error:  # noqa: BLE001  # one item must not stop the others
            if len(due) > 1:
                for key, entry in due.items():
                    self._process(table, {key: entry})
                return
            ((key, entry),) = due.items()
            logger.error("item not swept", extra=table.store.unfinished.log_keys(key), exc_info=error)
            self._reschedule(table.store, key, entry.unfinished_since)

    def _publish_and_finish(self, table: Swept[A], due: Mapping[str, IndexEntry]) -> None:
        # Once the publishing budget is spent, aggregates are read for their other work, on that work's budget.
        with self._finishing if self._publishing.spent else self._publishing:
            found = table.store.get_many(due)
            self._publish(table.store, found)
            for unreadable in due.keys() - found.keys():
                self._reschedule(table.store, unreadable, due[unreadable].unfinished_since)
        with self._finishing:
            for aggregate in found.values():
                if not self._finishing.spent:
                    keys = {**aggregate.log_keys, **tracing.log_keys(aggregate.trace)}
                    with log_context(**keys), tracing.continuing(aggregate.trace):
                        self._finish(table, aggregate)

    def _publish(self, store: AggregateStore[A], aggregates: Mapping[str, A]) -> None:
        """Publish the outboxes, oldest event first, and remove what the bus accepted, many at a time."""
        waiting = [(key, sequence) for key, found in aggregates.items() for sequence in sorted(found.outbox, key=int)]
        for start in range(0, len(waiting), CLEARED_TOGETHER):
            published: dict[str, list[str]] = {}
            refused: list[str] = []
            for (key, sequence), taken in self._put_events(aggregates, waiting[start : start + CLEARED_TOGETHER]):
                if taken:
                    published.setdefault(key, []).append(sequence)
                    keys = {**aggregates[key].log_keys, "event_id": ids.event_id(key, int(sequence))}
                    keys |= tracing.log_keys(aggregates[key].outbox[sequence].trace)
                    logger.info("event published", extra=keys, outcome="published")
                else:
                    refused.append(key)
            cleared = self._clear(store, aggregates, published)
            for key in dict.fromkeys([*refused, *(key for key in published if key not in cleared)]):
                with log_context(**aggregates[key].log_keys):
                    self._reschedule(store, key, aggregates[key].unfinished_since)

    def _put_events(
        self, aggregates: Mapping[str, A], waiting: Sequence[tuple[str, str]]
    ) -> Iterator[tuple[tuple[str, str], bool]]:
        """Publish events, ten entries a call; yield each one that was sent, and whether the bus accepted it."""
        for start in range(0, len(waiting), ENTRIES_PER_CALL):
            if not self._bus_works or self._publishing.spent:
                return
            batch = waiting[start : start + ENTRIES_PER_CALL]
            entries = [aggregates[key].outbox[sequence] for key, sequence in batch]
            taken = self._bus.publish(entries, patience=THROTTLE_PATIENCE)
            self._bus_works = any(taken)
            yield from zip(batch, taken, strict=True)

    def _clear(
        self, store: AggregateStore[A], aggregates: Mapping[str, A], published: Mapping[str, list[str]]
    ) -> set[str]:
        self.published += sum(map(len, published.values()))
        cleared = {key: (aggregates[key], sequences) for key, sequences in published.items()}
        return store.unfinished.clear_together(cleared, Deadline(_WRITE_SECONDS)) if cleared else set()

    def _finish(self, table: Swept[A], aggregate: A) -> None:
        """Do the pending work that is left besides the outbox, or remove the aggregate from the index."""
        try:
            if table.finish and (aggregate.pending_fields or aggregate.is_open):
                table.finish(aggregate)
            elif not aggregate.outbox:
                table.store.unfinished.remove_from_index(aggregate.key)
        except ConcurrentUpdate:
            logger.info("changed by another writer", outcome="conflict")
        except (TransientError, aws.ConditionFailed, *aws.ERRORS) as error:
            logger.warning("pending work not finished", reason=aws.failure_reason(error), exc_info=error)
            self._reschedule(table.store, aggregate.key, aggregate.unfinished_since)

    def _reschedule(self, store: AggregateStore[A], key: str, unfinished_since: int | None) -> None:
        """Retry after as long as the work has been pending, within bounds; its age keeps counting."""
        self.failed += 1
        now = now_ms()
        pause = min(max(now - (unfinished_since or now), _SHORTEST_PAUSE), _LONGEST_PAUSE)
        try:
            store.unfinished.reschedule(key, now + pause)
            keys = {**store.unfinished.log_keys(key), "until": to_iso(now + pause)}
            logger.info("retry rescheduled", extra=keys, outcome="rescheduled")
        except aws.ERRORS as error:
            keys = {**store.unfinished.log_keys(key), "reason": aws.failure_reason(error)}
            logger.warning("retry not rescheduled; the next sweep tries again", extra=keys, exc_info=error)


def run_together(sweeps: Sequence[Sweep], shards: Iterable[int]) -> None:
    """Run each sweep in a thread of its own; one that is done with a shard takes the next.

    The first error is raised once all of them have ended. A single sweep runs in the thread of the caller.
    """
    waiting = deque(shards)
    if len(sweeps) == 1:
        sweeps[0].run(waiting)
        return
    with ThreadPoolExecutor(len(sweeps), thread_name_prefix="sweep") as threads:
        runs = [threads.submit(sweep.run, _taken(waiting)) for sweep in sweeps]
    for run in runs:
        run.result()


def _taken(waiting: deque[int]) -> Iterator[int]:
    """Take one shard after the other; `deque` lets several threads do that."""
    while True:
        try:
            shard = waiting.popleft()
        except IndexError:
            return
        yield shard


class Budget:
    """Time that a kind of work may take in one run: it counts while the budget is entered.

    A run is one invocation, so the monotonic clock is the right one: see `handoff.clock`.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._entered: float | None = None

    def __enter__(self) -> "Budget":
        self._entered = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._left = self._remaining()
        self._entered = None

    @property
    def spent(self) -> bool:
        """Whether no time is left."""
        return self._remaining() <= 0

    def _remaining(self) -> float:
        return self._left - (time.monotonic() - self._entered if self._entered is not None else 0)
