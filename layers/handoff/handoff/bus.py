"""The event bus: the only module that calls EventBridge."""

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import boto3

from handoff import aws
from handoff.telemetry import logger

if TYPE_CHECKING:
    from mypy_boto3_events.client import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

    from handoff.model import OutboxEntry

ENTRIES_PER_CALL = 10  # https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
LONGEST_PUBLISH = 1.0  # seconds, while a client waits: one try, 0.3 to connect and 0.7 to answer
LONGEST_PATIENT_PUBLISH = 5.0  # seconds, in the sweeper: one try, 1 to connect and 4 to answer
_PAUSE_AFTER_FAILURE = 30.0


class Bus:
    """Publishes events with one try each. A failed event stays in its outbox, and the sweeper publishes it."""

    def __init__(self, client: "EventBridgeClient", name: str) -> None:
        self._client = client
        self._name = name
        self._paused_until = 0.0

    def publish(self, entries: Sequence["OutboxEntry"]) -> list[bool]:
        """Publish up to ten events; return for each whether the bus accepted it.

        After a failure this instance pauses for 30 s, so that a dead bus does not slow down every request.
        """
        if time.monotonic() < self._paused_until:
            return [False] * len(entries)
        try:
            response = self._client.put_events(Entries=[self._entry(entry) for entry in entries])
        except aws.ERRORS as error:
            logger.warning("events not published", reason=aws.failure_reason(error), exc_info=error)
            self._pause()
            return [False] * len(entries)
        # HTTP 200 can hold failed entries: each one is checked.
        taken = ["ErrorCode" not in result for result in response["Entries"]]
        if not all(taken):
            codes = sorted({result["ErrorCode"] for result in response["Entries"] if "ErrorCode" in result})
            logger.warning("events refused by the bus", errors=codes)
            if not any(taken):
                self._pause()
        return taken

    def _pause(self) -> None:
        self._paused_until = time.monotonic() + _PAUSE_AFTER_FAILURE

    def _entry(self, entry: "OutboxEntry") -> "PutEventsRequestEntryTypeDef":
        put: PutEventsRequestEntryTypeDef = {
            "EventBusName": self._name,
            "Source": entry.source,
            "DetailType": entry.detail_type,
            "Detail": entry.detail,
        }
        trace = os.environ.get("_X_AMZN_TRACE_ID")
        if trace:
            put["TraceHeader"] = trace
        return put


def connect(name: str) -> Bus:
    """Return the deployment's bus with short timeouts, for functions that a client waits for."""
    return _connect(name, connect_timeout=0.3, read_timeout=0.7)


def connect_patiently(name: str) -> Bus:
    """Return the bus with longer timeouts, so that events accepted by a slow bus are not published again."""
    return _connect(name, connect_timeout=1.0, read_timeout=4.0)


def _connect(name: str, connect_timeout: float, read_timeout: float) -> Bus:
    config = aws.config(connect_timeout=connect_timeout, read_timeout=read_timeout, tries=1)
    return Bus(boto3.client("events", config=config), name)
