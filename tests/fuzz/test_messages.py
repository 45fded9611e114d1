"""Generated messages: each is handled, retried, or a dead letter with its reason."""

import json
import re
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.moto_api._internal import mock_random

import ses_events
from dev import samples
from dev.simulated.world import World
from handoff.errors import PermanentError
from shop import events
from tests.contracts import recording
from tests.fuzz.effort import fuzzed, fuzzed_slowly
from tests.fuzz.shapes import TEXT, bodies
from tests.support.partners import deployed_with_partner

EVENTS = [json.loads(file.read_text()) for file in sorted(recording.EXAMPLES.glob("*.json"))]
BOUNCE = samples.bounced(samples.customers()[0])
OURS = st.one_of([bodies(event) for event in EVENTS])
READERS = {"FeedbackFunction": bodies(BOUNCE)}
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
SQS_REFUSES = re.compile("[^\\t\\n\\r -\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
# Ends of reasons that show that a malformed message got too far.
CRASHES = ("Error", "ValidationException")
# SQS's own attributes are always present; a sender's can have any value that SQS accepts.
ATTRIBUTES = st.dictionaries(st.sampled_from(["AWSTraceHeader", "MessageGroupId"]), TEXT)


@pytest.fixture(scope="module")
def stack():
    with deployed_with_partner() as (stack, _):
        yield stack


def check(read, body):
    """Check that a message can be read, or that there is a reason that a dead letter can carry."""
    message = None
    try:
        message = read(body)
        reason = message.event_id
    except PermanentError as permanent:
        reason = str(permanent)
    assert 0 < len(reason) < 400
    assert not SQS_REFUSES.search(reason)
    if message:
        assert isinstance(message.happened_at, int)
        assert all(isinstance(value, str) for value in message.log_keys.values())
    return message


@fuzzed
@given(body=OURS)
def test_an_event_is_valid_or_has_a_reason(body):
    check(events.EVENTS.parse, body)


@fuzzed
@given(body=bodies(BOUNCE))
def test_an_ses_event_is_valid_or_has_a_reason(body):
    mail = check(ses_events.read, body)
    if mail:
        assert 1 <= len(mail.user_id) <= 160
        assert mail.finding in {None, "bounced", "complained", "rescued"}
        assert isinstance(mail.address, str)


@pytest.mark.parametrize(
    "function",
    [
        *("EmailsFunction", "AnalyticsFunction", "FulfillmentFunction", "SettlementFunction", "FeedbackFunction"),
        "PartnersFunction",
    ],
)
def test_a_message_is_handled_retried_or_a_dead_letter(stack, clock, function):
    world = World(stack, clock)
    recording.happen(world)
    examples = count()

    @fuzzed_slowly
    @given(body=READERS.get(function, OURS), attributes=ATTRIBUTES, receives=st.sampled_from([1, 2, 6]))
    def deliver(body, attributes, receives):
        # Hypothesis may restart this generator for each example; receipt handles must stay unique.
        mock_random.seed(next(examples))
        # GIVEN a queue with only this message, as SQS can hold it
        world.queues.until_quiet()
        world.queues.dead_letters(function)
        before = world.queues.waiting(function)  # earlier failures are hidden for longer than this test takes
        (record,) = sent(world, function)
        record["body"] = body
        record["attributes"] |= attributes | {"ApproximateReceiveCount": str(receives)}
        # WHEN it is delivered
        with world.wire.watched() as calls:
            world.queues.hand_over(function, [record])
        # THEN it is handled, retried or a dead letter
        letters = world.queues.dead_letters(function)
        assert not [call for call in calls if call.name == "sqs.SendMessage" and call.status != 200]
        if letters:
            (letter,) = letters
            assert letter.body == body
            assert all(letter.attributes[name] for name in ("reason", "eventId", "consumer"))
            assert not letter.attributes["reason"].endswith(CRASHES), letter
        else:
            assert receives < 6 or world.queues.waiting(function) == before

    deliver()


def sent(world, function):
    """Return the record of a new message."""
    world.queues.send(function, "{}")
    return world.queues.receive(function)
