"""Lean clients, with only a part of botocore's data. The layer's build writes it (layers/handoff/prune_botocore.py).

At each cold start botocore parses 1.3 MB of endpoints and the models of the services, and searches the folders of its
400 services. A client of a service in the part reads the part instead. A service that is not in it has a usual client,
as all have outside of Lambda, where there is no part. An operation, paginator or waiter that is not in it comes from a
usual client as well, made at its first use. Set BOTOCORE_DATA to ``full`` in a function's environment to have usual
clients only.
"""

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import botocore
from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import Session

from handoff.connections import survive_freezes
from handoff.sdk_parser import ParserFactory

FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "botocore_data")  # /opt/botocore_data

# What each call would repeat, with a fifth of its processor time: check its parameters, which AWS does as well, and
# describe the machine. Usual clients, which the tests have, check them.
_LEAN = Config(parameter_validation=False, user_agent=f"Handoff Botocore/{botocore.__version__}")


class _PrunedLoader(Loader):
    """Reads files of the part first, and all others from the runtime's data."""

    def __init__(self, folder: str, services: frozenset[str]) -> None:
        super().__init__(extra_search_paths=[folder])
        self._services = sorted(services)

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002  # the part is read for every type
        """Return the services of the part, without a search in the folders of all services."""
        return self._services

    def is_builtin_path(self, path: str) -> bool:  # noqa: ARG002  # of the endpoints
        """Return True, because the part's endpoints are botocore's own. Others would override its rules."""
        return True


@cache
def _services(folder: str) -> frozenset[str]:
    if os.environ.get("BOTOCORE_DATA") == "full" or not os.path.isdir(folder):
        return frozenset()
    return frozenset(entry.name for entry in os.scandir(folder) if entry.is_dir())


def new_session() -> Session:
    """Return a session of botocore. Not of boto3: importing boto3 takes a sixth of a cold start."""
    made = Session()
    made.register_component("response_parser_factory", ParserFactory())
    return made


@cache
def session() -> Session:
    """Return the session of usual clients."""
    return new_session()


@cache
def _pruned_session(folder: str) -> Session:
    made = new_session()
    made.register_component("data_loader", _PrunedLoader(folder, _services(folder)))
    return made


def client(service: str, config: Config) -> Any:
    """Return a client of an AWS service that survives freezes; see `handoff.connections`."""
    full = cache(lambda: _full_client(service, config))
    return _pruned_client(service, config, full) if service in _services(FOLDER) else full()


def _full_client(service: str, config: Config) -> Any:
    made: Any = session().create_client(service, config=config)
    survive_freezes(made)
    return made


def _pruned_client(service: str, config: Config, full: Callable[[], Any]) -> Any:
    """Return a client with the part's data. Whatever it lacks is that of the ``full`` one."""
    made: Any = _pruned_session(FOLDER).create_client(service, config=config.merge(_LEAN))
    survive_freezes(made)
    own_paginator, can_paginate = made.get_paginator, made.can_paginate

    def missing(event_name: str, **_: object) -> Any:
        name = event_name.rpartition(".")[2]
        return None if name.startswith("_") else getattr(full(), name, None)

    made.meta.events.register("getattr", missing)
    made.get_paginator = lambda name: (own_paginator if hasattr(type(made), name) else full().get_paginator)(name)
    made.can_paginate = lambda name: (can_paginate if hasattr(type(made), name) else full().can_paginate)(name)
    made.get_waiter = lambda name: full().get_waiter(name)
    return made
