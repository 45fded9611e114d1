"""SQS in front of the consumers: deliver batches as Lambda's event source mapping does."""

from dataclasses import dataclass
from typing import Any

from moto.sqs.models import sqs_backends

from dev.simulated.account import ACCOUNT, REGION
from dev.simulated.functions import Functions
from dev.simulated.stack import Queue, SimulatedStack
from dev.simulated.wire import Crash
from handoff.consumer import BatchFailed

_MOST_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """A message in a dead-letter queue, with its attributes."""

    body: str
    attributes: dict[str, str]


class Queues:
    """The queues of one stack; ``sqs`` is a client that bypasses the wire."""

    def __init__(self, stack: SimulatedStack, functions: Functions, sqs: Any) -> None:
        self._functions = functions
        self._sqs = sqs
        self._queues = {queue.function: queue for queue in stack.queues()}
        self.names = tuple(self._queues)

    def until_quiet(self, *functions: str) -> None:
        """Deliver visible messages to these functions, or to all, until none is left."""
        chosen = functions or self.names
        for _ in range(_MOST_ROUNDS):
            if not sum(self.deliver(function) for function in chosen):
                return
        raise AssertionError("the queues never become empty")

    def deliver(self, function: str) -> int:
        """Deliver one batch; return its size. Messages that fail become visible again after their timeout."""
        records = self.receive(function)
        if records:
            self.hand_over(function, records)
        return len(records)

    def hand_over(self, function: str, records: list[dict[str, Any]]) -> None:
        """Invoke a function with these records, and delete those that it does not report as failed."""
        try:
            answer = self._functions.invoke(function, {"Records": records})
        except (BatchFailed, Crash):
            return
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for record in records:
            if record["messageId"] not in failed:
                self._held(self._queues[function].url).delete_message(record["receiptHandle"])

    def receive(self, function: str, most: int | None = None) -> list[dict[str, Any]]:
        """Return the records of a function's next batch, as Lambda makes them from visible messages."""
        queue = self._queues[function]
        records: list[dict[str, Any]] = []
        while messages := self._take(queue.url, (most or queue.batch_size) - len(records)):
            records += [_record(queue, message) for message in messages]
        return records

    def send(self, function: str, body: str) -> None:
        """Send a message to a function's queue."""
        self._sqs.send_message(QueueUrl=self._queues[function].url, MessageBody=body)

    def waiting(self, function: str) -> int:
        """Return the number of messages in a function's queue, visible or not, read from moto's memory.

        Those that the queue delays are among them.
        """
        return len(self._held(self._queues[function].url)._messages)

    def busy(self) -> list[str]:
        """Return the functions with messages in their queues, visible or not."""
        return [function for function in self.names if self.waiting(function)]

    def dead_letters(self, function: str) -> list[DeadMessage]:
        """Receive all dead letters of a function."""
        letters: list[DeadMessage] = []
        while messages := self._take(self._queues[function].dead_letters, 10):
            for message in messages:
                attributes = message.get("MessageAttributes", {})
                letters.append(
                    DeadMessage(message["Body"], {name: value["StringValue"] for name, value in attributes.items()})
                )
        return letters

    def _take(self, url: str, most: int) -> list[dict[str, Any]]:
        if not most or not self._held(url).messages:  # most queues are empty, which a request takes long to find
            return []
        received = self._sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=min(most, 10),
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
            WaitTimeSeconds=0,
        )
        return list(received.get("Messages", []))

    @staticmethod
    def _held(url: str) -> Any:
        """Return a queue in moto's memory."""
        return sqs_backends[ACCOUNT][REGION].queues[url.rpartition("/")[2]]


def _record(queue: Queue, message: dict[str, Any]) -> dict[str, Any]:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue.arn,
        "awsRegion": REGION,
    }
