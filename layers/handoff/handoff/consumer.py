"""The consumer of a queue: partial batch responses, backoff, dead letters and lag metrics around one handler.

Each message succeeds or fails alone (partial batch responses). Transient errors are retried with growing pauses.
Permanent errors, and failures on the last receive, go to the dead-letter queue with their reason. A dead letter without
a reason was moved by SQS, because the function crashed on every receive.

A function that its timeout stops has crashed, and work that it has not recorded is repeated. So a consumer that knows
how long a message takes at most hands the rest of a batch back before time runs out.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from handoff import aws, settings, tracing
from handoff.clock import now_ms
from handoff.errors import NotYet, PermanentError, RetryLater, TransientError
from handoff.telemetry import MetricUnit, flush_metrics, logger, metrics

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_sqs.client import SQSClient

# Seconds until the retry after the first, second, ... receive: six receives last over two hours. After a crash nothing
# sets this time, and the message returns after the queue's visibility timeout.
BACKOFF = (10, 300, 1800, 3600, 3600)
# Seconds that are left for the consumer's own calls when it begins a message: it may send a dead letter and delete the
# message, and then hands the others back.
RESERVE = 3 * aws.LONGEST_CALL
# Of one request. Source:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html
_ENTRIES = 10
# The longest pause in seconds that another system can ask for. SQS hides a message for at most 12 hours from its
# receive, which may be 15 minutes ago, Lambda's longest timeout. Five such pauses end within the queue's four days.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
LONGEST_PAUSE = 42_300


class Message(Protocol):
    """A message as the consumer needs it; times in epoch milliseconds."""

    @property
    def event_id(self) -> str:
        """The event's id."""
        ...

    @property
    def happened_at(self) -> int:
        """The time of the event."""
        ...

    @property
    def log_keys(self) -> Mapping[str, str]:
        """The keys that its log lines carry."""
        ...


M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Handled:
    """How an event was handled, for logs and metrics; the reason holds no personal data."""

    outcome: Literal["done", "repeated", "skipped"]
    reason: str | None = None


DONE = Handled("done")
REPEATED = Handled("repeated")
# The outcomes with a metric of their own; the lag metrics cover every handled event.
_COUNTED = {"repeated": "EventsRepeated", "skipped": "EventsSkipped"}


def skipped(reason: str) -> Handled:
    """Return the outcome of an event that needs no work, with the reason."""
    return Handled("skipped", reason)


class BatchFailed(Exception):
    """All messages of a batch failed. Lambda counts the invocation as an error and deletes none of them."""


class _OutOfTime(TransientError):
    """The message was not begun, because the function might have been stopped before its end."""

    def __init__(self) -> None:
        super().__init__("no batch had time for it; redrive it")


@dataclass(frozen=True, slots=True)
class _Record:
    """A message of a batch: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event."""

    message_id: str
    receipt_handle: str
    body: str
    receives: int
    trace: str | None


class Consumer(Generic[M]):
    """The consumer of one queue; ``run`` is the body of its Lambda handler.

    ``read`` parses a message's body, and raises `PermanentError` if it is not valid. ``longest`` are the seconds that
    a message takes at most: the rest of a batch is handed back once less time is left. Without it, the longest batch
    has to fit the function's timeout. The lag of an event counts from ``delay`` seconds after it happened: the time for
    which the queue delays each message.
    """

    def __init__(
        self,
        name: str,
        client: "SQSClient",
        *,
        read: Callable[[str], M],
        queue_url: str,
        dead_letter_url: str,
        max_receives: int,
        longest: float | None = None,
        delay: float = 0.0,
    ) -> None:
        self.name = name
        self._read = read
        self._client = client
        self._queue_url = queue_url
        self._dead_letter_url = dead_letter_url
        self._max_receives = max_receives
        self._longest = longest
        self._delay = round(delay * 1000)  # ms
        self._received_at = 0
        self._seconds_left: Callable[[], float] = lambda: inf
        self._has_begun = False
        self._began = 0.0
        self._unhandled: list[_Record] = []
        self._log_keys: list[str] = []

    def run(
        self,
        event: dict[str, Any],
        context: "LambdaContext",
        handle: Callable[[M], Handled | None],
        prepare_batch: Callable[[list[M]], None] | None = None,
    ) -> "PartialItemFailureResponse":
        """Handle each record of a batch; raise if all of them failed.

        ``handle`` returns the outcome, or None for `DONE`. ``prepare_batch`` gets all events of the batch first, for
        work that is cheaper together; ``handle`` then reports for each event whether that work succeeded.
        """
        records = _most_receives_first(event)
        metrics.set_default_dimensions(consumer=self.name)
        self._received_at = now_ms()
        self._seconds_left = lambda: context.get_remaining_time_in_millis() / 1000
        self._has_begun = False
        self._unhandled = []
        try:
            if prepare_batch:
                prepare_batch(self._readable(records))
            failed = [record for record in records if not self._process(record, handle)]
            if records and failed == records:
                raise BatchFailed(f"{len(failed)} of {len(records)} messages failed; their log lines have the reasons")
            return {"batchItemFailures": [{"itemIdentifier": record.message_id} for record in failed]}
        finally:
            logger.remove_keys(self._log_keys)
            self._hand_back()
            flush_metrics()

    def _process(self, record: _Record, handle: Callable[[M], Handled | None]) -> bool:
        """Handle a message; return whether it needs no other receive: it is handled, or in the dead-letter queue."""
        self._began = time.monotonic()
        try:
            with tracing.continuing(record.trace):
                self._handle(record, handle)
        except Exception as error:  # noqa: BLE001  # each message fails alone
            return self._failed(record, error)
        self._done(record)
        return True

    def _handle(self, record: _Record, handle: Callable[[M], Handled | None]) -> None:
        logger.remove_keys(self._log_keys)
        self._log_keys = []
        if self._longest is not None and self._has_begun and self._seconds_left() < self._longest + RESERVE:
            raise _OutOfTime()
        self._has_begun = True
        self._append_keys(tracing.log_keys(tracing.current()))
        message = self._read(record.body)
        self._append_keys(message.log_keys)
        metrics.add_metric("EventLagReceived", MetricUnit.Milliseconds, self._lag(message, self._received_at))
        handled = handle(message) or DONE
        metrics.add_metric("EventLagDone", MetricUnit.Milliseconds, self._lag(message, now_ms()))
        if handled.outcome in _COUNTED:
            metrics.add_metric(_COUNTED[handled.outcome], MetricUnit.Count, 1)
        logger.info("event handled", outcome=handled.outcome, reason=handled.reason, duration_ms=self._duration())

    def _duration(self) -> int:
        """Return the milliseconds since the message was begun."""
        return round(1000 * (time.monotonic() - self._began))

    def _append_keys(self, keys: Mapping[str, str]) -> None:
        self._log_keys += keys
        logger.append_keys(**keys)

    def _lag(self, message: M, now: int) -> int:
        """Return the milliseconds since a message was due."""
        return max(0, now - message.happened_at - self._delay)

    def _readable(self, records: Sequence[_Record]) -> list[M]:
        """Return the valid messages of a batch. `_handle` sends the others to the dead-letter queue."""
        messages = []
        for record in records:
            with suppress(PermanentError):
                messages.append(self._read(record.body))
        return messages

    def _done(self, record: _Record) -> None:
        """Delete a message that was retried at once, so that a crash later in the batch cannot bring it back."""
        if record.receives > 1:
            self._try_aws(
                lambda: self._client.delete_message(QueueUrl=self._queue_url, ReceiptHandle=record.receipt_handle)
            )

    def _failed(self, record: _Record, error: Exception) -> bool:
        """Back off, or send the message to the dead-letter queue; return whether it is there."""
        if isinstance(error, _OutOfTime) and record.receives < self._max_receives:
            self._unhandled.append(record)
            return False
        facts: dict[str, Any] = {"reason": _reason(error), "receives": record.receives, "duration_ms": self._duration()}
        if isinstance(error, PermanentError) or record.receives >= self._max_receives:
            metrics.add_metric("EventsFailed", MetricUnit.Count, 1)
            sent = self._send_to_dlq(record, error)
            outcome = "dead_lettered" if sent else "retried"
            logger.error("event failed", outcome=outcome, exc_info=error, **facts)
            return sent
        metrics.add_metric("EventsRetried", MetricUnit.Count, 1)
        pause = _pause(record.receives, error)
        logger.warning("event failed", outcome="retried", retry_in=pause, exc_info=error, **facts)
        self._try_aws(
            lambda: self._client.change_message_visibility(
                QueueUrl=self._queue_url, ReceiptHandle=record.receipt_handle, VisibilityTimeout=pause
            )
        )
        return False

    def _hand_back(self) -> None:
        """Make the messages that were not begun visible again at once, for the next invocation.

        Each receive counts. So the messages with the most receives come first in a batch, and are not handed back.
        """
        if not self._unhandled:
            return
        metrics.add_metric("EventsHandedBack", MetricUnit.Count, len(self._unhandled))
        for record in self._unhandled:
            keys = {
                "event_id": self._event_id(record.body),
                **tracing.log_keys(record.trace),
                "receives": record.receives,
            }
            logger.info("event handed back", extra=keys, outcome="handed_back")
        for n in range(0, len(self._unhandled), _ENTRIES):
            if self._seconds_left() < aws.LONGEST_CALL:
                break  # these return after their visibility timeout
            some = self._unhandled[n : n + _ENTRIES]
            self._try_aws(partial(self._make_visible, some))

    def _make_visible(self, records: Sequence[_Record]) -> None:
        self._client.change_message_visibility_batch(
            QueueUrl=self._queue_url,
            Entries=[
                {"Id": str(n), "ReceiptHandle": record.receipt_handle, "VisibilityTimeout": 0}
                for n, record in enumerate(records)
            ],
        )

    def _send_to_dlq(self, record: _Record, error: Exception) -> bool:
        attributes = {"reason": _reason(error), "consumer": self.name, "eventId": self._event_id(record.body)}
        traced: Any = (
            {"MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": record.trace}}}
            if record.trace
            else {}
        )
        sent = self._try_aws(
            lambda: self._client.send_message(
                QueueUrl=self._dead_letter_url,
                MessageBody=record.body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                },
                **traced,
            )
        )
        if sent and isinstance(error, PermanentError):
            sent = self._try_aws(error.after_dead_letter)
        if sent:
            self._done(record)
        return sent

    def _event_id(self, body: str) -> str:
        try:
            return self._read(body).event_id
        except PermanentError:
            return "unknown"

    def _try_aws(self, call: Callable[[], object]) -> bool:
        """Make a call to AWS; return False if it failed. The message is then still in its queue and is redelivered."""
        try:
            call()
        except aws.ERRORS as error:
            reason = aws.failure_reason(error)
            logger.warning("AWS request failed; message will be redelivered", reason=reason, exc_info=error)
            return False
        return True


def _most_receives_first(event: dict[str, Any]) -> list[_Record]:
    records = [
        _Record(
            message_id=record["messageId"],
            receipt_handle=record["receiptHandle"],
            body=record["body"],
            receives=int(record["attributes"]["ApproximateReceiveCount"]),
            trace=record["attributes"].get("AWSTraceHeader"),
        )
        for record in event["Records"]
    ]
    return sorted(records, key=lambda record: -record.receives)


def _pause(receives: int, error: Exception) -> int:
    """Return the seconds until the next try: the backoff, or longer if another system asked for that."""
    backoff = BACKOFF[min(receives, len(BACKOFF)) - 1] * random.uniform(0.8, 1.0)
    wanted = error.after if isinstance(error, RetryLater) else 0
    return round(max(backoff, min(wanted, LONGEST_PAUSE)))


def _reason(error: Exception) -> str:
    """Return why a message failed, without data of the message."""
    return (
        str(error) if isinstance(error, (PermanentError, NotYet, RetryLater, _OutOfTime)) else aws.failure_reason(error)
    )


def connect(name: str, read: Callable[[str], M], *, longest: float | None = None, delay: float = 0.0) -> Consumer[M]:
    """The consumer of this function's queue; ``longest`` and ``delay`` in seconds: see `Consumer`."""
    return Consumer(
        name,
        aws.client("sqs"),
        read=read,
        queue_url=settings.text("QUEUE_URL"),
        dead_letter_url=settings.text("DEAD_LETTER_QUEUE_URL"),
        max_receives=int(settings.number("MAX_RECEIVES")),
        longest=longest,
        delay=delay,
    )
