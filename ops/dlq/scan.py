"""Giving dead letters another go: looking through their queues, and sending them back."""

import time
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Self

from ops.dlq.letter import Letter, read

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

# How long a letter that was looked at stays out of sight if its look is killed. At half of it, it is prolonged: by then
# a look, and a redrive of ten a second, are over. If a call takes 0.1 s, they take 0.02 and 0.2 s for each letter.
_HIDDEN_SECONDS = 120  # at least
_HIDDEN_SECONDS_EACH = 0.5  # for each letter that is there
# SQS grants 12 hours from when a letter was received; half of that can still be prolonged once half of it is over.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
_HIDDEN_SECONDS_MOST = 6 * 3600
_STALE_RECEIVES = 3  # in a row that bring only what came later: by then the others have been seen
_BATCH = 10  # the most that SQS gives or takes in one call


class Look:
    """One look through a queue of dead letters: each letter that was there when it began.

    What it finds stays out of others' sight until the look ends, however long it takes. What dies meanwhile, or comes
    back after a redrive, is left for the next look: so every look ends.
    """

    PRECISION = 1.0  # seconds: what comes back that long after a look began is not taken for what was there

    def __init__(self, client: "SQSClient", queue_url: str, *, wait: int = 1) -> None:
        self.queue_url = queue_url
        self.missing = 0  # letters that SQS counted when it began, and that were not seen: somebody else has them
        self.later = 0  # letters that came after it had begun
        self._client = client
        self._wait = wait
        self._counted = 0  # by SQS, when it began
        self._held: dict[str, tuple[str, float]] = {}  # by message id: its receipt handle, and until when

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        handles = [handle for handle, _ in self._held.values()]
        self._held.clear()
        self._hide(handles, 0)

    def __iter__(self) -> Iterator[Letter]:
        before = self._begin()
        stale = 0
        while stale < _STALE_RECEIVES and (letters := self._receive()):
            self.missing = max(0, self.missing - len(letters))
            there = [letter for letter in letters if letter.sent_at < before]
            self.later += len(letters) - len(there)
            stale = 0 if there else stale + 1
            yield from there

    @property
    def hidden(self) -> int:
        """For how many seconds letters stay out of sight if the look is killed: longer, the more there are."""
        there = max(self._counted, len(self._held))  # SQS's count is approximate
        return int(min(_HIDDEN_SECONDS_MOST, max(_HIDDEN_SECONDS, there * _HIDDEN_SECONDS_EACH)))

    def gone(self, letter: Letter) -> None:
        """Take note that a letter was deleted."""
        self._held.pop(letter.message["MessageId"], None)

    def _begin(self) -> int:
        """Note what there is; returns the end of this second by SQS's clock, which the letters' times are by."""
        answer = self._client.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["All"])
        counts = answer["Attributes"]
        visible, hidden = counts["ApproximateNumberOfMessages"], counts["ApproximateNumberOfMessagesNotVisible"]
        self.missing = self._counted = int(visible) + int(hidden)
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return int(now.timestamp() + self.PRECISION) * 1000

    def _receive(self) -> list[Letter]:
        """Up to ten letters that were not seen yet; none if there are none."""
        self._keep_hidden()
        hidden = self.hidden
        answer = self._client.receive_message(
            QueueUrl=self.queue_url,
            MaxNumberOfMessages=_BATCH,
            VisibilityTimeout=hidden,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
            WaitTimeSeconds=self._wait,  # above zero, SQS asks all of its servers: empty means empty
        )
        messages = answer.get("Messages", [])
        fresh = [message for message in messages if message["MessageId"] not in self._held]
        until = time.monotonic() + hidden
        for message in messages:
            self._held.pop(message["MessageId"], None)  # so that they stay in the order in which they come back
            self._held[message["MessageId"]] = (message["ReceiptHandle"], until)
        return [read(message) for message in fresh]

    def _keep_hidden(self) -> None:
        """Put off the return of those whose time is half over."""
        now, hidden = time.monotonic(), self.hidden
        soon = now + hidden / 2
        due = dict(takewhile(lambda held: held[1][1] < soon, self._held.items()))
        self._hide([handle for handle, _ in due.values()], hidden)
        for message_id, (handle, _) in due.items():
            del self._held[message_id]
            self._held[message_id] = (handle, now + hidden)

    def _hide(self, handles: Sequence[str], seconds: int) -> None:
        """Show letters again so many seconds from now. Those that SQS refuses are visible already, or soon."""
        for start in range(0, len(handles), _BATCH):
            batch = handles[start : start + _BATCH]
            self._client.change_message_visibility_batch(
                QueueUrl=self.queue_url,
                Entries=[
                    {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
                    for n, handle in enumerate(batch)
                ],
            )


def letters(client: "SQSClient", queue_url: str, *, wait: int = 1) -> Iterator[Letter]:
    """Each letter of a dead-letter queue; it stays there, and out of others' sight until the last was taken.

    ``wait`` is how long the last, empty receive takes, in seconds: above zero, SQS asks all of its servers.
    """
    yield from Look(client, queue_url, wait=wait)


def redrive(client: "SQSClient", letter: Letter, *, dead_letters_url: str, queue_url: str) -> None:
    """Put a letter's event back into its consumer's queue, then take the letter away.

    Dying in between doubles the event, which every consumer knows to do once.
    """
    trace = letter.message["Attributes"].get("AWSTraceHeader")
    traced: Any = (
        {"MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": trace}}} if trace else {}
    )
    client.send_message(QueueUrl=queue_url, MessageBody=letter.message["Body"], **traced)
    client.delete_message(QueueUrl=dead_letters_url, ReceiptHandle=letter.message["ReceiptHandle"])
