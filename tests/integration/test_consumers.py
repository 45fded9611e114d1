"""What all consumers share: partial batches, retries, and dead letters with a reason."""

import json

import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError

from tests.support import invariants, wire
from tests.support.account import STACK_NAME
from tests.support.messages import envelope, message
from tests.support.world import MUG, body

CONSUMERS = ["EmailsFunction", "AnalyticsFunction", "FulfillmentFunction"]
VISIBILITY = 721  # just longer than the longest visibility time-out of the queues, in seconds
REFUSED = wire.refuse("AccessDeniedException")  # the SDK does not try this again by itself
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
everyone = pytest.mark.parametrize("function", CONSUMERS)

# What each consumer's first call about its business looks like, so that it can be made to fail.
WORK = {
    "EmailsFunction": "sesv2.*",
    "AnalyticsFunction": "dynamodb.Transact*",
    "FulfillmentFunction": "dynamodb.Transact*",
}


def effects(world):
    """What the consumers have done so far."""
    return len(world.mails()), len(world.items("SalesTable")), len(world.items("ShipmentsTable"))


@everyone
def test_an_event_is_delivered_to_every_consumer(world, order_id, function):
    assert world.queues.waiting(function) == 1
    world.queues.until_quiet(function)

    assert sum(effects(world)) > 0
    assert world.queues.waiting(function) == 0


@everyone
def test_a_message_that_is_none_of_ours_is_a_dead_letter_and_its_neighbours_are_handled(world, order_id, function):
    # GIVEN a batch with an event and something else
    world.queues.send(function, "nonsense")

    # WHEN it is delivered
    world.queues.until_quiet(function)

    # THEN the one is buried with its reason, and the other is done
    (letter,) = world.queues.dead_letters(function)
    assert letter.body == "nonsense"
    assert letter.attributes == {
        "reason": "not an event: body",
        "eventId": "unknown",
        "consumer": function.removesuffix("Function").lower(),
    }
    assert sum(effects(world)) > 0
    assert world.queues.waiting(function) == 0


BROKEN = [
    ({"detail-type": "order_vanished"}, "not an event: detail-type"),
    ({"detail": {}}, "not an event: detail.data, detail.metadata"),
    ({"source": None}, "not an event: source"),
]


@everyone
@pytest.mark.parametrize(("change", "reason"), BROKEN)
def test_a_malformed_event_is_a_dead_letter_that_names_the_fields(world, order_id, function, change, reason):
    world.queues.until_quiet(function)
    world.queues.send(function, json.dumps(envelope("order_placed", order_id, 1) | change))

    world.queues.deliver(function)

    (letter,) = world.queues.dead_letters(function)
    assert letter.attributes["reason"] == reason


def test_the_reason_of_a_dead_letter_shows_no_data(world):
    broken = envelope("order_placed", "ord_x", 1)
    broken["detail"]["metadata"]["timestamp"] = "ada@example.com"
    world.queues.send("EmailsFunction", json.dumps(broken))

    world.queues.deliver("EmailsFunction")

    (letter,) = world.queues.dead_letters("EmailsFunction")
    assert letter.attributes["reason"] == "not an event: detail.metadata.timestamp"


@everyone
def test_fields_that_a_newer_producer_added_are_ignored(world, order_id, function):
    world.queues.until_quiet(function)
    newer = envelope("order_cancelled", order_id, 1)
    for part in (newer, newer["detail"], newer["detail"]["metadata"], newer["detail"]["data"]):
        part["addedLater"] = {"anything": 1}
    world.queues.send(function, json.dumps(newer))

    world.queues.deliver(function)

    assert world.queues.waiting(function) == 0
    assert world.queues.dead_letters(function) == []


@everyone
def test_an_event_whose_order_is_not_there_yet_is_tried_again(world, order_id, function):
    world.queues.until_quiet(function)
    done = effects(world)
    world.queues.send(function, message("order_placed", "ord_unseen", 1))

    world.queues.deliver(function)

    assert world.queues.waiting(function) == 1
    assert effects(world) == done


@everyone
def test_an_event_that_its_order_is_behind_of_is_tried_again(world, order_id, function):
    world.queues.until_quiet(function)
    done = effects(world)
    world.queues.send(function, message("order_cancelled", order_id, 3))

    world.queues.deliver(function)

    assert world.queues.waiting(function) == 1
    assert effects(world) == done


@everyone
def test_orders_are_read_consistently(world, order_id, function):
    world.queues.deliver(function)

    reads = [call.request for call in world.wire.calls if call.operation in ("GetItem", "BatchGetItem")]
    parts = [part for read in reads for part in read.get("RequestItems", {"": read}).values()]
    assert parts
    assert all(part["ConsistentRead"] for part in parts)


@everyone
def test_a_batch_of_which_everything_failed_raises(world, function):
    record = {
        "messageId": "1",
        "receiptHandle": "r",
        "body": message("order_placed", "ord_unseen", 1),
        "attributes": {"ApproximateReceiveCount": "1"},
        "eventSource": "aws:sqs",
    }
    with pytest.raises(BatchProcessingError):
        world.functions.invoke(function, {"Records": [record]})


# --- trying again -----------------------------------------------------------------------------------------------------


@everyone
def test_tries_are_further_and_further_apart_and_outlast_two_hours(world, order_id, function):
    # GIVEN work that always fails
    world.wire.always(WORK[function], REFUSED)
    start = world.clock.ms

    # WHEN the message is delivered until it is a dead letter
    while world.queues.waiting(function):
        world.queues.deliver(function)
        world.clock.forward(301)

    # THEN each pause is as long as it says, less a fifth at most
    pauses = [call.request["VisibilityTimeout"] for call in world.wire.named("sqs.ChangeMessageVisibility")]
    assert len(pauses) == 5
    assert all(0.8 * most <= pause <= most for pause, most in zip(pauses, (10, 300, 1800, 3600, 3600), strict=True))
    assert world.clock.ms - start > 2 * 3_600_000


@everyone
def test_what_fails_on_its_last_receive_is_a_dead_letter_with_its_reason(world, order_id, function):
    world.wire.always(WORK[function], REFUSED)

    for _ in range(6):
        world.queues.deliver(function)
        world.clock.forward(3600)

    (letter,) = world.queues.dead_letters(function)
    assert letter.attributes["reason"].endswith(": AccessDeniedException")
    assert letter.attributes["eventId"] == f"{order_id}-1"
    assert world.queues.waiting(function) == 0


@everyone
def test_what_failed_and_works_again_is_done_once(world, order_id, function):
    world.wire.on(WORK[function], REFUSED, times=2)

    for _ in range(3):
        world.queues.until_quiet(function)
        world.clock.forward(301)

    assert sum(effects(world)) > 0
    assert world.queues.waiting(function) == 0
    assert world.queues.dead_letters(function) == []


@everyone
def test_a_failed_message_comes_back_even_if_sqs_takes_no_pause_for_it(world, order_id, function):
    world.wire.on(WORK[function], REFUSED)
    world.wire.always("sqs.ChangeMessageVisibility", wire.cannot_connect)

    world.queues.deliver(function)
    world.clock.forward(VISIBILITY)
    world.queues.deliver(function)

    assert sum(effects(world)) > 0


@everyone
def test_a_dead_letter_that_cannot_be_sent_is_not_lost(world, function):
    # GIVEN a dead-letter queue that cannot be reached
    world.queues.send(function, "nonsense")
    world.wire.always("sqs.SendMessage", wire.refuse("InternalError", 500))
    world.queues.deliver(function)
    assert world.queues.waiting(function) == 1

    # WHEN it works again
    world.wire.heal()
    world.clock.forward(VISIBILITY)
    world.queues.deliver(function)

    # THEN the message is buried
    assert len(world.queues.dead_letters(function)) == 1


@everyone
def test_on_its_first_receive_a_message_is_left_to_lambda_to_delete(world, order_id, function):
    world.queues.deliver(function)

    assert world.wire.named("sqs.*") == []


@everyone
def test_on_a_later_receive_a_message_is_deleted_as_soon_as_it_is_done(world, order_id, function):
    # GIVEN a message that comes back
    world.wire.on(WORK[function], REFUSED)
    world.queues.deliver(function)
    world.clock.forward(11)

    # WHEN it is done
    with world.wire.watched() as calls:
        world.queues.deliver(function)

    # THEN the consumer itself has deleted it
    assert [call.operation for call in calls if call.service == "sqs"] == ["DeleteMessage"]


@everyone
def test_a_crashing_neighbour_takes_nothing_along(world, api, function):
    # GIVEN two events that came back, of which the second to be handled crashes the function
    for key in ("one", "two"):
        api.place(body(), key=key)
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)  # nothing else gets into the queue
    world.wire.on(WORK[function], wire.crash_before)
    world.queues.deliver(function)
    world.clock.forward(VISIBILITY)

    # WHEN they come again, and the function crashes after the first is done
    world.wire.on("sqs.DeleteMessage", wire.crash_after)
    world.queues.deliver(function)

    # THEN the first is out of its reach
    assert world.queues.waiting(function) == 1


@everyone
def test_what_crashes_each_time_is_moved_by_sqs_and_has_no_reason(world, order_id, function):
    world.wire.always(WORK[function], wire.crash_before)

    for _ in range(7):
        world.queues.deliver(function)
        world.clock.forward(VISIBILITY)

    (letter,) = world.queues.dead_letters(function)
    assert "reason" not in letter.attributes
    assert world.queues.waiting(function) == 0


@everyone
def test_a_redriven_dead_letter_is_done_once(world, order_id, function):
    # GIVEN a dead letter
    world.wire.always(WORK[function], REFUSED)
    for _ in range(6):
        world.queues.deliver(function)
        world.clock.forward(3600)
    (letter,) = world.queues.dead_letters(function)

    # WHEN its cause is mended and it is sent again, twice
    world.wire.heal()
    world.queues.send(function, letter.body)
    world.queues.send(function, letter.body)
    world.settle_down(2)

    # THEN everything is as if it had been done at once
    invariants.check(world, {MUG: 10})
    assert sum(mail["subject"] == "Your order is confirmed" for mail in world.mails()) == 1


# --- seen -------------------------------------------------------------------------------------------------------------


@everyone
def test_each_events_lag_is_measured_when_received_and_when_done(world, order_id, function, printed):
    world.clock.forward(5)
    printed()
    world.queues.deliver(function)

    metrics = printed()
    consumer = function.removesuffix("Function").lower()
    for name in ("EventLagReceived", "EventLagDone"):
        assert (metrics[name].unit, metrics[name].values) == ("Milliseconds", [5000.0])
        assert metrics[name].dimensions == {"service": STACK_NAME, "consumer": consumer}


@everyone
def test_failures_are_counted(world, order_id, function, printed):
    world.wire.always(WORK[function], REFUSED)
    printed()
    for _ in range(6):
        world.queues.deliver(function)
        world.clock.forward(3600)

    metrics = printed()
    assert (sum(metrics["EventsRetried"].values), sum(metrics["EventsFailed"].values)) == (5, 1)
    assert "EventLagDone" not in metrics


@everyone
def test_an_event_that_was_dealt_with_before_is_counted_as_repeated(world, order_id, function, printed):
    # GIVEN an event that is new
    printed()
    world.queues.deliver(function)
    assert not printed().keys() & {"EventsRepeated", "EventsSkipped"}

    # WHEN it comes again, twice in one batch
    for _ in range(2):
        world.queues.send(function, message("order_placed", order_id, 1))
    world.queues.deliver(function)

    # THEN it is counted as such, and done
    metrics = printed()
    assert (metrics["EventsRepeated"].unit, sum(metrics["EventsRepeated"].values)) == ("Count", 2)
    consumer = function.removesuffix("Function").lower()
    assert metrics["EventsRepeated"].dimensions == {"service": STACK_NAME, "consumer": consumer}
    assert "EventsSkipped" not in metrics
    assert world.queues.waiting(function) == 0


@everyone
def test_a_new_event_and_its_double_in_the_same_batch_are_one_repeat(world, order_id, function, printed):
    world.queues.send(function, message("order_placed", order_id, 1))
    printed()

    assert world.queues.deliver(function) == 2

    assert sum(printed()["EventsRepeated"].values) == 1


@everyone
def test_an_event_that_failed_is_not_repeated_when_it_comes_again(world, order_id, function, printed):
    world.wire.on(WORK[function], REFUSED)
    printed()
    for _ in range(2):
        world.queues.deliver(function)
        world.clock.forward(11)

    metrics = printed()
    assert (sum(metrics["EventsRetried"].values), len(metrics["EventLagDone"].values)) == (1, 1)
    assert "EventsRepeated" not in metrics


@everyone
def test_a_dead_letter_keeps_the_trace_of_its_event(world, function):
    # GIVEN a message with a trace, and one without
    traced = {"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}}
    queue, dead_letters = (world.stack.environment(function)[name] for name in ("QUEUE_URL", "DEAD_LETTER_QUEUE_URL"))
    world.client("sqs").send_message(QueueUrl=queue, MessageBody="traced", MessageSystemAttributes=traced)
    world.queues.send(function, "untraced")

    # WHEN they become dead letters
    world.queues.deliver(function)

    # THEN the one goes on with its trace
    found = world.client("sqs").receive_message(
        QueueUrl=dead_letters, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
    )["Messages"]
    traces = {letter["Body"]: letter["Attributes"].get("AWSTraceHeader") for letter in found}
    assert traces == {"traced": TRACE, "untraced": None}


@everyone
def test_each_receive_logs_its_outcome_and_the_reason_of_a_failure(world, order_id, function, caplog):
    # GIVEN an event that fails until it is a dead letter, and then is redriven twice
    caplog.set_level("INFO")
    world.wire.always(WORK[function], REFUSED)
    for _ in range(6):
        world.queues.deliver(function)
        world.clock.forward(3600)
    world.wire.heal()
    (letter,) = world.queues.dead_letters(function)
    for _ in range(2):
        world.queues.send(function, letter.body)
        world.queues.until_quiet(function)

    # THEN each receive says how it ended, and each failure why, as the dead letter does
    logged = [(record.outcome, record.reason) for record in caplog.records if hasattr(record, "outcome")]
    reason = letter.attributes["reason"]
    assert logged[:6] == [*[("retried", reason)] * 5, ("dead_lettered", reason)]
    assert ("done", None) in logged[6:]
    assert logged[-1] == ("repeated", None)


@everyone
def test_an_event_whose_dead_letter_is_not_sent_is_logged_as_retried(world, function, caplog):
    world.queues.send(function, "nonsense")
    world.wire.on("sqs.SendMessage", wire.refuse("InternalError", 500), times=9)

    world.queues.deliver(function)

    (outcome,) = [record.outcome for record in caplog.records if hasattr(record, "outcome")]
    assert outcome == "retried"


# --- independent ------------------------------------------------------------------------------------------------------


@everyone
def test_a_broken_consumer_changes_neither_the_answer_nor_the_others(world, api, function):
    # GIVEN a consumer that crashes at once
    world.wire.always(WORK[function], wire.crash_before, where=lambda _: function in world.functions.running)

    # WHEN an order is placed and goes its way
    answer = api.place(body())
    world.queues.until_quiet()

    # THEN the answer is the usual one, and only what this consumer does is missing
    assert answer.status == 201
    done = [count > 0 for count in effects(world)]
    assert done == [consumer != function for consumer in CONSUMERS]
