"""Check: a poison message becomes a dead letter, which can be listed and redriven."""

import json
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from botocore.exceptions import ClientError

from handoff.clock import now_ms, to_iso
from ops.dlq import redrive as redriving
from ops.dlq.directory import Directory, Filter, Match, find, own_directory
from ops.polling import until
from ops.smoke_order import CheckFailed, expect
from ops.stack.deployment import Deployment
from ops.verify.check import Attempt, Check

# The consumer of SES's reports. Any other message is a permanent error: it becomes a dead letter at its first receive,
# and not after two hours of retries. This one names no customer, so it would change nothing if it were accepted.
_CONSUMER = "feedback"
_REASON = "not an event of SES"
_DIES_WITHIN = 120.0  # seconds
_EMPTY = 3  # scans in a row without a dead letter end the search


@dataclass
class _Poison:
    """A message that its consumer rejects, by the id in its body."""

    deployment: Deployment
    known: Directory
    id: str
    sent: bool = False

    def send(self) -> str:
        """Send it to the consumer's queue; return the message's id."""
        body = {"id": self.id, "detail-type": "handoff verify", "time": to_iso(now_ms()), "detail": {}}
        self.sent = True  # also if the answer is lost
        try:
            answer = self.deployment.sqs.send_message(
                QueueUrl=self.known.queues[_CONSUMER], MessageBody=json.dumps(body)
            )
        except ClientError:
            self.sent = False
            raise
        return answer["MessageId"]

    @contextmanager
    def dead_letters(self) -> Iterator[Iterator[Match]]:
        """Find its dead letters, and hold them while the context lasts."""
        chosen = Filter(consumers=(_CONSUMER,), event=self.id)
        with closing(find(self.deployment.sqs, self.known, chosen, lambda _: None)) as matches:
            yield matches

    def dead(self) -> dict[str, str]:
        """Return the reason of each of its dead letters, by message id."""
        with self.dead_letters() as matches:
            return {match.dead_letter.message["MessageId"]: match.dead_letter.reason for match in matches}

    def redrive(self) -> int:
        """Send its dead letters back; return how many."""
        outcome = redriving.Outcome()
        with self.dead_letters() as matches:
            return len(list(redriving.run(self.deployment.sqs, matches, self.known, outcome, redriving.DEFAULT_RATE)))

    def remove(self) -> None:
        """Delete its dead letters until none arrives for some seconds: the consumer may be about to reject it.

        An interrupted redrive has sent it back, and not deleted its dead letter yet. So there can be two.

        Raises
        ------
        CheckFailed
            If it has no dead letter.
        """
        if not self.sent:
            return
        deleted: list[int] = []  # by each scan

        def is_done(_: None) -> bool:
            return any(deleted) and not any(deleted[-_EMPTY:])

        until(lambda: deleted.append(self._delete()), is_done, _DIES_WITHIN / 4)
        if not any(deleted):
            later = f"it may become a dead letter within two hours: handoff dlq list {_CONSUMER} --event {self.id}"
            raise CheckFailed(f"not found; {later}")

    def _delete(self) -> int:
        """Delete its dead letters; return how many."""
        deleted = 0
        with self.dead_letters() as matches:
            for match in matches:
                handle = match.dead_letter.message["ReceiptHandle"]
                self.deployment.sqs.delete_message(QueueUrl=match.scan.queue_url, ReceiptHandle=handle)
                match.scan.forget(match.dead_letter)
                deleted += 1
        return deleted


def _run(attempt: Attempt) -> str:
    deployment = attempt.situation.deployment
    poison = _Poison(deployment, own_directory(deployment), f"verify-{uuid.uuid4()}")
    attempt.undo(f"the dead letter of {poison.id} ({_CONSUMER})", poison.remove)
    attempt.note(f"sent {poison.send()} with the id {poison.id} to the queue of {_CONSUMER}")
    first = _await(poison, set(), "became no dead letter")
    (reason,) = first.values()
    expect(reason.startswith(_REASON), f"the dead letter has the reason {reason!r}, not {_REASON!r}")
    attempt.note(f"listed as a dead letter: {reason}")
    redriven = until(poison.redrive, bool, _DIES_WITHIN)  # it is visible again a moment after it was listed
    expect(redriven == 1, f"{redriven} dead letters were redriven, not 1")
    second = _await(poison, set(first), "was redriven, but did not fail again")
    attempt.note(f"redriven, and a dead letter again: {', '.join(second)}")
    return f"{poison.id} became a dead letter of {_CONSUMER}, was listed, redriven, and removed when it failed again"


def _await(poison: _Poison, before: set[str], problem: str) -> dict[str, str]:
    """Return the dead letter that is not one of ``before``."""
    seen = until(lambda: _new(poison, before), bool, _DIES_WITHIN)
    if not seen:
        raise CheckFailed(f"the message {poison.id} {problem} in {_DIES_WITHIN:.0f} s")
    return seen


def _new(poison: _Poison, before: set[str]) -> dict[str, str]:
    return {message: reason for message, reason in poison.dead().items() if message not in before}


CHECK = Check(
    key="poison",
    name="a poison message becomes a dead letter",
    does=f"sends a message that {_CONSUMER} rejects, lists and redrives its dead letter, then deletes it",
    takes="1 min",
    needs="sqs:SendMessage, ReceiveMessage, DeleteMessage, ChangeMessageVisibility on the queues of feedback",
    costs={"sqs_request": 1000, "lambda_request": 4, "sns_mail": 2},
    run=_run,
    warning=lambda _: "the alarm FeedbackDeadLetters may notify its subscribers",
)
