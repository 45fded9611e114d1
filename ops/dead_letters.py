"""Dead letters: what could not be done, why, and giving it another go."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

CRASHED = "crashed each time"  # what a letter without a reason means: SQS moved it by itself
_HIDDEN_SECONDS = 120  # how long a letter that was looked at stays out of sight
_EMPTY_LOOKS = 3  # SQS may miss messages in one look


@dataclass(frozen=True)
class Letter:
    """One dead letter."""

    event_id: str
    reason: str
    message: "MessageTypeDef"


def letters(client: "SQSClient", queue_url: str, *, wait: int = 1) -> Iterator[Letter]:
    """Each letter of a dead-letter queue; it stays there, out of others' sight for two minutes.

    ``wait`` is how long one look may take, in seconds: above zero, SQS asks all of its servers.
    """
    seen: set[str] = set()
    empty = 0
    while empty < _EMPTY_LOOKS:
        answer = client.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=_HIDDEN_SECONDS,
            MessageAttributeNames=["All"],
            WaitTimeSeconds=wait,
        )
        fresh = [message for message in answer.get("Messages", []) if message["MessageId"] not in seen]
        empty = 0 if fresh else empty + 1
        for message in fresh:
            seen.add(message["MessageId"])
            attributes = message.get("MessageAttributes", {})
            yield Letter(_text(attributes, "eventId", "unknown"), _text(attributes, "reason", CRASHED), message)


def release(client: "SQSClient", queue_url: str, letter: Letter) -> None:
    """Let others see a letter again."""
    client.change_message_visibility(
        QueueUrl=queue_url, ReceiptHandle=letter.message["ReceiptHandle"], VisibilityTimeout=0
    )


def redrive(client: "SQSClient", letter: Letter, *, dead_letters_url: str, queue_url: str) -> None:
    """Put a letter's event back into its consumer's queue, then take the letter away.

    Dying in between doubles the event, which every consumer knows to do once.
    """
    client.send_message(QueueUrl=queue_url, MessageBody=letter.message["Body"])
    client.delete_message(QueueUrl=dead_letters_url, ReceiptHandle=letter.message["ReceiptHandle"])


def _text(attributes: Any, name: str, default: str) -> str:
    return str(attributes.get(name, {}).get("StringValue", default))
