"""Read the state of a deployed Handoff: queues, dead letters, mails and lag."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from ops.stack import emf
from ops.stack.deployment import Deployment


@dataclass(frozen=True)
class Depth:
    """How many messages a queue holds: waiting, in progress, and not due yet; ``delay`` is the queue's, in seconds."""

    waiting: int
    in_flight: int
    delayed: int = 0
    delay: int = 0

    @property
    def backlog(self) -> int:
        """The messages that are due."""
        return self.waiting + self.in_flight

    @property
    def total(self) -> int:
        """All messages in the queue."""
        return self.backlog + self.delayed


def depth(deployment: Deployment, queue_url: str) -> Depth:
    """Return a queue's depth, which SQS only approximates."""
    answer = deployment.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])
    counts = {str(name): int(value) for name, value in answer["Attributes"].items() if value.isdigit()}
    return Depth(
        counts["ApproximateNumberOfMessages"],
        counts["ApproximateNumberOfMessagesNotVisible"],
        counts["ApproximateNumberOfMessagesDelayed"],
        counts.get("DelaySeconds", 0),
    )


def waiting(deployment: Deployment) -> dict[str, int]:
    """Return the number of unhandled messages of each consumer."""
    depths = {name: depth(deployment, deployment.queue_url(name)) for name in deployment.consumers}
    return {name: found.total for name, found in depths.items()}


def dead_letters(deployment: Deployment) -> dict[str, int]:
    """Return the number of dead letters of each consumer."""
    return {
        name: depth(deployment, deployment.queue_url(name, dead_letters=True)).waiting for name in deployment.consumers
    }


def unfinished(orders: Iterable[Mapping[str, Any]]) -> int:
    """Return how many orders have an event to publish or a payment to settle."""
    return sum(1 for order in orders if order.get("outbox") or "paymentDue" in order)


def lags(deployment: Deployment) -> dict[str, list[int]]:
    """Return the milliseconds from each event to its effect by consumer, from the metrics in the functions' logs."""
    found: dict[str, list[int]] = {name: [] for name in deployment.consumers}
    for name in deployment.consumers:
        for event in emf.events(deployment.logs, deployment.resource(f"{name.capitalize()}Logs")):
            data = [datum for datum in emf.read(event["message"]) if datum.name == "EventLagDone"]
            found[name] += [int(value) for datum in data for value in datum.values]
    return found


def mails(endpoint: str) -> list[dict[str, Any]]:
    """Return the mails that the local stack's SES accepted."""
    boxes: dict[str, list[dict[str, Any]]] = httpx.get(f"{endpoint}/_ministack/ses/messages").json()["messages"]
    return [mail for box in boxes.values() for mail in box]
