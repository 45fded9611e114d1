"""Scan dead-letter queues, and send dead letters back to their consumers."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Self

from ops.dlq.dead_letter import DeadLetter, read

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

# How long a received message stays invisible if the scan is killed. It is extended at half of that time. By then a
# scan, and a redrive of ten a second or more, are over. With 0.1 s per call a scan takes 0.02 s for each message.
_VISIBILITY_SECONDS = 120  # at least
_VISIBILITY_SECONDS_EACH = 0.5  # for each message in the queue
# SQS allows 12 hours from when a message was received; half of that can still be extended once half of it is over.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
_VISIBILITY_SECONDS_MOST = 6 * 3600
_STALE_RECEIVES = 3  # in a row that return only messages that arrived later: by then the others have been seen
BATCH = 10  # the most that SQS returns or takes in one call
_TRIES = 4  # of an entry that SQS could not do, such as one of too many at a time
_RETRY_SECONDS = 0.1  # doubled with each retry


class QueueScan:
    """One pass through a dead-letter queue: each message that was in it at the start.

    Messages stay invisible to other receivers until the scan ends, however long it takes. Messages that arrive during
    the scan, such as redriven ones that failed again, are counted but not returned. So every scan ends.
    """

    PRECISION = 1.0  # seconds; a message that returns so long after the start is not mistaken for an earlier one

    def __init__(self, client: "SQSClient", queue_url: str, *, wait: int = 1) -> None:
        self.queue_url = queue_url
        self.held_elsewhere = 0  # messages that SQS counted at the start and did not return: another receiver has them
        self.arrived_later = 0  # messages that arrived after the start
        # Called before the messages become visible again, with whether no error ended the scan. It finishes what is
        # still done with them, and returns whether there was anything.
        self.before_release: Callable[[bool], bool] = lambda _: False
        self._client = client
        self._wait = wait
        self._counted = 0  # by SQS, at the start
        self._held: dict[str, tuple[str, float]] = {}  # by message id: its receipt handle, and until when it is held

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            self.before_release(error is None)
        finally:
            handles = [handle for handle, _ in self._held.values()]
            self._held.clear()
            self._change_visibility(handles, 0)

    def __iter__(self) -> Iterator[DeadLetter]:
        before = self._begin()
        stale = 0
        while stale < _STALE_RECEIVES:
            received = self._receive()
            if not received:
                if self.before_release(True):  # events may have failed again
                    continue
                return
            self.held_elsewhere = max(0, self.held_elsewhere - len(received))
            present = [dead_letter for dead_letter in received if dead_letter.sent_at < before]
            self.arrived_later += len(received) - len(present)
            stale = 0 if present else stale + 1
            yield from present

    @property
    def visibility_seconds(self) -> int:
        """How long messages stay invisible if the scan is killed: the longer, the more there are."""
        present = max(self._counted, len(self._held))  # SQS's count is approximate
        return int(min(_VISIBILITY_SECONDS_MOST, max(_VISIBILITY_SECONDS, present * _VISIBILITY_SECONDS_EACH)))

    def forget(self, dead_letter: DeadLetter) -> None:
        """Note that a message was deleted."""
        self._held.pop(dead_letter.message["MessageId"], None)

    def _begin(self) -> int:
        """Count the messages; return the end of the current second by SQS's clock, which stamps the messages."""
        answer = self._client.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["All"])
        counts = answer["Attributes"]
        visible, in_flight = counts["ApproximateNumberOfMessages"], counts["ApproximateNumberOfMessagesNotVisible"]
        self.held_elsewhere = self._counted = int(visible) + int(in_flight)
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return int(now.timestamp() + self.PRECISION) * 1000

    def _receive(self) -> list[DeadLetter]:
        """Receive up to ten messages that were not seen yet; empty at the end."""
        self._extend_visibility()
        seconds = self.visibility_seconds
        answer = self._client.receive_message(
            QueueUrl=self.queue_url,
            MaxNumberOfMessages=BATCH,
            VisibilityTimeout=seconds,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
            WaitTimeSeconds=self._wait,  # above zero, SQS asks all of its servers: empty means empty
        )
        messages = answer.get("Messages", [])
        fresh = [message for message in messages if message["MessageId"] not in self._held]
        until = time.monotonic() + seconds
        for message in messages:
            self._held.pop(message["MessageId"], None)  # keeps them in the order in which they become visible again
            self._held[message["MessageId"]] = (message["ReceiptHandle"], until)
        return [read(message) for message in fresh]

    def _extend_visibility(self) -> None:
        """Extend the visibility timeout of messages whose time is half over."""
        now, seconds = time.monotonic(), self.visibility_seconds
        soon = now + seconds / 2
        due = dict(takewhile(lambda held: held[1][1] < soon, self._held.items()))
        self._change_visibility([handle for handle, _ in due.values()], seconds)
        for message_id, (handle, _) in due.items():
            del self._held[message_id]
            self._held[message_id] = (handle, now + seconds)

    def _change_visibility(self, handles: Sequence[str], seconds: int) -> None:
        """Make messages visible after so many seconds. Those that SQS refuses are visible already, or soon."""
        for start in range(0, len(handles), BATCH):
            batch = handles[start : start + BATCH]
            self._client.change_message_visibility_batch(
                QueueUrl=self.queue_url,
                Entries=[
                    {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
                    for n, handle in enumerate(batch)
                ],
            )


def dead_letters(client: "SQSClient", queue_url: str, *, wait: int = 1) -> Iterator[DeadLetter]:
    """Yield each message of a dead-letter queue. They stay there, invisible to others until their timeout.

    ``wait`` is how long the last, empty receive takes, in seconds: above zero, SQS asks all of its servers.
    """
    yield from QueueScan(client, queue_url, wait=wait)


@dataclass(frozen=True)
class Redriven:
    """What became of a batch, by position: sent, refused with a reason, and sent but not deleted with a reason."""

    sent: Sequence[int]
    refused: Mapping[int, str]
    undeleted: Mapping[int, str]


def redrive(
    client: "SQSClient", dead_letters: Sequence[DeadLetter], *, dead_letters_url: str, queue_url: str
) -> Redriven:
    """Send up to ten events back to their consumer's queue, then delete the dead letters of those that it accepted.

    They do not wait for the delay of that queue again. A crash in between duplicates events, which every consumer
    recognizes.
    """
    sends: dict[int, Any] = {n: _message(each) for n, each in enumerate(dead_letters)}
    refused = _in_batches(lambda entries: client.send_message_batch(QueueUrl=queue_url, Entries=entries), sends)
    sent = [n for n in sends if n not in refused]
    deletes: dict[int, Any] = {n: {"ReceiptHandle": dead_letters[n].message["ReceiptHandle"]} for n in sent}
    undeleted = _in_batches(
        lambda entries: client.delete_message_batch(QueueUrl=dead_letters_url, Entries=entries), deletes
    )
    return Redriven(sent, refused, undeleted)


def _message(dead_letter: DeadLetter) -> dict[str, Any]:
    trace = dead_letter.message["Attributes"].get("AWSTraceHeader")
    traced: Any = (
        {"MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": trace}}} if trace else {}
    )
    return {"MessageBody": dead_letter.message["Body"], "DelaySeconds": 0, **traced}


def _in_batches(call: Callable[[Any], Any], entries: Mapping[int, Mapping[str, Any]]) -> dict[int, str]:
    """Make a batch call, and retry the entries that SQS could not do; return why the others were not done.

    An entry is done only if the answer says so. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_BatchResultErrorEntry.html
    """
    left, failed = dict(entries), dict[int, str]()
    for attempt in range(_TRIES):
        if not left:
            break
        if attempt:
            time.sleep(_RETRY_SECONDS * 2**attempt)
        answer = call([{"Id": str(n), **entry} for n, entry in left.items()])
        for done in answer.get("Successful", []):
            del left[int(done["Id"])]
        for error in answer.get("Failed", []):
            if error["SenderFault"]:
                n = int(error["Id"])
                failed[n] = f"{error['Code']}: {error.get('Message', '')}".rstrip(": ")
                del left[n]
    return failed | dict.fromkeys(left, "SQS could not do it")
