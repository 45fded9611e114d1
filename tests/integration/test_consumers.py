"""Behavior of all consumers: partial batches, retries, and dead letters with a reason."""

import json

import pytest

from dev.simulated import wire
from dev.simulated.account import STACK_NAME
from dev.simulated.messages import envelope, message
from dev.simulated.world import MUG, body
from handoff.consumer import BACKOFF, BatchFailed
from tests.support import invariants

FULFILLMENT, SETTLEMENT = "FulfillmentFunction", "SettlementFunction"
CONSUMERS = ["EmailsFunction", "AnalyticsFunction", FULFILLMENT, SETTLEMENT]
VISIBILITY = 1086  # just longer than the longest visibility timeout of the queues, in seconds
REFUSED = wire.refuse("AccessDeniedException")  # not retried by the SDK
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
everyone = pytest.mark.parametrize("function", CONSUMERS)

# The first call of each consumer's own work, for injected failures.
WORK = {
    "EmailsFunction": "sesv2.*",
    "AnalyticsFunction": "dynamodb.Transact*",
    FULFILLMENT: "dynamodb.Transact*",
    SETTLEMENT: "dynamodb.Transact*",
}


# The event that the tests deliver, and its sequence.
EVENT = {SETTLEMENT: ("shipment_prepared", 2)}
PLACED = ("order_placed", 1)


@pytest.fixture
def order_id(world, request, order_id):
    """An order whose event waits in the queue of the test's function."""
    if "function" in request.fixturenames and request.getfixturevalue("function") == SETTLEMENT:
        world.queues.until_quiet(FULFILLMENT)
    return order_id


def again(function, order_id):
    """Return the body of another message with the order's event."""
    return message(EVENT.get(function, PLACED)[0], order_id, EVENT.get(function, PLACED)[1])


def effects(world):
    """Return the effects of each consumer so far."""
    captured = [order for order in world.items("OrdersTable") if order["payment"]["state"] == "captured"]
    written = len(world.items("SalesTable")), len(world.items("ShipmentsTable")), len(captured)
    return dict(zip(CONSUMERS, (len(world.mails()), *written), strict=True))


@everyone
def test_an_event_is_delivered_to_every_consumer(world, order_id, function):
    assert world.queues.waiting(function) == 1
    world.queues.until_quiet(function)

    assert effects(world)[function] > 0
    assert world.queues.waiting(function) == 0


@everyone
def test_an_invalid_message_is_a_dead_letter_and_others_are_handled(world, order_id, function):
    # GIVEN a batch with an event and an invalid message
    world.queues.send(function, "nonsense")

    # WHEN it is delivered
    world.queues.until_quiet(function)

    # THEN the message is a dead letter with its reason, and the event is handled
    (letter,) = world.queues.dead_letters(function)
    assert letter.body == "nonsense"
    assert letter.attributes == {
        "reason": "not an event: body",
        "eventId": "unknown",
        "consumer": function.removesuffix("Function").lower(),
    }
    assert effects(world)[function] > 0
    assert world.queues.waiting(function) == 0


BROKEN = [
    ({"detail-type": "order_vanished"}, "not an event: detail-type"),
    ({"detail": {}}, "not an event: detail.data, detail.metadata"),
    ({"source": None}, "not an event: source"),
]


@everyone
@pytest.mark.parametrize(("change", "reason"), BROKEN)
def test_a_malformed_event_is_a_dead_letter_that_lists_its_fields(world, order_id, function, change, reason):
    world.queues.until_quiet(function)
    world.queues.send(function, json.dumps(json.loads(again(function, order_id)) | change))

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
    newer = json.loads(again(function, order_id))
    for part in (newer, newer["detail"], newer["detail"]["metadata"], newer["detail"]["data"]):
        part["addedLater"] = {"anything": 1}
    world.queues.send(function, json.dumps(newer))

    world.queues.deliver(function)

    assert world.queues.waiting(function) == 0
    assert world.queues.dead_letters(function) == []


@everyone
def test_an_event_whose_order_does_not_exist_yet_is_retried(world, order_id, function):
    world.queues.until_quiet(function)
    done = effects(world)
    world.queues.send(function, message("order_placed", "ord_unseen", 1))

    world.queues.deliver(function)

    assert world.queues.waiting(function) == 1
    assert effects(world) == done


@everyone
def test_an_event_ahead_of_its_stored_order_is_retried(world, order_id, function):
    world.queues.until_quiet(function)
    done = effects(world)
    world.queues.send(function, message(EVENT.get(function, PLACED)[0], order_id, 9))

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
def test_a_batch_in_which_every_message_failed_raises(world, function):
    record = {
        "messageId": "1",
        "receiptHandle": "r",
        "body": message("order_placed", "ord_unseen", 1),
        "attributes": {"ApproximateReceiveCount": "1"},
        "eventSource": "aws:sqs",
    }
    with pytest.raises(BatchFailed):
        world.functions.invoke(function, {"Records": [record]})


# --- retries ----------------------------------------------------------------------------------------------------------


@everyone
def test_retries_back_off_and_outlast_two_hours(world, order_id, function):
    # GIVEN work that always fails
    world.wire.always(WORK[function], REFUSED)
    start = world.clock.ms

    # WHEN the message is delivered until it is a dead letter
    while world.queues.waiting(function):
        world.queues.deliver(function)
        world.clock.forward(301)

    # THEN each pause is the backoff, less a fifth at most
    pauses = [call.request["VisibilityTimeout"] for call in world.wire.named("sqs.ChangeMessageVisibility")]
    assert len(pauses) == 5
    assert all(0.8 * most <= pause <= most for pause, most in zip(pauses, (10, 300, 1800, 3600, 3600), strict=True))
    assert world.clock.ms - start > 2 * 3_600_000


@everyone
def test_the_last_failed_receive_makes_a_dead_letter_with_a_reason(world, order_id, function):
    world.wire.always(WORK[function], REFUSED)

    for _ in range(6):
        world.queues.deliver(function)
        world.clock.forward(max(BACKOFF) + 1)

    (letter,) = world.queues.dead_letters(function)
    wanted = "Unavailable" if function == SETTLEMENT else ": AccessDeniedException"  # the provider's, or our table's
    assert letter.attributes["reason"].endswith(wanted)
    assert letter.attributes["eventId"] == f"{order_id}-{EVENT.get(function, PLACED)[1]}"
    assert world.queues.waiting(function) == 0


@everyone
def test_a_retried_event_is_handled_once(world, order_id, function):
    world.wire.on(WORK[function], REFUSED, times=2)

    for _ in range(3):
        world.queues.until_quiet(function)
        world.clock.forward(301)

    assert effects(world)[function] > 0
    assert world.queues.waiting(function) == 0
    assert world.queues.dead_letters(function) == []


@everyone
def test_a_message_whose_backoff_cannot_be_set_is_retried(world, order_id, function):
    world.wire.on(WORK[function], REFUSED)
    world.wire.always("sqs.ChangeMessageVisibility", wire.cannot_connect)

    world.queues.deliver(function)
    world.clock.forward(VISIBILITY)
    world.queues.deliver(function)

    assert effects(world)[function] > 0


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

    # THEN the message is a dead letter
    assert len(world.queues.dead_letters(function)) == 1


@everyone
def test_lambda_deletes_a_message_on_its_first_receive(world, order_id, function):
    world.queues.deliver(function)

    assert world.wire.named("sqs.*") == []


@everyone
def test_on_a_later_receive_a_message_is_deleted_when_handled(world, order_id, function):
    # GIVEN a redelivered message
    world.wire.on(WORK[function], REFUSED)
    world.queues.deliver(function)
    world.clock.forward(11)

    # WHEN it is handled
    with world.wire.watched() as calls:
        world.queues.deliver(function)

    # THEN the consumer itself has deleted it
    assert [call.operation for call in calls if call.service == "sqs"] == ["DeleteMessage"]


@everyone
def test_a_crash_does_not_repeat_handled_messages_of_the_batch(world, api, function):
    # GIVEN two redelivered events, the second of which crashes the function
    for key in ("one", "two"):
        api.place(body(), key=key)
    if function == SETTLEMENT:
        world.queues.until_quiet(FULFILLMENT)
    world.wire.always("eventbridge.PutEvents", wire.cannot_connect)  # no other events get into the queue
    world.wire.on(WORK[function], wire.crash_before)
    world.queues.deliver(function)
    world.clock.forward(VISIBILITY)

    # WHEN they are delivered, and the function crashes after the first one
    world.wire.on("sqs.DeleteMessage", wire.crash_after)
    world.queues.deliver(function)

    # THEN the first one is not delivered again
    assert world.queues.waiting(function) == 1


@everyone
def test_a_message_that_always_crashes_is_moved_without_a_reason(world, order_id, function):
    world.wire.always(WORK[function], wire.crash_before)

    for _ in range(7):
        world.queues.deliver(function)
        world.clock.forward(VISIBILITY)

    (letter,) = world.queues.dead_letters(function)
    assert "reason" not in letter.attributes
    assert world.queues.waiting(function) == 0


@everyone
def test_a_redriven_dead_letter_is_handled_once(world, order_id, function):
    # GIVEN a dead letter
    world.wire.always(WORK[function], REFUSED)
    for _ in range(6):
        world.queues.deliver(function)
        world.clock.forward(max(BACKOFF) + 1)
    (letter,) = world.queues.dead_letters(function)

    # WHEN its cause is fixed and it is redriven twice
    world.wire.heal()
    world.queues.send(function, letter.body)
    world.queues.send(function, letter.body)
    world.settle_down(2)

    # THEN the result is the same as without a failure
    invariants.check(world, {MUG: 10})
    assert sum(mail["subject"] == "Your order is confirmed" for mail in world.mails()) == 1


# --- logs and metrics -------------------------------------------------------------------------------------------------


@everyone
def test_lag_is_measured_when_an_event_is_received_and_handled(world, order_id, function, printed):
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
        world.clock.forward(max(BACKOFF) + 1)

    metrics = printed()
    assert (sum(metrics["EventsRetried"].values), sum(metrics["EventsFailed"].values)) == (5, 1)
    assert "EventLagDone" not in metrics


@everyone
def test_an_event_handled_before_is_counted_as_repeated(world, order_id, function, printed):
    # GIVEN a new event
    printed()
    world.queues.deliver(function)
    assert not printed().keys() & {"EventsRepeated", "EventsSkipped"}

    # WHEN it is delivered again, twice in one batch
    for _ in range(2):
        world.queues.send(function, again(function, order_id))
    world.queues.deliver(function)

    # THEN it is counted as repeated, and deleted
    metrics = printed()
    assert (metrics["EventsRepeated"].unit, sum(metrics["EventsRepeated"].values)) == ("Count", 2)
    consumer = function.removesuffix("Function").lower()
    assert metrics["EventsRepeated"].dimensions == {"service": STACK_NAME, "consumer": consumer}
    assert "EventsSkipped" not in metrics
    assert world.queues.waiting(function) == 0


@everyone
def test_an_event_and_its_duplicate_in_one_batch_are_one_repeat(world, order_id, function, printed):
    world.queues.send(function, again(function, order_id))
    printed()

    assert world.queues.deliver(function) == 2

    assert sum(printed()["EventsRepeated"].values) == 1


@everyone
def test_a_retry_of_a_failed_event_is_not_counted_as_repeated(world, order_id, function, printed):
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

    # THEN the first one keeps its trace
    found = world.client("sqs").receive_message(
        QueueUrl=dead_letters, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
    )["Messages"]
    traces = {letter["Body"]: letter["Attributes"].get("AWSTraceHeader") for letter in found}
    assert traces == {"traced": TRACE, "untraced": None}


@everyone
def test_each_receive_logs_its_outcome_and_the_reason_of_failure(world, order_id, function, caplog):
    # GIVEN an event that fails until it is a dead letter, and that is then redriven twice
    caplog.set_level("INFO")
    world.wire.always(WORK[function], REFUSED)
    for _ in range(6):
        world.queues.deliver(function)
        world.clock.forward(max(BACKOFF) + 1)
    world.wire.heal()
    (letter,) = world.queues.dead_letters(function)
    for _ in range(2):
        world.queues.send(function, letter.body)
        world.queues.until_quiet(function)

    # THEN each receive logs its outcome, and each failure the reason of the dead letter
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


# --- independence -----------------------------------------------------------------------------------------------------


@everyone
def test_a_broken_consumer_affects_neither_response_nor_others(world, api, function):
    # GIVEN a consumer that crashes at once
    world.wire.always(WORK[function], wire.crash_before, where=lambda _: function in world.functions.running)

    # WHEN an order is placed and its events are delivered
    answer = api.place(body())
    world.queues.until_quiet()

    # THEN the response is the same, and only its effects are missing; an order that is not packed is not captured
    assert answer.status == 201
    missing = {FULFILLMENT, SETTLEMENT} if function == FULFILLMENT else {function}
    assert {consumer for consumer, count in effects(world).items() if not count} == missing
