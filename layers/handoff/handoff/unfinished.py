"""The sparse index ``unfinished``: finding aggregates with pending work, and removing work that is done.

The index is a hint for the sweeper. An item carries its keys while it has pending work (`handoff.aggregate`); the write
that finishes the last of it removes the keys too.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic.alias_generators import to_camel, to_snake

from handoff import aws
from handoff.aggregate import Aggregate
from handoff.attribute_values import from_item, to_item
from handoff.clock import Deadline
from handoff.errors import TransactionConflict
from handoff.model import Model
from handoff.telemetry import log_context, logger
from handoff.update import Attr, Update

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

    from handoff.conditions import Condition

INDEX = "unfinished"
SWEEP_AFTER = 60_000  # ms: until then, what a request leaves unpublished is its own to publish; then the sweeper's
INDEX_KEYS = ("unfinished", "dueAt", "unfinishedSince")

A = TypeVar("A", bound=Aggregate)
M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One entry of the index; times in epoch milliseconds."""

    key: str
    due_at: int
    unfinished_since: int


@dataclass(frozen=True, slots=True)
class PendingWork:
    """The pending work that was read, so that a write can require it to be unchanged.

    ``fields`` are the attributes present out of ``possible``, all by stored name.
    """

    events: frozenset[str]
    fields: frozenset[str]
    possible: tuple[str, ...]

    @classmethod
    def of_item(cls, item: Mapping[str, Any], model: type[Aggregate]) -> "PendingWork":
        """Return the pending work of an item as read from the table."""
        possible = _possible(model)
        return cls(frozenset(item.get("outbox", ())), frozenset(item.keys() & set(possible)), possible)

    @classmethod
    def of(cls, aggregate: Aggregate) -> "PendingWork":
        """Return the pending work of an aggregate."""
        return cls(frozenset(aggregate.outbox), aggregate.pending_fields, _possible(type(aggregate)))

    @property
    def unchanged(self) -> "list[Condition]":
        """The conditions under which it is still the same."""
        fields = [Attr(name).exists() if name in self.fields else Attr(name).not_exists() for name in self.possible]
        return [Attr("outbox").size().eq(len(self.events)), *fields]


def parse_or_log(model: type[M], item: Mapping[str, Any], key_name: str) -> M | None:
    """Return an item as a model, or None with a line in the log, so that one bad row cannot stop the others."""
    try:
        return model.model_validate(item)
    except ValidationError as error:
        # Not the error itself: it would show the fields' values.
        fields = [".".join(map(str, problem["loc"])) for problem in error.errors()]
        keys = {to_snake(key_name): item[key_name], "correlation_id": item.get("correlationId")}
        logger.error("item not readable", extra=keys, model=model.__name__, fields=fields)
        return None


class UnfinishedStore(Generic[A]):
    """The outbox and the index of one table of aggregates."""

    def __init__(self, client: "DynamoDBClient", table: str, model: type[A]) -> None:
        self._client = client
        self._table = table
        self._model = model
        self._key_name = to_camel(model.KEY)

    def log_keys(self, key: str) -> dict[str, str]:
        """Return the keys for log lines about an aggregate of which only the key is known."""
        return {self._model.KEY: key}

    def entries(self, shard: int) -> Iterator[list[IndexEntry]]:
        """Yield the entries of one shard, soonest due first, as many at a time as one BatchGetItem reads.

        A query's page holds thousands of entries; their items would not fit the memory.
        """
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=INDEX,
            KeyConditionExpression="unfinished = :shard",
            ExpressionAttributeValues=to_item({":shard": shard}),
        )
        for page in pages:
            items = [from_item(item) for item in page["Items"]]
            entries = [IndexEntry(item[self._key_name], item["dueAt"], item["unfinishedSince"]) for item in items]
            for start in range(0, len(entries), aws.KEYS_PER_READ):
                yield entries[start : start + aws.KEYS_PER_READ]

    def reschedule(self, key: str, due_at: int) -> None:
        """Set when the sweeper looks at the aggregate again (epoch milliseconds), if it still has pending work."""
        update = self._update(key).set("dueAt", due_at).when(Attr("unfinished").exists())
        self._write_if(update, key, "pending work finished meanwhile")

    def wait(self, key: str, until: int) -> None:
        """Let an aggregate with nothing in its outbox wait: the sweeper looks again then, and it has no age until then.

        ``until`` in epoch milliseconds.
        """
        update = self._update(key).set("dueAt", until).set("unfinishedSince", until)
        update.when(Attr("unfinished").exists(), Attr("outbox").not_exists() | Attr("outbox").size().eq(0))
        self._write_if(update, key, "changed by another writer")

    def remove_from_index(self, key: str) -> None:
        """Remove an aggregate from the index if it has no pending work."""
        update = self._update(key).remove(*INDEX_KEYS).when(*PendingWork.of_item({}, self._model).unchanged)
        for status in self._model.OPEN_STATUSES:
            update.when(Attr("status").not_exists() | Attr("status").ne(status))
        self._write_if(update, key, "pending work again")

    def clear(self, key: str, seen: PendingWork, published: Collection[str], deadline: Deadline) -> bool:
        """Remove published events from an aggregate's outbox, given the pending work that was last read.

        Best effort: a failure costs a duplicate event, never a lost one. Returns whether the events are removed.
        """
        for _ in aws.conflict_pauses(deadline):
            cleared = sorted(seen.events.intersection(published))
            if not cleared:
                return True
            try:
                self._client.update_item(**self._clearing(key, seen, cleared).members())
                return True
            except self._client.exceptions.ConditionalCheckFailedException as error:
                seen = PendingWork.of_item(aws.current_item(error), self._model)
            except aws.ERRORS as error:
                logger.warning("published events stay in the outbox", extra=self.log_keys(key), exc_info=error)
                return False
        return False

    def clear_together(self, cleared: Mapping[str, tuple[A, Collection[str]]], deadline: Deadline) -> set[str]:
        """Do `clear` for several aggregates, in one transaction if possible; returns the keys of those cleared.

        At most 100 of them, the limit of a DynamoDB transaction.
        """
        writes = [
            self._clearing(key, PendingWork.of(seen), sorted(published)).write()
            for key, (seen, published) in cleared.items()
        ]
        try:
            aws.write(self._client, writes, deadline)
            return set(cleared)
        except (aws.ConditionFailed, TransactionConflict, self._client.exceptions.TransactionCanceledException):
            # One of them has changed or cannot be written: that must not keep the others in the outbox.
            return {key for key, (seen, published) in cleared.items() if self._clear(key, seen, published, deadline)}
        except aws.ERRORS as error:
            logger.warning("published events stay in the outboxes", aggregates=len(cleared), exc_info=error)
            return set()

    def _clear(self, key: str, seen: A, published: Collection[str], deadline: Deadline) -> bool:
        with log_context(**seen.log_keys):
            return self.clear(key, PendingWork.of(seen), published, deadline)

    def _clearing(self, key: str, seen: PendingWork, cleared: list[str]) -> Update:
        """Remove these events if the pending work is as seen, and the index keys if nothing else is pending."""
        paths = [f"outbox.{sequence}" for sequence in cleared]
        update = self._update(key).remove(*paths).when(*(Attr(path).exists() for path in paths), *seen.unchanged)
        return update.remove(*INDEX_KEYS) if len(cleared) == len(seen.events) and not seen.fields else update

    def _update(self, key: str) -> Update:
        return Update(self._table, {self._key_name: key})

    def _write_if(self, update: Update, key: str, otherwise: str) -> None:
        try:
            self._client.update_item(**update.members())
        except self._client.exceptions.ConditionalCheckFailedException:
            logger.debug(otherwise, extra=self.log_keys(key))


def _possible(model: type[Aggregate]) -> tuple[str, ...]:
    return tuple(to_camel(name) for name in model.PENDING_FIELDS)
