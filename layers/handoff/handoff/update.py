"""A builder for DynamoDB's UpdateItem: what to set, add and remove, and under which condition.

    Update("rooms", {"roomId": "12"}).set("state", "taken").add("guests", 1).when(Attr("state").eq("free"))

Paths name nested attributes with dots (``outbox.3``). All conditions must hold.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Self, cast

from handoff.attribute_values import to_item
from handoff.conditions import Attr, Condition, placeholders

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef, UpdateTypeDef

__all__ = ["Attr", "Update", "check", "delete", "put", "put_if", "put_new"]


class Update:
    """One conditional update of one item; each method returns the builder."""

    def __init__(self, table: str, key: Mapping[str, Any]) -> None:
        self._table = table
        self._key = key
        self._clauses: dict[str, list[str]] = {"SET": [], "ADD": [], "REMOVE": []}
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}
        self._condition: Condition | None = None

    def set(self, path: str, value: object) -> Self:
        """Set an attribute."""
        return self._clause("SET", f"{self._name(path)} = {self._value(path, value)}")

    def set_default(self, path: str, value: object) -> Self:
        """Set an attribute unless the item has it."""
        name = self._name(path)
        return self._clause("SET", f"{name} = if_not_exists({name}, {self._value(path, value)})")

    def append(self, path: str, values: Sequence[object]) -> Self:
        """Append to a list attribute, which must exist."""
        name = self._name(path)
        return self._clause("SET", f"{name} = list_append({name}, {self._value(path, list(values))})")

    def add(self, path: str, value: int | AbstractSet[str]) -> Self:
        """Add to a top-level number or set of texts; a missing attribute counts as 0 or as empty."""
        return self._clause("ADD", f"{self._name(path)} {self._value(path, value)}")

    def increase(self, path: str, number: int) -> Self:
        """Add to a number, which must exist: a missing attribute fails the write."""
        name = self._name(path)
        return self._clause("SET", f"{name} = {name} + {self._value(path, number)}")

    def remove(self, *paths: str) -> Self:
        """Remove attributes; a missing one is ignored, but the map around a nested one must exist."""
        for path in paths:
            self._clause("REMOVE", self._name(path))
        return self

    def when(self, *conditions: Condition) -> Self:
        """Write only if these conditions hold too."""
        for condition in conditions:
            self._condition = condition if self._condition is None else self._condition & condition
        return self

    def members(self) -> "UpdateTypeDef":
        """The members of an UpdateItem request; a failed condition returns the current item.

        The same members are an Update of TransactWriteItems.
        """
        request: UpdateTypeDef = {
            "TableName": self._table,
            "Key": to_item(self._key),
            "UpdateExpression": " ".join(
                f"{verb} {', '.join(parts)}" for verb, parts in self._clauses.items() if parts
            ),
        }
        names, values = dict(self._names), dict(self._values)
        if self._condition is not None:
            request["ConditionExpression"], compared = self._condition.with_placeholders()
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
            names |= self._condition.names
            values |= compared
        if names:
            request["ExpressionAttributeNames"] = names
        if values:
            request["ExpressionAttributeValues"] = to_item(values)
        return request

    def write(self) -> "TransactWriteItemTypeDef":
        """The update as one item of a transaction."""
        return {"Update": self.members()}

    def _clause(self, verb: str, text: str) -> Self:
        self._clauses[verb].append(text)
        return self

    def _name(self, path: str) -> str:
        expression, names = placeholders(path)
        self._names |= names
        return expression

    def _value(self, path: str, value: object) -> str:
        placeholder = f":{path.replace('.', '_')}"
        self._values[placeholder] = value
        return placeholder


def put(table: str, item: Mapping[str, Any]) -> "TransactWriteItemTypeDef":
    """A put that replaces the item with the same key, as one item of a transaction."""
    return {"Put": {"TableName": table, "Item": to_item(item)}}


def put_if(table: str, item: Mapping[str, Any], condition: Condition) -> "TransactWriteItemTypeDef":
    """A put that replaces the item with the same key if it meets a condition."""
    return _conditional("Put", condition, TableName=table, Item=to_item(item))


def put_new(table: str, item: Mapping[str, Any], key: str) -> "TransactWriteItemTypeDef":
    """A put on the condition that no item has this key (``key``: the partition key's name).

    A failed condition returns the current item.
    """
    return {
        "Put": {
            "TableName": table,
            "Item": to_item(item),
            "ConditionExpression": "attribute_not_exists(#key)",
            "ExpressionAttributeNames": {"#key": key},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }


def delete(table: str, key: Mapping[str, Any], condition: Condition | None = None) -> "TransactWriteItemTypeDef":
    """A delete, as one item of a transaction; a missing item is ignored unless it has to meet a condition."""
    if condition is None:
        return {"Delete": {"TableName": table, "Key": to_item(key)}}
    return _conditional("Delete", condition, TableName=table, Key=to_item(key))


def check(table: str, key: Mapping[str, Any], condition: Condition) -> "TransactWriteItemTypeDef":
    """A condition on an item that the transaction does not change. If it fails, the current item is returned."""
    wanted = {"TableName": table, "Key": to_item(key), "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    return _conditional("ConditionCheck", condition, **wanted)


def _conditional(kind: str, condition: Condition, **members: Any) -> "TransactWriteItemTypeDef":
    """A write of this kind with a condition, as one item of a transaction."""
    members["ConditionExpression"], compared = condition.with_placeholders()
    members["ExpressionAttributeNames"] = condition.names
    if compared:  # DynamoDB rejects an empty map
        members["ExpressionAttributeValues"] = to_item(compared)
    return cast("TransactWriteItemTypeDef", {kind: members})
