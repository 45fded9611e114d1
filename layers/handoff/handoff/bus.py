"""The event bus: the only module that calls EventBridge."""

import random
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from handoff import aws
from handoff.clock import Deadline, Stopwatch
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
_ACCEPTED, _NO_ANSWER = "", "no answer"  # beside EventBridge's error codes
# Of a call, and of an entry. https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html
_THROTTLED = {"ThrottlingException", "ThrottledException", "TooManyRequestsException"}
_THROTTLE_PAUSE = 0.2  # seconds at most before the first retry; doubled with each


class Bus:
    """Publishes events with one try each. A failed event stays in its outbox, and the sweeper publishes it.

    The sweeper's threads share a bus. The worst that they cause is one call too many before a pause.
    """

    def __init__(self, client: "EventBridgeClient", name: str) -> None:
        self._client = client
        self._name = name
        self._failures = 0
        self._paused = Stopwatch()  # a pause ends on time if Lambda freezes the environment meanwhile

    def publish(self, entries: Sequence["OutboxEntry"], *, patience: float = 0.0) -> list[bool]:
        """Publish up to ten events; return for each whether the bus accepted it.

        This instance pauses for 30 s once the bus has refused all events of a call, or has not answered two calls in a
        row, so that a dead bus does not slow down every request. Throttled events are retried for ``patience`` seconds.
        """
        if self._paused.seconds() < _PAUSE_AFTER_FAILURE:
            return [False] * len(entries)
        deadline, pause = Deadline(patience), _THROTTLE_PAUSE
        codes = self._put(entries)
        while (throttled := [n for n, code in enumerate(codes) if code in _THROTTLED]) and deadline.remaining() > pause:
            time.sleep(random.uniform(pause / 2, pause))
            pause *= 2
            for n, code in zip(throttled, self._put([entries[n] for n in throttled]), strict=True):
                codes[n] = code
        self._note(codes)
        return [code == _ACCEPTED for code in codes]

    def _put(self, entries: Sequence["OutboxEntry"]) -> list[str]:
        """Call the bus once; return for each event the error code of the bus, `_ACCEPTED` or `_NO_ANSWER`."""
        try:
            response = self._client.put_events(Entries=[self._entry(entry) for entry in entries])
        except aws.ERRORS as error:
            logger.warning("events not published", reason=aws.failure_reason(error), exc_info=error)
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else _NO_ANSWER
            return [code] * len(entries)
        # HTTP 200 can hold failed entries: each one is checked.
        codes = [result.get("ErrorCode", _ACCEPTED) for result in response["Entries"]]
        if refused := sorted(set(codes) - {_ACCEPTED}):
            logger.warning("events refused by the bus", errors=refused)
        return codes

    def _note(self, codes: Sequence[str]) -> None:
        """Pause if the bus took nothing, unless it is the first time that it did not answer."""
        if _ACCEPTED in codes:
            self._failures = 0
            return
        self._failures += 1
        if _NO_ANSWER not in codes or self._failures >= _FAILURES_BEFORE_PAUSE:
            self._paused.restart()

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
