"""One table of aggregates: consistent reads, and the conditional write of a transition."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic

from pydantic.alias_generators import to_camel

from handoff import aws, ids
from handoff.aggregate import A, Aggregate, Transition
from handoff.attribute_values import from_item, to_item
from handoff.errors import ConcurrentUpdate, TransactionConflict
from handoff.unfinished import INDEX_KEYS, SWEEP_AFTER, PendingWork, UnfinishedStore, parse_or_log
from handoff.update import Attr, Update

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

    from handoff.clock import Deadline
    from handoff.conditions import Condition

LONGEST_CALL = aws.LONGEST_CALL  # seconds that one try of a read or a write takes at most
_TRIES = 4  # of one transition, while only its outbox keeps changing


class AggregateStore(Generic[A]):
    """Reads and writes the aggregates of one table, which has the index ``unfinished``.

    ``shards`` is the number of partitions of that index.
    """

    def __init__(self, client: "DynamoDBClient", table: str, model: type[A], shards: int) -> None:
        self._client = client
        self._table = table
        self._model = model
        self._shards = shards
        self._key_name = to_camel(model.KEY)
        self.unfinished = UnfinishedStore(client, table, model)

    def get(self, key: str) -> A | None:
        """Return the aggregate as it is now (a consistent read), or None."""
        return self._aggregate(self.item(key))

    def item(self, key: str) -> dict[str, Any]:
        """Return the item as it is stored now, with all of its attributes; empty if there is none."""
        response = self._client.get_item(TableName=self._table, Key=to_item({self._key_name: key}), ConsistentRead=True)
        return from_item(response.get("Item", {}))

    def items(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the items as they are stored now, by key, without those that are missing."""
        return aws.batch_get(self._client, self._table, self._key_name, keys)

    def get_many(self, keys: Iterable[str]) -> dict[str, A]:
        """Return the aggregates as they are now, by key, without those that are missing or not readable."""
        return self.look_up(keys)[0]

    def look_up(self, keys: Iterable[str]) -> tuple[dict[str, A], set[str]]:
        """Return the aggregates as they are now, by key, and the keys of the items that are not readable."""
        return self.among(aws.read_together(self._client, self.wanted(keys)))

    def wanted(self, keys: Iterable[str]) -> dict[str, list[dict[str, str]]]:
        """Return keys by table, for `aws.read_together` with items of other tables. Then `among` has the aggregates."""
        return {self._table: [{self._key_name: key} for key in dict.fromkeys(keys)]}

    def among(self, items: Mapping[str, Iterable[Mapping[str, Any]]]) -> tuple[dict[str, A], set[str]]:
        """Return the aggregates among items that were read by table, as `look_up` does."""
        own = {item[self._key_name]: item for item in items[self._table]}
        found = {key: read for key, item in own.items() if (read := parse_or_log(self._model, item, self._key_name))}
        return found, own.keys() - found.keys()

    def write(self, step: Transition[A], deadline: "Deadline", others: "Sequence[TransactWriteItemTypeDef]" = ()) -> A:
        """Write a transition and ``others``, all or nothing, if the aggregate is as it was read; return it after.

        The event, if there is one, goes into the outbox in the same write.

        Raises
        ------
        ConcurrentUpdate
            If the aggregate has changed since it was read.
        aws.ConditionFailed
            If only conditions of ``others`` failed; the position of the first of them is 1.
        TransactionConflict
            If other writers kept changing the same items, or no time is left.
        """
        seen = step.before
        for _ in range(_TRIES):
            try:
                aws.write(self._client, [self._update(step, seen).write(), *others], deadline)
                return step.after
            except aws.ConditionFailed as failed:
                if 0 not in failed.images:
                    raise
                current = self._aggregate(failed.images[0])
                # Our transition in the history: an earlier try of this write succeeded, and its answer was lost.
                if current and current.took(step.id):
                    return current
                if current is None or not self._same_version(current, seen):
                    raise ConcurrentUpdate(current) from failed
                seen = current  # events were published and removed meanwhile, nothing else
        raise TransactionConflict("the outbox kept changing; nothing was written")

    def versioned(self, seen: A) -> Update:
        """Return an update of the aggregate on the condition that it is still the version that was read."""
        return Update(self._table, {self._key_name: seen.key}).when(*self._unchanged(seen))

    def shard(self, key: str) -> int:
        """Return the partition of the index that an aggregate belongs to."""
        return ids.shard(key, self._shards)

    def _aggregate(self, item: Mapping[str, Any] | None) -> A | None:
        return self._model.model_validate(item) if item else None

    def _unchanged(self, seen: A) -> "list[Condition]":
        sequence: Condition = Attr("sequence").eq(seen.sequence)
        if not seen.history:  # never written by us: the item may not exist
            sequence = sequence | Attr("sequence").not_exists()
        return [sequence, *(Attr(to_camel(name)).eq(getattr(seen, name)) for name in self._model.VERSION_FIELDS)]

    def _same_version(self, current: A, seen: A) -> bool:
        names = ("sequence", *self._model.VERSION_FIELDS)
        return all(getattr(current, name) == getattr(seen, name) for name in names)

    def _update(self, step: Transition[A], seen: A) -> Update:
        """Return the update that writes a step; ``seen`` is the same version, with the outbox as last read."""
        update = self.versioned(step.before)
        _set_changes(update, step)
        after = step.after
        adds_work = step.event or not after.pending_fields <= seen.pending_fields
        if seen.outbox and not adds_work:
            # Its events may be removed meanwhile, and the write that finishes the last work removes the index keys.
            update.when(*PendingWork.of(seen).unchanged)
        if not (step.event or seen.outbox or after.pending_fields or after.is_open):
            return update.remove(*INDEX_KEYS)
        if step.before.is_open:  # it has its keys already: one index write less for every new order
            return update if after.unfinished_since == step.before.unfinished_since else _rekeyed(update, step)
        if seen.pending_fields and _is_due_soon(seen, step.at):  # it has its keys already, and keeps them
            return update.when(Attr("dueAt").eq(seen.due_at))
        update.set("unfinished", self.shard(after.key)).set("dueAt", step.at + SWEEP_AFTER)
        return update.set_default("unfinishedSince", step.at)


def _is_due_soon(seen: Aggregate, now: int) -> bool:
    """Return whether the sweeper looks at it soon enough for a new event, and not while its writer publishes it."""
    return seen.due_at is not None and now + SWEEP_AFTER // 2 <= seen.due_at <= now + SWEEP_AFTER


def _rekeyed(update: Update, step: Transition[Any]) -> Update:
    """Set the index keys for a transition from an open status that begins or ends a wait."""
    chosen = step.after.due_at != step.before.due_at
    update.set("dueAt", step.after.due_at if chosen else step.at + SWEEP_AFTER)
    return update.set("unfinishedSince", step.after.unfinished_since)


def _set_changes(update: Update, step: Transition[A]) -> None:
    """Set and remove the attributes that the step changes.

    Maps change key by key, because published events are removed from them without a new sequence number.
    """
    before, after = step.before.dump(), step.after.dump()
    stored = {to_camel(name) for name in step.before.model_fields_set} if step.before.history else set()
    maps = {to_camel(name) for name in step.before.MAP_FIELDS}
    for name in sorted((before.keys() | after.keys()) - set(INDEX_KEYS) - {to_camel(step.before.KEY)}):
        old, new = before.get(name), after.get(name)
        if new is None:
            update.remove(name)
        elif name not in stored:
            update.set(name, new)
        elif name in maps:
            _set_entries(update, name, old or {}, new)
        elif isinstance(old, list) and isinstance(new, list) and new[:-1] == old:
            update.append(name, new[-1:])
        elif old != new:
            update.set(name, new)


def _set_entries(update: Update, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    for key in sorted(old.keys() | new.keys()):
        if key not in new:
            update.remove(f"{name}.{key}")
        elif old.get(key) != new[key]:
            update.set(f"{name}.{key}", new[key])
