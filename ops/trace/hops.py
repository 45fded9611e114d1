"""The hops of an order: requests, waits in outbox and queues, consumers with their retries and redrives, and sweeps.

They come from the order's events and the functions' log lines, so functions need no tracing library.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ops.trace.log_lines import LogLine
from ops.trace.order_record import Event, OrderItem
from ops.trace.pending import DEAD_LETTERED, HANDLED, RETRIED, Delivery

_HANDED_BACK = "handed_back"
_ENDS = {*HANDLED, RETRIED, DEAD_LETTERED, _HANDED_BACK}  # outcomes that end one receive of a message
_PUBLISHED = "published"
_LONGEST_SWEEP = 60_000  # ms
_PUBLISHERS = {"fulfillment", "settlement"}  # consumers that change orders, and so publish events about them


class Kind(StrEnum):
    """Kinds of hops."""

    REQUEST = "request"
    WRITE = "write"  # a change of the order by a request that has left no log line, as after a crash
    SWEEP = "sweep"
    OUTBOX = "outbox"  # until the sweeper publishes the event
    QUEUE = "queue"
    RETRY = "retry"  # a wait after a failure
    REDRIVE = "redrive"  # a wait in the dead-letter queue, and in the queue after it
    CONSUMER = "consumer"


@dataclass(frozen=True)
class Hop:
    """One hop; times in epoch milliseconds, ``end`` is None while it lasts.

    ``what`` is a route or an event type, ``parent`` the position of the hop that caused it, ``depth`` how many hops
    led to it. ``trace_id`` is empty if the logs do not have it.
    """

    kind: Kind
    who: str
    what: str
    start: int
    end: int | None
    trace_id: str = ""
    event_id: str = ""
    outcome: str = ""
    trouble: bool = False
    parent: int | None = None
    depth: int = 0

    @property
    def ended(self) -> int:
        """When it ended; when it began if it is not over."""
        return self.start if self.end is None else self.end

    @property
    def is_wait(self) -> bool:
        """Whether no function works during it."""
        return self.kind in {Kind.OUTBOX, Kind.QUEUE, Kind.RETRY, Kind.REDRIVE}


def of_order(order: OrderItem, lines: Sequence[LogLine], waiting: Iterable[Delivery]) -> list[Hop]:
    """Return the hops of an order, each after the one that caused it; ``waiting`` are deliveries that are not over."""
    return _Tree(order, lines, waiting).hops()


class _Tree:
    """The hops while they are arranged: events below the work that published them, deliveries below their event."""

    def __init__(self, order: OrderItem, lines: Sequence[LogLine], waiting: Iterable[Delivery]) -> None:
        self._events = {event.event_id: event for event in order.events.values()}
        self._swept = {line.event_id: line for line in lines if line.who == "sweeper" and line.outcome == _PUBLISHED}
        self._waiting = {(delivery.event.event_id, delivery.consumer) for delivery in waiting}
        self._receives: dict[tuple[str, str], list[LogLine]] = defaultdict(list)
        for line in lines:
            if line.event_id and line.who != "sweeper" and line.outcome in _ENDS:
                self._receives[line.event_id, line.who].append(line)
        self._roots = [hop for line in lines for hop in _own_work(line)]
        self._causes = self._find_causes()
        self._found: list[Hop] = []

    def hops(self) -> list[Hop]:
        """Return all hops, depth first, the oldest first among those with the same cause."""
        roots: list[tuple[int, Hop | None, str]] = [(hop.start, hop, "") for hop in self._roots]
        for event in self._events.values():
            if event.event_id not in self._causes:
                written = Hop(Kind.WRITE, "order", event.type, event.at, event.at, event_id=event.event_id)
                roots.append((event.at, written, event.event_id))
        for event_id, who in self._receives:
            if event_id not in self._events:  # the provider's event
                roots.append((self._receives[event_id, who][0].at, None, event_id))
        for _, hop, event_id in sorted(roots, key=lambda root: root[0]):
            self._add_root(hop, event_id)
        return self._found

    def _add_root(self, hop: Hop | None, event_id: str) -> None:
        position = self._add(hop, None) if hop else None
        if event_id:
            self._add_event(event_id, position)

    def _add(self, hop: Hop, parent: int | None) -> int:
        """Append a hop and what it caused; return its position."""
        position = len(self._found)
        depth = 0 if parent is None else self._found[parent].depth + 1
        self._found.append(replace(hop, parent=parent, depth=depth))
        for event_id, cause in self._causes.items():
            if cause == hop:
                self._add_event(event_id, position)
        return position

    def _add_event(self, event_id: str, parent: int | None) -> None:
        event, swept = self._events.get(event_id), self._swept.get(event_id)
        published_at = event.at if event else None
        if event and (swept or not event.published):
            published_at = swept.at if swept else None
            outbox = Hop(Kind.OUTBOX, "outbox", event.type, event.at, published_at, _trace(swept), event_id)
            parent = self._add(outbox, parent)
        pairs = {pair for pair in (*self._receives, *self._waiting) if pair[0] == event_id}
        for pair in sorted(pairs, key=lambda pair: (self._receives[pair][0].at if self._receives[pair] else 0, pair)):
            self._add_delivery(pair, event, published_at, parent)

    def _add_delivery(self, pair: tuple[str, str], event: Event | None, since: int | None, parent: int | None) -> None:
        """Append the waits and receives of one event at one consumer; a wait that lasts has no end."""
        event_id, who = pair
        what = str(event.type) if event else event_id
        kind, before = Kind.QUEUE, parent
        for line in sorted(self._receives[pair], key=lambda line: line.at):
            done = _handled(line, what)
            if since is not None:
                before = self._add(Hop(kind, who, what, since, max(since, done.start), done.trace_id, event_id), before)
            before = self._add(done, before)
            kind, since = _AFTER.get(line.outcome, Kind.QUEUE), None if line.outcome in HANDLED else line.at
            before = before if since is not None else parent  # a duplicate is not caused by the first delivery
        if pair in self._waiting and since is not None:
            self._add(Hop(kind, who, what, since, None, event_id=event_id), before)

    def _find_causes(self) -> dict[str, Hop]:
        """Return for each event the work that caused it: the first to end of those that ran at its time."""
        work = list(self._roots)
        for (event_id, who), lines in self._receives.items():
            if who in _PUBLISHERS:
                event = self._events.get(event_id)
                work += [_handled(line, str(event.type) if event else event_id) for line in lines]
        causes = {}
        for event in self._events.values():
            ran = [hop for hop in work if _began(hop) <= event.at <= hop.ended and hop.event_id != event.event_id]
            if ran:
                causes[event.event_id] = min(ran, key=lambda hop: hop.ended)
        return causes


_AFTER: Mapping[str, Kind] = {RETRIED: Kind.RETRY, DEAD_LETTERED: Kind.REDRIVE}


def _began(hop: Hop) -> int:
    """Return when work began at the latest; lines of the sweeper do not say."""
    return hop.start - _LONGEST_SWEEP if hop.kind is Kind.SWEEP else hop.start


def _own_work(line: LogLine) -> Iterator[Hop]:
    """Yield the request that a line ends, or the sweeper's work on the order; not what it published."""
    if "route" in line.keys and "status" in line.keys:
        outcome = f"status {line.keys['status']}"
        if not line.is_read_request:
            yield Hop(Kind.REQUEST, line.who, line.route, line.start, line.at, _trace(line), "", outcome, line.trouble)
    elif line.who == "sweeper" and line.outcome and line.outcome != _PUBLISHED:
        outcome, trouble = line.outcome, line.trouble
        yield Hop(Kind.SWEEP, line.who, line.message, line.start, line.at, _trace(line), "", outcome, trouble)


def _handled(line: LogLine, what: str) -> Hop:
    outcome, trouble = line.outcome, line.trouble
    return Hop(Kind.CONSUMER, line.who, what, line.start, line.at, _trace(line), line.event_id, outcome, trouble)


def _trace(line: LogLine | None) -> str:
    return line.trace_id if line else ""
