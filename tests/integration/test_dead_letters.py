"""`handoff dlq`: dead letters are listed with their reasons, and given another go."""

import pytest

from ops import dead_letters
from support.messages import message

EMAILS = "EmailsFunction"


@pytest.fixture
def queue(world):
    """The e-mail queue's address and that of its dead letters."""
    environment = world.stack.environment(EMAILS)
    return environment["QUEUE_URL"], environment["DEAD_LETTER_QUEUE_URL"]


def redrive(world, queue):
    found = list(dead_letters.letters(world.client("sqs"), queue[1], wait=0))
    for letter in found:
        dead_letters.redrive(world.client("sqs"), letter, dead_letters_url=queue[1], queue_url=queue[0])
    return found


def test_letters_are_listed_with_event_and_reason_and_stay(world, queue):
    # GIVEN one that its consumer put there, and one that SQS did, after crashes
    world.queues.send(EMAILS, "poison")
    world.queues.deliver(EMAILS)
    world.client("sqs").send_message(QueueUrl=queue[1], MessageBody="crashed")

    # WHEN they are looked at, and let go
    found = []
    for letter in list(dead_letters.letters(world.client("sqs"), queue[1], wait=0)):
        found.append((letter.event_id, letter.reason))
        dead_letters.release(world.client("sqs"), queue[1], letter)

    # THEN each says why it is there, and still is
    world.clock.forward(1)
    assert sorted(found) == [("unknown", "crashed each time"), ("unknown", "not an event: body")]
    assert len(world.queues.dead_letters(EMAILS)) == 2


def test_a_redriven_event_is_dealt_with(world, queue, order_id):
    # GIVEN an event that has become a dead letter
    (record,) = world.queues.receive(EMAILS)
    world.client("sqs").send_message(QueueUrl=queue[1], MessageBody=record["body"])
    world.client("sqs").delete_message(QueueUrl=queue[0], ReceiptHandle=record["receiptHandle"])

    # WHEN it is redriven
    assert len(redrive(world, queue)) == 1
    world.queues.deliver(EMAILS)

    # THEN its mail goes out, and no letter is left
    assert [mail["subject"] for mail in world.mails()] == ["Your order is confirmed"]
    assert world.queues.dead_letters(EMAILS) == []


def test_redriving_what_was_done_does_no_harm(world, queue, order_id):
    world.queues.deliver(EMAILS)
    world.client("sqs").send_message(QueueUrl=queue[1], MessageBody=message("order_placed", order_id, 1))

    redrive(world, queue)
    redrive(world, queue)
    world.queues.until_quiet(EMAILS)

    assert len(world.mails()) == 1
