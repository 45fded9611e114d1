"""Waiting for a stack to recover: its queues drain, its orders finish, its dead letters are redriven."""

import re
import time
from collections import Counter
from dataclasses import dataclass, field

from dev.demo.orders import Progress
from dev.drills.stack import DrillStack
from ops.dlq import scan
from ops.stack import observe
from ops.stack.deployment import Deployment

_TIMEOUT = 300.0  # seconds
_PROGRESS_EVERY = 15.0  # seconds


@dataclass
class DeadLetters:
    """Dead letters counted by consumer and reason, and how many of them were redriven."""

    reasons: Counter[str] = field(default_factory=Counter)
    redriven: int = 0


def recover(stack: DrillStack, permanent: tuple[str, ...], progress: Progress) -> DeadLetters:
    """Redrive dead letters until no work is left, or until a timeout: unfinished work then counts as lost.

    Dead letters whose reason starts with one of ``permanent`` are deleted.
    """
    letters = DeadLetters()
    quiet, reported_at = 0, 0.0
    deadline = time.monotonic() + _TIMEOUT
    while quiet < 2 and time.monotonic() < deadline:
        waiting = observe.waiting(stack.deployment)
        orders = stack.deployment.scan("OrdersTable")
        unfinished = sum(order["status"] in {"PENDING", "PLACED"} or "unfinished" in order for order in orders)
        if time.monotonic() - reported_at > _PROGRESS_EVERY:
            progress(", ".join(f"{name} {count}" for name, count in waiting.items()) + f"; unfinished {unfinished}")
            reported_at = time.monotonic()
        dead = sum(_redrive(stack.deployment, name, permanent, letters) for name in stack.deployment.consumers)
        quiet = 0 if any(waiting.values()) or unfinished or dead else quiet + 1
        time.sleep(1)
    return letters


def _redrive(deployment: Deployment, consumer: str, permanent: tuple[str, ...], letters: DeadLetters) -> int:
    """Redrive or delete a consumer's dead letters, as an operator does after an outage; return their number."""
    if not observe.depth(deployment, deployment.queue_url(consumer, dead_letters=True)).waiting:
        return 0
    dead, queue = deployment.queue_url(consumer, dead_letters=True), deployment.queue_url(consumer)
    found = list(scan.dead_letters(deployment.sqs, dead, wait=0))
    for letter in found:
        letters.reasons[f"{consumer}: {re.sub(r'ord_[a-z2-7]{26}', '...', letter.reason)}"] += 1
        if letter.reason.startswith(permanent):
            deployment.sqs.delete_message(QueueUrl=dead, ReceiptHandle=letter.message["ReceiptHandle"])
    again = [letter for letter in found if not letter.reason.startswith(permanent)]
    for start in range(0, len(again), scan.BATCH):
        batch = again[start : start + scan.BATCH]
        letters.redriven += len(scan.redrive(deployment.sqs, batch, dead_letters_url=dead, queue_url=queue).sent)
    return len(found)
