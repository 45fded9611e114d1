"""Aggregates that have something unfinished: finding them, and taking off what is done.

The sparse index ``unfinished`` is a hint for the sweeper. An item carries its keys while its outbox holds an event, a
payment is due or a reservation is open; whoever finishes the last of these removes the keys in the same write.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError
from pydantic.alias_generators import to_snake

from handoff import aws
from handoff.aggregate import Aggregate, Model
from handoff.clock import Deadline
from handoff.telemetry import logger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

INDEX = "unfinished"
SWEEP_AFTER = 60_000  # ms: when the sweeper first looks at what a request may have left behind
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
    """What of an aggregate was seen to be unfinished, so that a write can insist on it."""

    events: frozenset[str]
    more_work: frozenset[str]
    possible_work: tuple[str, ...]

    @classmethod
    def of_item(cls, item: Mapping[str, Any], model: type[Aggregate]) -> "PendingWork":
        """What an item as read from the table has unfinished."""
        possible = tuple(model.MORE_WORK.values())
        return cls(frozenset(item.get("outbox", ())), frozenset(item.keys() & set(possible)), possible)

    @classmethod
    def of(cls, aggregate: Aggregate) -> "PendingWork":
        """What an aggregate has unfinished."""
        return cls(frozenset(aggregate.outbox), aggregate.more_work, tuple(aggregate.MORE_WORK.values()))

    @property
    def condition(self) -> str:
        """Still so; ``:events`` is to hold the number of events."""
        more = [
            f"attribute_{'exists' if name in self.more_work else 'not_exists'}({name})" for name in self.possible_work
        ]
        return " AND ".join(["size(outbox) = :events", *more])


def parse_or_log(model: type[M], item: Mapping[str, Any], key_name: str) -> M | None:
    """An item as what it should be; None, and a line in the log, if it is none."""
    try:
        return model.model_validate(item)
    except ValidationError as error:
        # Not the error itself: it would show the fields' values.
        fields = [".".join(map(str, problem["loc"])) for problem in error.errors()]
        found_by = {to_snake(key_name): item[key_name], "correlation_id": item.get("correlationId")}
        logger.error("An item is not readable", extra=found_by, model=model.__name__, fields=fields)
        return None


class UnfinishedStore:
    """The outbox and the index of one table of aggregates."""

    def __init__(self, client: "DynamoDBClient", table: str, key_name: str, model: type[Aggregate]) -> None:
        self._client = client
        self._table = table
        self._key_name = key_name
        self._model = model

    def log_keys(self, key: str) -> dict[str, str]:
        """What finds an aggregate in the logs, as far as its key tells."""
        return {to_snake(self._key_name): key}

    def hints(self, shard: int) -> Iterator[list[IndexEntry]]:
        """The entries of one shard, soonest due first, as many at a time as one read takes.

        A page has thousands, and their items would not fit the memory.
        """
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=INDEX,
            KeyConditionExpression="unfinished = :shard",
            ExpressionAttributeValues=aws.to_item({":shard": shard}),
        )
        for page in pages:
            items = [aws.from_item(item) for item in page["Items"]]
            hints = [IndexEntry(item[self._key_name], item["dueAt"], item["unfinishedSince"]) for item in items]
            for start in range(0, len(hints), aws.KEYS_PER_READ):
                yield hints[start : start + aws.KEYS_PER_READ]

    def reschedule(self, key: str, due_at: int) -> None:
        """Have the sweeper look again at ``due_at`` (epoch milliseconds), if anything is unfinished by then."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=aws.to_item({self._key_name: key}),
                UpdateExpression="SET dueAt = :dueAt",
                ConditionExpression="attribute_exists(unfinished)",
                ExpressionAttributeValues=aws.to_item({":dueAt": due_at}),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            logger.debug("Finished meanwhile", extra=self.log_keys(key))

    def clear(self, key: str, seen: "PendingWork", published: Collection[str], deadline: Deadline) -> bool:
        """Take published events out of an aggregate's outbox, given what was last seen of it.

        Best effort: a failure costs a duplicate event, never a lost one. Returns whether the events are out.
        """
        for _ in aws.conflict_pauses(deadline):
            gone = sorted(seen.events.intersection(published))
            if not gone:
                return True
            try:
                self._client.update_item(**self._clearing(key, seen, gone))
                return True
            except self._client.exceptions.ConditionalCheckFailedException as error:
                seen = PendingWork.of_item(aws.current_item(error), self._model)
            except aws.ERRORS as error:
                logger.warning("Published events stay in the outbox", extra=self.log_keys(key), exc_info=error)
                return False
        return False

    def clear_together(self, cleared: Mapping[str, tuple[Aggregate, Collection[str]]], deadline: Deadline) -> set[str]:
        """`clear` for several aggregates, in one write if all of them can be written; returns those cleared.

        Up to 100 of them: what DynamoDB takes in a transaction.
        """
        writes: list[TransactWriteItemTypeDef] = []
        for key, (seen, published) in cleared.items():
            update: Any = self._clearing(key, PendingWork.of(seen), sorted(published))
            writes.append({"Update": update})
        try:
            aws.write(self._client, writes, deadline)
            return set(cleared)
        except (aws.ConditionFailed, aws.TransactionConflict, self._client.exceptions.TransactionCanceledException):
            # One of them has changed, or can't be written: not a reason to leave the others.
            return {key for key, (seen, published) in cleared.items() if self._clear(key, seen, published, deadline)}
        except aws.ERRORS as error:
            logger.warning("Published events stay in the outboxes", aggregates=len(cleared), exc_info=error)
            return set()

    def _clear(self, key: str, seen: Aggregate, published: Collection[str], deadline: Deadline) -> bool:
        with logger.append_context_keys(**seen.log_keys):
            return self.clear(key, PendingWork.of(seen), published, deadline)

    def _clearing(self, key: str, seen: "PendingWork", gone: list[str]) -> dict[str, Any]:
        """The write that takes these events out, if what is unfinished is what was seen.

        With nothing else left it removes the index keys too.
        """
        names = {f"#event{n}": sequence for n, sequence in enumerate(gone)}
        there = [f"attribute_exists(outbox.{name})" for name in names]
        removed = [f"outbox.{name}" for name in names]
        if len(gone) == len(seen.events) and not seen.more_work:
            removed += INDEX_KEYS
        return {
            "TableName": self._table,
            "Key": aws.to_item({self._key_name: key}),
            "UpdateExpression": "REMOVE " + ", ".join(removed),
            "ConditionExpression": " AND ".join([*there, seen.condition]),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": aws.to_item({":events": len(seen.events)}),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def remove_from_index(self, key: str) -> None:
        """Take an item out of the index if nothing of it is unfinished."""
        nothing = PendingWork(frozenset(), frozenset(), tuple(self._model.MORE_WORK.values()))
        condition = nothing.condition
        names: Any = {}
        values: dict[str, Any] = {":events": 0}
        if self._model.WHILE:
            condition += " AND (attribute_not_exists(#status) OR #status <> :while)"
            names, values = {"ExpressionAttributeNames": {"#status": "status"}}, values | {":while": self._model.WHILE}
        try:
            self._client.update_item(
                TableName=self._table,
                Key=aws.to_item({self._key_name: key}),
                UpdateExpression="REMOVE " + ", ".join(INDEX_KEYS),
                ConditionExpression=condition,
                ExpressionAttributeValues=aws.to_item(values),
                **names,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            logger.debug("Something is unfinished again", extra=self.log_keys(key))
