"""Aggregates: objects that change in numbered steps and publish events about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic.alias_generators import to_camel

from handoff import ids, tracing
from handoff.clock import from_iso, to_iso
from handoff.events import EventData, EventType
from handoff.model import HistoryEntry, Model, OutboxEntry

A = TypeVar("A", bound="Aggregate")


class Aggregate(Model):
    """An object that changes in numbered steps, stored as one item together with its unpublished events.

    While the item has pending work it carries the keys of the sparse index ``unfinished``: its shard, ``due_at`` (when
    the sweeper looks at it) and ``unfinished_since`` (its age counts from there), both in epoch milliseconds.
    Pending work is an event in the outbox, a value in one of ``PENDING_FIELDS``, or one of ``OPEN_STATUSES``.
    A transition from an open status keeps both times, unless it changes ``unfinished_since``: to the end of a wait for
    a person, in the future, so that the aggregate has no age until then; and back to the present when the wait ends.

    While something besides the outbox is pending, ``trace`` is the context of the trace that left it.

    A subclass names its key field, and says what else is pending work. ``VERSION_FIELDS`` change between transitions;
    a write requires that they, like the sequence, are as they were read.
    """

    KEY: ClassVar[str]
    STEP: ClassVar[type[HistoryEntry]] = HistoryEntry
    HISTORY_LIMIT: ClassVar[int] = 0  # newest steps kept; 0 keeps all
    MAP_FIELDS: ClassVar[tuple[str, ...]] = ("outbox",)  # written entry by entry, because entries go by themselves
    PENDING_FIELDS: ClassVar[tuple[str, ...]] = ()
    OPEN_STATUSES: ClassVar[tuple[str, ...]] = ()
    VERSION_FIELDS: ClassVar[tuple[str, ...]] = ()

    sequence: int = 0
    trace: str | None = None
    history: tuple[HistoryEntry, ...] = ()
    outbox: Mapping[str, OutboxEntry] = {}
    unfinished: int | None = None
    due_at: int | None = None
    unfinished_since: int | None = None

    @property
    def key(self) -> str:
        """The value of the table's partition key."""
        return str(getattr(self, self.KEY))

    @property
    def log_keys(self) -> dict[str, str]:
        """The keys that its log lines carry."""
        return {self.KEY: self.key}

    @property
    def pending_fields(self) -> frozenset[str]:
        """The attributes, by stored name, that are pending work besides the outbox."""
        return frozenset(to_camel(name) for name in self.PENDING_FIELDS if getattr(self, name) is not None)

    @property
    def is_open(self) -> bool:
        """Whether its status is pending work."""
        return getattr(self, "status", None) in self.OPEN_STATUSES

    def took(self, transition_id: str) -> bool:
        """Return whether this transition is in the history."""
        return any(entry.transition_id == transition_id for entry in self.history)

    def step(
        self,
        status: str,
        now: int,
        *,
        event: tuple[EventType, EventData] | None = None,
        correlation_id: str = "",
        changes: Mapping[str, Any] | None = None,
        **entry: Any,
    ) -> "Transition[Self]":
        """Return the transition to the next sequence number; ``now`` in epoch milliseconds.

        ``event`` goes into the outbox under that number, with ``correlation_id``. ``changes`` are the new values of
        other fields, ``entry`` further fields of the history entry.
        """
        sequence = self.sequence + 1
        transition_id = ids.unique_step()
        made = self.STEP(sequence=sequence, status=status, at=to_iso(now), transition_id=transition_id, **entry)
        history = (*self.history, made)[-self.HISTORY_LIMIT :]  # a limit of 0 keeps all
        update: dict[str, Any] = {"sequence": sequence, "history": history, **(changes or {})}
        if "status" in type(self).model_fields:
            update["status"] = status
        if event:
            event_type, data = event
            update["outbox"] = {
                **self.outbox,
                str(sequence): event_type.entry(
                    data, aggregate_id=self.key, sequence=sequence, at=now, correlation_id=correlation_id
                ),
            }
        after = self.model_copy(update=update)
        return Transition(transition_id, self, after.model_copy(update={"trace": self._trace_of(after)}))

    def _trace_of(self, after: Self) -> str | None:
        """Return the trace of the work that is pending after a step: the present one if the step added some."""
        if not (after.pending_fields or after.is_open):
            return None
        return self.trace if after.pending_fields <= self.pending_fields and self.trace else tracing.current()


@dataclass(frozen=True, slots=True)
class Transition(Generic[A]):
    """A decision: one step of an aggregate, before and after. `AggregateStore.write` writes it."""

    id: str
    before: A
    after: A

    @property
    def at(self) -> int:
        """The time of the step, in epoch milliseconds."""
        return from_iso(self.after.history[-1].at)

    @property
    def event(self) -> str | None:
        """The outbox key of the event that the step publishes, if it publishes one."""
        key = str(self.after.sequence)
        return key if key in self.after.outbox else None
