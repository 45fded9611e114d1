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
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table


@contextmanager
def avoided() -> Iterator[None]:
    """Copy a table once per transaction instead of once per item of it, and parse each JSON path once."""
    transact = DynamoDBBackend.transact_write_items

    def transact_write_items(self: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        before: dict[str, Table] = {}

        def deepcopy(value: Any) -> Any:
            if not isinstance(value, Table):
                return copy.deepcopy(value)
            if value.name not in before:  # moto takes all its copies before the first change
                before[value.name] = copy.deepcopy(value)
            return before[value.name]

        with patch.object(moto.dynamodb.models, "copy", SimpleNamespace(deepcopy=deepcopy)):
            transact(self, transact_items)

    with ExitStack() as stack:
        stack.enter_context(patch.object(DynamoDBBackend, "transact_write_items", transact_write_items))
        stack.enter_context(patch.object(jsonpath_ng.ext, "parse", cache(parse)))
        yield
