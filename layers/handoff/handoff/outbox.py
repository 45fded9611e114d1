"""Publishing an aggregate's events from its outbox."""

from handoff.aggregate import A
from handoff.aws import LONGEST_CALL
from handoff.bus import LONGEST_PUBLISH, Bus
from handoff.clock import Deadline, from_iso, now_ms
from handoff.store import AggregateStore
from handoff.unfinished import SWEEP_AFTER, PendingWork


def announce(store: AggregateStore[A], bus: Bus, aggregate: A, deadline: Deadline) -> A:
    """Publish the event of the aggregate's last step, and remove it from the outbox, if there is time for both.

    Events of earlier steps go along, oldest first, once they are old enough for the sweeper; a younger one is left to
    the writer that is publishing it right now. What is not published here, the sweeper publishes. Returns the aggregate
    with the rest of its outbox.
    """
    sequences = _own_and_overdue(aggregate)
    if not sequences or deadline.remaining() < LONGEST_PUBLISH + LONGEST_CALL:
        return aggregate
    taken = bus.publish([aggregate.outbox[sequence] for sequence in sequences])
    published = [sequence for sequence, ok in zip(sequences, taken, strict=True) if ok]
    if not published or not store.unfinished.clear(aggregate.key, PendingWork.of(aggregate), published, deadline):
        return aggregate
    rest = {sequence: entry for sequence, entry in aggregate.outbox.items() if sequence not in published}
    return aggregate.model_copy(update={"outbox": rest})


def _own_and_overdue(aggregate: A) -> list[str]:
    steps = {str(entry.sequence): from_iso(entry.at) for entry in aggregate.history}
    overdue = now_ms() - SWEEP_AFTER
    return [
        sequence
        for sequence in sorted(aggregate.outbox, key=int)
        if int(sequence) == aggregate.sequence or steps.get(sequence, 0) <= overdue
    ]
