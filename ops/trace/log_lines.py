"""What the functions have logged about one order, as Powertools' Logger writes it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handoff.clock import from_iso

if TYPE_CHECKING:
    from mypy_boto3_logs.client import CloudWatchLogsClient
    from mypy_boto3_logs.type_defs import FilteredLogEventTypeDef

    from ops.stack.deployment import Deployment

_LOGS = "Logs"
_API = "api"
_NOT_OF_A_FUNCTION = "ApiLogs"  # the gateway's own: it knows no order
_QUIET = {"DEBUG", "INFO"}
# What is shown of a line besides its message. By name, so that nothing gets shown because somebody logs it.
_BARE = ("outcome", "route", "reason", "problem")
_NAMED = ("status", "receives", "errors")


@dataclass(frozen=True, slots=True)
class Line:
    """One line; the time in epoch milliseconds, ``who`` as the consumers are called, or ``api`` or ``sweeper``."""

    at: int
    who: str
    message: str
    keys: Mapping[str, Any]

    @property
    def event_id(self) -> str:
        """The event that it is about; empty if it is about none."""
        return str(self.keys.get("event_id", ""))

    @property
    def correlation_id(self) -> str:
        """The correlation id of the request that it goes back to; empty if it does not say."""
        return str(self.keys.get("correlation_id", ""))

    @property
    def receives(self) -> int:
        """How often its message had been received by then; 0 if it does not say."""
        return int(self.keys.get("receives", 0))

    @property
    def trouble(self) -> bool:
        """Whether it tells of something that should not be."""
        status = self.keys.get("status")  # an answer's; elsewhere, an order's
        return self.keys["level"] not in _QUIET or (isinstance(status, int) and status >= 500)

    @property
    def is_look(self) -> bool:
        """Whether it tells of a request that only read the order, and got it."""
        return str(self.keys.get("route", "")).startswith("GET ") and not self.trouble

    @property
    def outcome(self) -> str:
        """How the work that it is about ended; empty if it does not say, as in older releases."""
        return str(self.keys.get("outcome", ""))

    @property
    def reason(self) -> str:
        """Why something went wrong or was left out; empty if it does not say."""
        return str(self.keys.get("reason", ""))

    @property
    def facts(self) -> list[str]:
        """What else it says."""
        bare = [str(self.keys[name]) for name in _BARE if name in self.keys]
        named = [f"{name} {self.keys[name]}" for name in _NAMED if name in self.keys]
        unexplained = [str(self.keys["exception_name"])] if "exception_name" in self.keys and not self.reason else []
        return [*bare, *named, *unexplained]


def groups(deployment: "Deployment") -> dict[str, str]:
    """The functions' log groups by who writes into them: the API, the sweeper, the consumers."""
    found = {
        logical_id.removesuffix(_LOGS).lower(): deployment.resource(logical_id)
        for logical_id in deployment.of_type("AWS::Logs::LogGroup")
        if logical_id.endswith(_LOGS) and logical_id != _NOT_OF_A_FUNCTION
    }
    first = {_API: found.pop("orders"), "sweeper": found.pop("sweeper")}
    return first | dict(sorted(found.items()))


def search(
    client: "CloudWatchLogsClient", groups: Mapping[str, str], order_id: str, *, start: int, end: int
) -> Iterator[Line]:
    """The lines that name an order, group by group; from ``start`` to ``end``, in epoch milliseconds."""
    for who, group in groups.items():
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=group, filterPattern=f'"{order_id}"', startTime=start, endTime=end
        )
        yield from _read(who, (event for page in pages for event in page["events"]))


def _read(who: str, events: "Iterable[FilteredLogEventTypeDef]") -> Iterator[Line]:
    """The Logger's lines, without what else a function prints: metrics, and what Lambda says by itself."""
    for event in events:
        text = event["message"]
        try:
            keys = json.loads(text[text.find("{") :])
        except ValueError:
            continue
        if isinstance(keys, dict) and "level" in keys and "message" in keys:
            yield Line(_time(keys, event["timestamp"]), who, str(keys["message"]), keys)


def _time(keys: Mapping[str, Any], logged_at: int) -> int:
    """When the line was written. CloudWatch's own time may be that of the end of an invocation."""
    try:
        return from_iso(str(keys["timestamp"]))
    except (KeyError, ValueError):
        return logged_at
