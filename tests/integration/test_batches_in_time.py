"""No consumer is stopped by its timeout, even if its calls are slow: it hands the rest of a batch back."""

import json
from math import ceil

import pytest

from dev import samples
from dev.simulated import wire
from dev.simulated.messages import replayed
from dev.simulated.world import body
from dev.template import template_with
from handoff import aws, bus, connections
from handoff.consumer import RESERVE
from shop import payments
from shop.model import Customer
from shop.payments import sandbox

EMAILS, ANALYTICS, FULFILLMENT = "EmailsFunction", "AnalyticsFunction", "FulfillmentFunction"
SETTLEMENT, FEEDBACK = "SettlementFunction", "FeedbackFunction"
everyone = pytest.mark.parametrize("function", [EMAILS, ANALYTICS, FULFILLMENT, SETTLEMENT, FEEDBACK])
MAIL = 11.2  # seconds of one call of SES: 1 s to connect, 10 s for the answer, and the retry of a reset connection
FEWEST_RECEIVES = 5  # the minimum of the parameter MaxReceives
LAST_RECEIVE = "6"  # its default


def slowest(world):
    """Return a function that returns the seconds that a call takes at most."""

    def seconds(call):
        if world.to_provider(call):
            return payments.LONGEST_CALL / sandbox.CALLS
        return {"sesv2": MAIL, "eventbridge": bus.LONGEST_PUBLISH}.get(call.service, aws.LONGEST_CALL)

    return seconds


@pytest.fixture
def slow(world):
    """Let every call of a function take time from now on: the time that the argument returns for it, or its maximum."""

    def start(seconds=None):
        taken = seconds or slowest(world)
        world.wire.gate = lambda call: world.clock.forward(taken(call)) if world.functions.running else None

    yield start
    world.wire.gate = lambda _call: None


@pytest.fixture
def timed(world):
    """Deliver a batch, or invoke a function with records; return the seconds that this took."""

    def deliver(function, records=None):
        start = world.clock.ms
        if records is None:
            world.queues.deliver(function)
        else:
            world.queues.hand_over(function, records)
        return (world.clock.ms - start) / 1000

    return deliver


def described(function):
    """Return a function and its queue as the template has them."""
    (found,) = (one for one in template_with().consumers() if one.function_id == function)
    return found


def longest(world, function):
    """Return the seconds that a function keeps for a message."""
    return world.functions.module(function)._consumer._longest


def only(world, function, *messages):
    """Replace the messages in a function's queue."""
    world.client("sqs").purge_queue(QueueUrl=world.stack.environment(function)["QUEUE_URL"])
    for text in messages:
        world.queues.send(function, text)


# --- the longest message ----------------------------------------------------------------------------------------------


def placed(world, order_id):
    pass


def cancelled(world, order_id):
    world.api().cancel(order_id)


def packed(world, order_id):
    world.queues.until_quiet(FULFILLMENT)


def packed_without_answer(world, order_id):
    """Pack an order whose authorization has no answer on record, so that settlement asks for the hold first."""
    packed(world, order_id)
    order = world.order(order_id)
    del order["payment"]["reference"]
    world.put("OrdersTable", order)


def released(world, order_id):
    world.queues.until_quiet(FULFILLMENT, SETTLEMENT)


def refund_requested(world, order_id):
    released(world, order_id)
    world.program("refunds:write").refund(order_id)


def refunded(world, order_id):
    refund_requested(world, order_id)
    world.queues.until_quiet(SETTLEMENT)


def address_changed(world, order_id):
    for email in ("ada@old.example", "ada@new.example"):
        world.api().call("PUT", "/me", json.dumps({"name": "Ada", "email": email}))


def address_rejected(world, order_id):
    address_changed(world, order_id)
    world.wire.always("sesv2.SendEmail", wire.refuse("BadRequestException"))


def address_flagged(world, order_id):
    world.change("CustomersTable", {"userId": "ada"}, emailProblem="bounced")


@pytest.mark.parametrize(
    ("function", "happened"),
    [
        (EMAILS, placed),
        (EMAILS, cancelled),
        (EMAILS, released),
        (EMAILS, refunded),
        (EMAILS, address_changed),
        (EMAILS, address_flagged),
        (ANALYTICS, placed),
        (ANALYTICS, refunded),
        (FULFILLMENT, placed),
        (SETTLEMENT, cancelled),
        (SETTLEMENT, packed),
        (SETTLEMENT, packed_without_answer),
        (SETTLEMENT, refund_requested),
    ],
)
def test_a_message_takes_no_longer_than_its_consumer_assumes(world, order_id, slow, timed, function, happened):
    # GIVEN the last event of an order or a customer, and calls that all take their maximum
    happened(world, order_id)
    only(world, function, replayed(world.events()[-1]))
    kept = longest(world, function)
    slow()

    # WHEN it is handled
    took = timed(function)

    # THEN it took the time that is kept for a message, or at the beginning of the batch
    assert 0 < took <= (kept or described(function).function["Timeout"] - RESERVE) + 0.01
    assert world.queues.waiting(function) == 0


def test_a_rejected_address_takes_no_longer_than_assumed(world, order_id, slow, timed):
    address_rejected(world, order_id)
    only(world, EMAILS, replayed(world.events()[-1]))
    kept = longest(world, EMAILS)
    slow()

    assert timed(EMAILS) <= kept + RESERVE
    assert len(world.queues.dead_letters(EMAILS)) == 1


def test_a_report_about_another_spelling_takes_no_longer_than_assumed(world, slow, timed):
    report = samples.bounced(Customer(user_id="ada", name="", email="Ada@Example.com"))
    only(world, FEEDBACK, json.dumps(report))
    slow()

    assert timed(FEEDBACK) <= longest(world, FEEDBACK)
    assert world.item("CustomersTable", userId="ada")["emailProblem"] == "bounced"


def test_a_look_at_a_payment_takes_no_longer_than_assumed(world, api, slow, timed):
    # GIVEN an order that was captured at the provider
    order_id = api.place(body(), key="look").json["orderId"]
    hold = world.order(order_id)["payment"]["reference"]
    event = samples.payment_happened(samples.orders()["good"])
    event["detail"]["data"]["reference"] = hold
    world.change("SandboxTable", {"key": hold}, state="captured")
    only(world, SETTLEMENT, json.dumps(event))
    slow()

    assert 0 < timed(SETTLEMENT) <= longest(world, SETTLEMENT)


def test_a_mail_is_one_call_that_is_not_retried(world):
    # A retry after a timeout can send a mail twice.
    config = world.functions.module(EMAILS)._ses.meta.config

    assert config.retries["total_max_attempts"] == 1
    assert config.connect_timeout + config.read_timeout + connections.RESET_WITHIN == pytest.approx(MAIL)


# --- the template -----------------------------------------------------------------------------------------------------


@everyone
def test_messages_of_a_second_each_are_never_handed_back(world, function):
    parts, kept = described(function), longest(world, function)

    assert parts.mapping["BatchSize"] * (1 if kept else 0) + kept + RESERVE <= parts.function["Timeout"]


@everyone
def test_handing_back_makes_no_dead_letter_of_a_batch_of_the_longest_messages(world, function):
    parts, kept = described(function), longest(world, function)
    before_the_last = parts.function["Timeout"] - kept - RESERVE
    handled_at_once = 1 + before_the_last // kept if kept else parts.mapping["BatchSize"]

    assert ceil(parts.mapping["BatchSize"] / handled_at_once) <= FEWEST_RECEIVES


# --- handing back -----------------------------------------------------------------------------------------------------


@pytest.fixture
def ten_changes(world, order_id):
    """The messages about ten customers' changed addresses, each of which is two mails."""
    changes = []
    for n in range(10):
        for email in (f"c{n}@old.example", f"c{n}@new.example"):
            world.api(f"c{n}").call("PUT", "/me", json.dumps({"name": "Ada", "email": email}))
        changes.append(replayed(world.events()[-1]))
    only(world, EMAILS, *changes)
    return changes


def test_ten_changed_addresses_at_a_slow_mail_service_are_mailed_once(world, ten_changes, slow, timed, printed):
    # GIVEN a mail service that takes 9 s a mail, so that the batch takes 180 s
    slow(lambda call: 9.0 if call.service == "sesv2" else 0.05)
    printed()

    # WHEN the batch is delivered, and the rest of it
    took = []
    for _ in range(3):
        took.append(timed(EMAILS))
        world.clock.forward(1)  # SQS shows messages a moment after they are released

    # THEN no invocation is stopped, and every address has its one mail at once
    assert max(took) < described(EMAILS).function["Timeout"] - RESERVE
    mailed = [mail["to"] for mail in world.mails()]
    assert sorted(mailed) == sorted(f"c{n}@{when}.example" for n in range(10) for when in ("old", "new"))
    assert world.queues.waiting(EMAILS) == 0
    metrics = printed()
    assert sum(metrics["EventsHandedBack"].values) >= 1
    assert not {"EventsRetried", "EventsFailed", "EventsRepeated"} & metrics.keys()


def test_quick_messages_are_handled_in_one_batch(world, ten_changes, printed):
    world.queues.deliver(EMAILS)

    assert len(world.mails()) == 20
    assert "EventsHandedBack" not in printed()


@pytest.fixture
def batch(world, ten_changes, slow):
    """The records of a batch, of which only one is handled in time; ``receives`` by position, 1 by default."""

    def received(receives):
        records = world.queues.receive(EMAILS)
        for n, count in receives.items():
            records[n]["attributes"]["ApproximateReceiveCount"] = count
        slow(lambda call: 50.0 if call.service == "sesv2" else 0.0)
        return records

    return received


def test_the_message_with_the_most_receives_is_handled_first(world, batch):
    world.queues.hand_over(EMAILS, batch({7: "5", 3: "4"}))

    assert [mail["to"] for mail in world.mails()] == ["c7@old.example", "c7@new.example"]


def test_messages_that_are_handed_back_are_logged_and_visible_at_once(world, batch, caplog, printed):
    caplog.set_level("INFO")
    printed()

    world.queues.hand_over(EMAILS, batch({}))

    (call,) = world.wire.named("sqs.*")
    assert call.operation == "ChangeMessageVisibilityBatch"
    assert [entry["VisibilityTimeout"] for entry in call.request["Entries"]] == [0] * 9
    logged = [record for record in caplog.records if getattr(record, "outcome", "") == "handed_back"]
    assert sorted(record.event_id for record in logged) == [f"c{n}-2" for n in range(1, 10)]
    assert printed()["EventsHandedBack"].values == [9.0]
    world.clock.forward(1)
    assert len(world.queues.receive(EMAILS)) == 9


def test_messages_that_cannot_be_handed_back_return_after_their_timeout(world, batch):
    world.wire.always("sqs.*", wire.cannot_connect)

    world.queues.hand_over(EMAILS, batch({}))

    assert world.queues.receive(EMAILS) == []
    world.clock.forward(described(EMAILS).queue["VisibilityTimeout"])
    assert len(world.queues.receive(EMAILS)) == 9


def test_a_message_is_not_handed_back_on_its_last_receive(world, batch):
    # GIVEN two messages that SQS would move to the dead-letter queue without a reason
    world.queues.hand_over(EMAILS, batch({2: LAST_RECEIVE, 4: LAST_RECEIVE}))

    # THEN one is handled, and the other is a dead letter with its reason
    assert {mail["to"] for mail in world.mails()} == {"c2@old.example", "c2@new.example"}
    (letter,) = world.queues.dead_letters(EMAILS)
    assert letter.attributes["eventId"] == "c4-2"
    assert letter.attributes["reason"] == "no batch had time for it; redrive it"
