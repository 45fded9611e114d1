"""From an aggregate's outbox to the bus."""

from handoff.aggregate import Aggregate
from handoff.aws import LONGEST_CALL
from handoff.bus import LONGEST_PUBLISH, Bus
from handoff.clock import Deadline
from handoff.unfinished import PendingWork, UnfinishedStore


def announce(store: UnfinishedStore, bus: Bus, key: str, aggregate: Aggregate, deadline: Deadline) -> None:
    """Publish an aggregate's events, oldest first, and take out what the bus took, if there is time for both.

    The sweeper does what is left.
    """
    sequences = sorted(aggregate.outbox, key=int)
    if not sequences or deadline.remaining() < LONGEST_PUBLISH + LONGEST_CALL:
        return
    taken = bus.publish([aggregate.outbox[sequence] for sequence in sequences])
    published = [sequence for sequence, ok in zip(sequences, taken, strict=True) if ok]
    if published:
        store.clear(key, PendingWork.of(aggregate), published, deadline)
