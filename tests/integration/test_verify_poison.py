"""`handoff verify`: the poison message, with the real consumer of feedback."""

import json

import boto3
import pytest

from dev.simulated.account import STACK_NAME
from ops.stack.deployment import Deployment
from ops.verify import poison
from ops.verify.answers import Answers
from ops.verify.check import Outcome, Situation
from ops.verify.run import run

FEEDBACK = "FeedbackFunction"


@pytest.fixture
def session():
    """A session whose clients do not wait: moto's clock stands still."""
    session = boto3.Session()
    session.events.register(
        "provide-client-params.sqs.ReceiveMessage", lambda params, **_: params.update(WaitTimeSeconds=0)
    )
    return session


@pytest.fixture
def deployment(world, session, resources):
    deployment = Deployment(STACK_NAME, session)
    deployment.__dict__["_resources"] = {
        name: {"LogicalResourceId": name, "ResourceType": kind, "PhysicalResourceId": ref}
        for kind, found in resources.items()
        for name, ref in found.items()
    }
    return deployment


@pytest.fixture
def consumed(world, session):
    """Deliver messages to the consumer as they are sent, as Lambda does."""

    def deliver(**_):
        world.queues.deliver(FEEDBACK)
        world.clock.forward(1)

    for operation in ("SendMessage", "SendMessageBatch"):
        session.events.register(f"after-call.sqs.{operation}", deliver)


@pytest.fixture
def check(deployment, session):
    def check():
        return next(run([poison.CHECK], Situation(deployment), Answers(session), lambda _: None))

    return check


def left(world):
    environment = world.stack.environment(FEEDBACK)
    sqs, found = world.client("sqs"), []
    for url in (environment["QUEUE_URL"], environment["DEAD_LETTER_QUEUE_URL"]):
        world.clock.forward(3600)
        found += sqs.receive_message(QueueUrl=url, VisibilityTimeout=0).get("Messages", [])
    return found


@pytest.mark.usefixtures("consumed")
def test_a_poison_message_dies_is_redriven_and_removed(world, check):
    result = check()
    assert (result.outcome, result.left) == (Outcome.PASSED, ()), result
    assert "listed as a dead letter: not an event of SES: detail.mail" in result.notes[1]
    assert left(world) == []
    # AND nothing else happened
    assert world.client("sqs").list_queues()["QueueUrls"]


def test_a_message_that_no_consumer_rejects_fails_and_is_named(world, check):
    # GIVEN no consumer
    result = check()
    assert result.outcome == Outcome.FAILED
    assert result.seen.endswith("became no dead letter in 120 s")
    (kept,) = result.left
    (message,) = left(world)
    assert f"handoff dlq list feedback --event {json.loads(message['Body'])['id']}" in kept


def test_a_redriven_message_that_does_not_come_back_fails(world, check, session):
    # GIVEN a consumer that stops after the first message
    deliver = once(lambda: world.queues.deliver(FEEDBACK))
    for operation in ("SendMessage", "SendMessageBatch"):
        session.events.register(f"after-call.sqs.{operation}", deliver)
    result = check()
    assert result.outcome == Outcome.FAILED
    assert result.seen.endswith("was redriven, but did not fail again in 120 s")


@pytest.mark.usefixtures("consumed")
def test_a_dead_letter_with_another_reason_fails_and_is_removed(world, check, session, monkeypatch):
    monkeypatch.setattr(poison, "_REASON", "something else")
    result = check()
    assert result.outcome == Outcome.FAILED
    assert "'not an event of SES: " in result.seen
    assert (result.left, left(world)) == ((), [])


@pytest.mark.usefixtures("consumed")
def test_after_ctrl_c_no_dead_letter_stays(world, check, session):
    # GIVEN Ctrl-C when the dead letter is redriven
    session.events.register("before-call.sqs.DeleteMessageBatch", once(interrupt))
    result = check()
    assert (result.outcome, result.left) == (Outcome.INTERRUPTED, ())
    assert left(world) == []


def test_a_message_that_was_refused_is_not_searched_for(check, session, world):
    # GIVEN no permission to send
    world.client("sqs").delete_queue(QueueUrl=world.stack.environment(FEEDBACK)["QUEUE_URL"])
    result = check()
    assert (result.outcome, result.left) == (Outcome.FAILED, ())
    assert "NonExistentQueue" in result.seen


def once(call):
    """Return a handler that makes a call the first time only."""
    calls = iter([call])
    return lambda **_: next(calls, lambda: None)()


def interrupt():
    raise KeyboardInterrupt
