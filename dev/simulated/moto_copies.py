"""Work that moto 5 repeats for nothing, done once: its answers stay the same, the tests take less time."""

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import jsonpath_ng.ext
import moto.dynamodb.models
from jsonpath_ng.ext.parser import parse
from moto.core.serialize import ResponseSerializer
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table


@contextmanager
def avoided() -> Iterator[None]:
    """Copy only the items that a transaction changes, parse a JSON path once, read only the members an answer has."""
    transact = DynamoDBBackend.transact_write_items

    def transact_write_items(self: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        before: dict[str, Table] = {}

        def deepcopy(value: Any) -> Any:
            if not isinstance(value, Table):
                return copy.deepcopy(value)
            if value.name not in before:  # moto takes all its copies before the first change
                before[value.name] = _copy_for(value, transact_items)
            return before[value.name]

        with patch.object(moto.dynamodb.models, "copy", SimpleNamespace(deepcopy=deepcopy)):
            transact(self, transact_items)

    serialize = ResponseSerializer._serialize_type_structure

    def serialize_structure(self: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
        """Serialize a dictionary whose keys are the names of members: there are no aliases to search for."""
        if type(value) is not dict or not value.keys() <= shape.members.keys():
            serialize(self, serialized, value, shape, key)
            return
        wrapper = self.MAP_TYPE() if key else serialized
        for name in value if len(value) == 1 else shape.members:
            if value.get(name) is not None:
                member = shape.members[name]
                member.parent = shape
                self._serialize_structure_member(wrapper, value, member, name)
        if key:
            self._default_serialize(serialized, wrapper, shape, key)

    with ExitStack() as stack:
        stack.enter_context(patch.object(ResponseSerializer, "_serialize_type_structure", serialize_structure))
        stack.enter_context(patch.object(DynamoDBBackend, "transact_write_items", transact_write_items))
        stack.enter_context(patch.object(jsonpath_ng.ext, "parse", cache(parse)))
        yield


def _copy_for(table: Table, transact_items: list[dict[str, Any]]) -> Table:
    """Return the table as it is, for a rollback of this transaction; items that it does not change are shared."""
    copied = copy.copy(table)
    copied.items = copy.copy(table.items)
    for operation in (next(iter(item.values())) for item in transact_items):
        if operation.get("TableName") != table.name:
            continue
        key = operation.get("Key") or operation["Item"]
        hash_value = DynamoType(key[table.hash_key_attr])
        if table.range_key_attr is None:
            if hash_value in table.items:
                copied.items[hash_value] = copy.deepcopy(table.items[hash_value])
        elif hash_value in table.items:
            range_value = DynamoType(key[table.range_key_attr])
            if copied.items[hash_value] is table.items[hash_value]:
                copied.items[hash_value] = dict(table.items[hash_value])
            if range_value in table.items[hash_value]:
                copied.items[hash_value][range_value] = copy.deepcopy(table.items[hash_value][range_value])
    return copied
