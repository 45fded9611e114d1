"""AWS clients of simulated functions, made once: making them in each cold start took a quarter of the tests' time."""

import os
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from botocore.config import Config
from botocore.retries import quota

from handoff import aws, connections

_make = aws.client
_ALL = 1_000_000  # more than a retry quota holds
_kept: dict[Hashable, "_Kept"] = {}


@contextmanager
def kept() -> Iterator[None]:
    """Give code in this context, a cold start, the clients of its function's last cold start, as if they were new."""
    made: Counter[Hashable] = Counter()

    def client(service: str, *, config: Config | None = None) -> Any:
        settings = vars(config).items() if config else ()
        environment = ((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
        key = (service, repr(sorted(settings)), *sorted(environment))
        made[key] += 1
        if (key, made[key]) not in _kept:
            _kept[key, made[key]] = _new(service, config)
        return _kept[key, made[key]].as_new()

    with patch.object(aws, "client", client):
        yield


@dataclass(frozen=True)
class _Kept:
    """A client, with the parts that remember earlier requests."""

    client: Any
    quotas: list[quota.RetryQuota]
    connections: list[Any]

    def as_new(self) -> Any:
        """Return the client without the memory of earlier requests."""
        for each in self.quotas:
            each.release(_ALL)
        for connection in self.connections:
            connection.__init__(self.client)
        return self.client


def _new(service: str, config: Config | None) -> _Kept:
    quotas: list[quota.RetryQuota] = []
    states: list[Any] = []

    def noted(kind: Any, found: list[Any]) -> Any:
        def make(*arguments: Any) -> Any:
            found.append(kind(*arguments))
            return found[-1]

        return make

    with (
        patch.object(quota, "RetryQuota", noted(quota.RetryQuota, quotas)),
        patch.object(connections, "_Connection", noted(connections._Connection, states)),
    ):
        return _Kept(_make(service, config=config), quotas, states)  # type: ignore[call-overload]
