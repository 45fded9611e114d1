"""The event bus: the only module that calls EventBridge."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from handoff import aws
from handoff.clock import Stopwatch
from handoff.telemetry import logger

if TYPE_CHECKING:
    from mypy_boto3_events.client import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

    from handoff.model import OutboxEntry

ENTRIES_PER_CALL = 10  # https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
# Seconds that publishing takes at most: one try, and before it up to `connections.RESET_WITHIN` for a dead connection.
LONGEST_PUBLISH = 1.2  # while a client waits: 0.3 to connect and 0.7 to answer
LONGEST_PATIENT_PUBLISH = 5.2  # in the sweeper: 1 to connect and 4 to answer
_PAUSE_AFTER_FAILURE = 30.0
_FAILURES_BEFORE_PAUSE = 2  # in a row: a single slow or lost call is no outage


class Bus:
    """Publishes events with one try each. A failed event stays in its outbox, and the sweeper publishes it."""

    def __init__(self, client: "EventBridgeClient", name: str) -> None:
        self._client = client
        self._name = name
        self._failures = 0
        self._paused = Stopwatch()  # a pause ends on time if Lambda freezes the environment meanwhile

    def publish(self, entries: Sequence["OutboxEntry"]) -> list[bool]:
        """Publish up to ten events; return for each whether the bus accepted it.

        This instance pauses for 30 s once the bus has refused all events of a call, or has not answered two calls in a
        row, so that a dead bus does not slow down every request.
        """
        if self._paused.seconds() < _PAUSE_AFTER_FAILURE:
            return [False] * len(entries)
        try:
            response = self._client.put_events(Entries=[self._entry(entry) for entry in entries])
        except aws.ERRORS as error:
            logger.warning("events not published", reason=aws.failure_reason(error), exc_info=error)
            self._failures += 1
            if isinstance(error, ClientError) or self._failures >= _FAILURES_BEFORE_PAUSE:
                self._paused.restart()
            return [False] * len(entries)
        self._failures = 0
        # HTTP 200 can hold failed entries: each one is checked.
        taken = ["ErrorCode" not in result for result in response["Entries"]]
        if not all(taken):
            codes = sorted({result["ErrorCode"] for result in response["Entries"] if "ErrorCode" in result})
            logger.warning("events refused by the bus", errors=codes)
            if not any(taken):
                self._paused.restart()
        return taken

    def _entry(self, entry: "OutboxEntry") -> "PutEventsRequestEntryTypeDef":
        put: PutEventsRequestEntryTypeDef = {
            "EventBusName": self._name,
            "Source": entry.source,
            "DetailType": entry.detail_type,
            "Detail": entry.detail,
        }
        if entry.trace:
            put["TraceHeader"] = entry.trace
        return put


def connect(name: str) -> Bus:
    """Return the deployment's bus with short timeouts, for functions that a client waits for."""
    return _connect(name, connect_timeout=0.3, read_timeout=0.7)


def connect_patiently(name: str) -> Bus:
    """Return the bus with longer timeouts, so that events accepted by a slow bus are not published again."""
    return _connect(name, connect_timeout=1.0, read_timeout=4.0)


def _connect(name: str, connect_timeout: float, read_timeout: float) -> Bus:
    config = aws.config(connect_timeout=connect_timeout, read_timeout=read_timeout, tries=1)
    return Bus(aws.client("events", config=config), name)
