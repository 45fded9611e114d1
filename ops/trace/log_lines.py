"""The functions' log lines about one order, as Powertools' Logger writes them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handoff.clock import from_iso
from ops.stack.deployment import log_group

if TYPE_CHECKING:
    from mypy_boto3_logs.client import CloudWatchLogsClient
    from mypy_boto3_logs.type_defs import FilteredLogEventTypeDef

    from ops.stack.deployment import Deployment

_LOGS = "Logs"
_API = "api"
_GATEWAY_LOGS = "ApiLogs"  # access log of the HTTP API; it contains no order ids
_QUIET_LEVELS = {"DEBUG", "INFO"}
# The keys that are shown besides the message. An allow list, so that a new key is not shown by accident.
_PLAIN_KEYS = ("outcome", "route", "reason", "problem")
_NAMED_KEYS = ("status", "receives", "errors")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One log line; the time in epoch milliseconds, ``who`` is a consumer's name, ``api`` or ``sweeper``."""

    at: int
    who: str
    message: str
    keys: Mapping[str, Any]

    @property
    def event_id(self) -> str:
        """The id of the event it is about, or empty."""
        return str(self.keys.get("event_id", ""))

    @property
    def correlation_id(self) -> str:
        """The correlation id of the original request; empty if unknown."""
        return str(self.keys.get("correlation_id", ""))

    @property
    def receives(self) -> int:
        """How often the message had been received; 0 if unknown."""
        return int(self.keys.get("receives", 0))

    @property
    def retry_in(self) -> int:
        """The seconds until the next try; 0 if unknown, as in older releases."""
        return int(self.keys.get("retry_in", 0))

    @property
    def outcome(self) -> str:
        """The outcome of the work it is about; empty if unknown, as in older releases."""
        return str(self.keys.get("outcome", ""))

    @property
    def reason(self) -> str:
        """Why the work failed or was skipped; empty if unknown."""
        return str(self.keys.get("reason", ""))

    @property
    def start(self) -> int:
        """When the work began that the line ends, in epoch milliseconds. Older releases do not log it: its own time."""
        return self.at - int(self.keys.get("duration_ms", 0))

    @property
    def trace_id(self) -> str:
        """The trace of the message or request; empty if unknown."""
        return str(self.keys.get("trace_id") or self.keys.get("xray_trace_id") or "")

    @property
    def route(self) -> str:
        """The route of the request that it is about; empty for other lines."""
        return str(self.keys.get("route", ""))

    @property
    def trouble(self) -> bool:
        """Whether it reports a problem."""
        status = self.keys.get("status")  # of an HTTP response; other lines have an order's status
        return self.keys["level"] not in _QUIET_LEVELS or (isinstance(status, int) and status >= 500)

    @property
    def is_read_request(self) -> bool:
        """Whether it is about a request that only read the order, and succeeded."""
        return self.route.startswith("GET ") and not self.trouble

    @property
    def facts(self) -> list[str]:
        """The values of its other keys that are shown."""
        plain = [str(self.keys[name]) for name in _PLAIN_KEYS if name in self.keys]
        named = [f"{name} {self.keys[name]}" for name in _NAMED_KEYS if name in self.keys]
        unexplained = [str(self.keys["exception_name"])] if "exception_name" in self.keys and not self.reason else []
        return [*plain, *named, *unexplained]


def groups(deployment: "Deployment", consumers: Iterable[str]) -> dict[str, str]:
    """Return the functions' log groups by who writes to them: the API, the sweeper, all of these consumers."""
    found = {
        logical_id.removesuffix(_LOGS).lower(): deployment.resource(logical_id)
        for logical_id in deployment.of_type("AWS::Logs::LogGroup")
        if logical_id.endswith(_LOGS) and logical_id != _GATEWAY_LOGS
    }
    first = {_API: found.pop("orders"), "sweeper": found.pop("sweeper")}
    others = {consumer: log_group(deployment, consumer) for consumer in consumers if consumer not in found}
    found |= {consumer: group for consumer, group in others.items() if group}
    return first | dict(sorted(found.items()))


def search(
    client: "CloudWatchLogsClient", groups: Mapping[str, str], order_id: str, *, start: int, end: int
) -> Iterator[LogLine]:
    """Yield the lines that name an order, group by group, from ``start`` to ``end`` in epoch milliseconds."""
    for who, group in groups.items():
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=group, filterPattern=f'"{order_id}"', startTime=start, endTime=end
        )
        yield from _read(who, (event for page in pages for event in page["events"]))


def _read(who: str, events: "Iterable[FilteredLogEventTypeDef]") -> Iterator[LogLine]:
    """Yield the Logger's lines. Skip metrics, Lambda's own lines, and other output."""
    for event in events:
        text = event["message"]
        try:
            keys = json.loads(text[text.find("{") :])
        except ValueError:
            continue
        if isinstance(keys, dict) and "level" in keys and "message" in keys:
            yield LogLine(_time(keys, event["timestamp"]), who, str(keys["message"]), keys)


def _time(keys: Mapping[str, Any], logged_at: int) -> int:
    """Return when the line was written. CloudWatch's own time may be that of the invocation's end."""
    try:
        return from_iso(str(keys["timestamp"]))
    except (KeyError, ValueError):
        return logged_at
