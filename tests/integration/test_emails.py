"""E-mail: content, recipients and duplicates."""

import json
from itertools import pairwise

import pytest
from moto.ses.models import ses_backends

from dev.simulated import wire
from dev.simulated.account import ACCOUNT, REGION
from dev.simulated.messages import message
from dev.simulated.world import MUG, TEE, body
from handoff.attribute_values import to_item
from handoff.consumer import BACKOFF

DAY = 86_400_000  # ms
EMAILS = "EmailsFunction"
ON_ITS_WAY = "Your order is on its way"
# Powertools lets another invocation retry after the timeout of the crashed one.
CRASHED_IS_BACK = 1086


def deliver(world, *messages):
    """Deliver all waiting messages and these in one batch."""
    for text in messages:
        world.queues.send(EMAILS, text)
    return world.queues.deliver(EMAILS)


def subjects(world):
    return [mail["subject"] for mail in world.mails()]


# --- the mails --------------------------------------------------------------------------------------------------------


def test_a_placed_order_is_confirmed(world, order_id):
    world.queues.deliver(EMAILS)

    (mail,) = world.mails()
    assert (mail["from"], mail["to"]) == ("shop@example.com", "ada@example.com")
    assert mail["subject"] == "Your order is confirmed"


def test_a_canceled_order_is_confirmed_as_canceled(world, api, order_id):
    world.queues.deliver(EMAILS)
    api.cancel(order_id)
    world.queues.deliver(EMAILS)

    assert subjects(world) == ["Your order is confirmed", "Your order is cancelled"]


@pytest.mark.usefixtures("order_id")
def test_a_released_order_sends_the_shipping_mail(world):
    world.queues.until_quiet()

    assert subjects(world) == ["Your order is confirmed", ON_ITS_WAY]


def test_no_mail_says_on_its_way_before_the_capture(world, order_id):
    # GIVEN a payment provider that is down when the order is packed
    world.wire.always("dynamodb.*", wire.cannot_connect, where=world.to_provider)
    world.queues.until_quiet()
    assert world.order(order_id)["status"] == "PREPARED"
    assert subjects(world) == ["Your order is confirmed"]

    # WHEN it is back
    world.wire.heal()
    world.until_quiet()

    # THEN the shipment is released and mailed
    assert subjects(world) == ["Your order is confirmed", ON_ITS_WAY]


def test_a_cancellation_by_the_shop_shows_its_reason(world, order_id):
    world.program("orders:write").cancel(order_id, reason="<sold> out")
    world.queues.deliver(EMAILS)

    (mail,) = world.mails()
    assert "Reason: <sold> out" in mail["text"]
    assert "Reason: &lt;sold&gt; out" in mail["html"]


def test_a_cancellation_claims_no_uncharged_payment_before_the_void(world, api, order_id):
    api.cancel(order_id)
    first = world.queues.receive(EMAILS)
    world.queues.hand_over(EMAILS, first)
    assert "If it was charged already, it is refunded." in world.mails()[0]["text"]

    # WHEN the next mail is written after the void
    second = api.place(body(), key="key-2").json["orderId"]
    api.cancel(second)
    world.queues.until_quiet("SettlementFunction")
    world.queues.deliver(EMAILS)

    assert "You were not charged" in world.mails()[1]["text"]


def test_each_refund_sends_a_mail(world, api, order_id):
    world.queues.until_quiet()
    shop = world.program("refunds:write")
    shop.refund(order_id, amount=500, reason="a scratch")
    shop.refund(order_id, key="refund-2", reason="returned")
    world.queues.until_quiet()

    first, second = (mail for mail in world.mails() if mail["subject"] == "Your refund")
    assert ("€5.00" in first["text"], "a scratch" in first["text"]) == (True, True)
    assert ("€7.50" in second["text"], "€12.50 of €12.50" in second["text"]) == (True, True)


def test_a_return_request_is_acknowledged_with_its_time(world, api, order_id):
    world.queues.until_quiet()
    world.clock.forward(3 * 86_400)
    assert api.return_order(order_id, reason="too blue").status == 200
    world.queues.until_quiet()

    mail = world.mails()[-1]
    assert mail["subject"] == "We received your return request"
    assert "on November 26, 2026, 10:00:00\u202fAM UTC." in mail["text"]
    assert all(shown in mail["text"] for shown in ("too blue", "1 x Mug-01", order_id))


def test_a_mail_has_lines_and_total_in_text_and_html(world, api):
    world.stock(TEE, unit_price=2000, name="Tee <script>")
    order_id = api.place(body((MUG, 2), (TEE, 1))).json["orderId"]
    world.queues.deliver(EMAILS)

    (mail,) = world.mails()
    for part in ("text", "html"):
        assert all(shown in mail[part] for shown in ("2 x Mug-01", "€25.00", "€20.00", "€45.00", order_id))
    assert "Tee <script>" in mail["text"]
    assert "Tee &lt;script&gt;" in mail["html"]


def test_ses_has_sent_the_mail(world, order_id):
    world.queues.deliver(EMAILS)

    (sent,) = ses_backends[ACCOUNT][REGION].sent_messages
    assert sent.destinations["ToAddresses"] == ["ada@example.com"]


# --- once -------------------------------------------------------------------------------------------------------------


def test_the_same_event_later_sends_no_second_mail(world, order_id):
    world.queues.deliver(EMAILS)

    deliver(world, message("order_placed", order_id, 1))

    assert len(world.mails()) == 1
    assert world.queues.waiting(EMAILS) == 0


def test_a_repeat_whose_mail_would_differ_sends_no_second_mail(world, order_id):
    world.queues.deliver(EMAILS)
    world.customer(name="Ada King")

    deliver(world, message("order_placed", order_id, 1))

    assert len(world.mails()) == 1


def test_the_same_event_twice_in_a_batch_sends_one_mail(world, order_id):
    assert deliver(world, message("order_placed", order_id, 1)) == 2

    assert len(world.mails()) == 1
    assert world.queues.waiting(EMAILS) == 0


def test_a_duplicate_after_29_days_sends_no_second_mail(world, order_id):
    first = world.clock.ms
    world.queues.deliver(EMAILS)

    world.clock.forward(29 * DAY / 1000)
    deliver(world, message("order_placed", order_id, 1, at=first))

    assert len(world.mails()) == 1


def test_two_events_of_one_order_are_two_mails(world, api, order_id):
    world.queues.deliver(EMAILS)
    api.cancel(order_id)
    world.queues.deliver(EMAILS)

    assert len(world.mails()) == 2


def test_a_mail_in_progress_is_not_sent_by_another_instance(world, order_id):
    # GIVEN the same event, delivered to two instances at the same time
    world.queues.send(EMAILS, message("order_placed", order_id, 1))
    world.wire.on("sesv2.SendEmail", wire.meanwhile(lambda: world.queues.deliver(EMAILS)))

    # WHEN the second arrives while the first is sending
    world.functions.invoke(EMAILS, {"Records": world.queues.receive(EMAILS, 1)})

    # THEN there is one mail, and the second delivery is retried
    assert len(world.mails()) == 1
    assert len(world.wire.named("sqs.ChangeMessageVisibility")) == 1


def test_a_crash_before_sending_sends_the_mail_later(world, order_id):
    world.wire.on("sesv2.SendEmail", wire.crash_before)
    world.queues.deliver(EMAILS)
    assert world.mails() == []

    world.clock.forward(CRASHED_IS_BACK)
    world.queues.deliver(EMAILS)

    assert len(world.mails()) == 1


def test_a_crash_between_mail_and_record_sends_a_second_mail(world, order_id):
    world.wire.on("sesv2.SendEmail", wire.crash_after)
    world.queues.deliver(EMAILS)

    world.clock.forward(CRASHED_IS_BACK)
    world.queues.deliver(EMAILS)

    assert len(world.mails()) == 2


@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem"])
def test_a_lost_answer_of_the_record_sends_no_second_mail(world, order_id, operation):
    # GIVEN a record that is written, but whose answer is lost
    world.wire.on(f"dynamodb.{operation}", wire.lose_response, where=world.touching("IdempotencyTable"))

    # WHEN the event is delivered, and all retries are over
    for _ in range(4):
        world.queues.deliver(EMAILS)
        world.clock.forward(CRASHED_IS_BACK)

    # THEN there is one mail
    assert len(world.mails()) == 1
    assert world.queues.waiting(EMAILS) == 0


def test_an_unresponsive_mail_service_is_called_once_per_delivery(world, order_id):
    world.wire.on("sesv2.SendEmail", wire.lose_request)

    world.queues.deliver(EMAILS)

    assert len(world.wire.named("sesv2.SendEmail")) == 1
    assert world.queues.waiting(EMAILS) == 1


def test_a_reset_of_the_mail_services_connection_fails_no_mail(world, api, printed):
    # GIVEN a mail that was sent, so that the function keeps the connection
    api.place(body(), key="first")
    world.queues.deliver(EMAILS)

    # WHEN the connection turns out to be dead
    api.place(body(), key="second")
    world.wire.on("sesv2.SendEmail", wire.reset_connection)
    world.queues.deliver(EMAILS)

    # THEN the mail is sent over another one: the batch does not fail, and no alarm is raised
    assert len(world.mails()) == 2
    assert world.queues.waiting(EMAILS) == 0
    assert not {"EventsRetried", "EventsFailed"} & printed().keys()
    assert not any(failed for _, failed in world.functions.ended)


def test_the_record_is_kept_30_days_longer_than_messages(world, order_id):
    world.queues.deliver(EMAILS)

    (record,) = world.items("IdempotencyTable")
    assert record["status"] == "COMPLETED"
    assert record["expiration"] == world.clock.ms // 1000 + 30 * 86_400


def test_the_record_contains_nothing_of_the_mail(world, order_id):
    world.queues.deliver(EMAILS)

    assert "ada" not in str(world.items("IdempotencyTable"))


# --- skipped ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def skipped(world, printed):
    """Deliver all waiting messages, and return the number of skipped events."""

    def deliver_and_count():
        printed()
        world.queues.deliver(EMAILS)
        assert world.queues.waiting(EMAILS) == 0
        metric = printed().get("EventsSkipped")
        return sum(metric.values) if metric else 0

    return deliver_and_count


def test_an_order_canceled_meanwhile_is_not_confirmed(world, api, order_id, skipped):
    api.cancel(order_id)

    assert skipped() == 1
    assert subjects(world) == ["Your order is cancelled"]


def test_an_order_released_meanwhile_is_confirmed_as_it_is(world, order_id):
    world.queues.until_quiet("FulfillmentFunction", "SettlementFunction")
    world.queues.deliver(EMAILS)

    assert subjects(world) == ["Your order is confirmed", ON_ITS_WAY]
    assert "We will pack it soon" not in world.mails()[0]["text"]


def test_a_customer_that_dynamodb_leaves_out_is_read_again(world, order_id):
    answered = {
        "Responses": {world.table("OrdersTable"): [to_item(world.order(order_id))]},
        "UnprocessedKeys": {world.table("CustomersTable"): {"Keys": [{"userId": {"S": "ada"}}]}},
    }
    world.wire.on("dynamodb.BatchGetItem", wire.answer(answered))

    world.queues.deliver(EMAILS)

    assert subjects(world) == ["Your order is confirmed"]


def test_an_event_with_another_user_than_the_orders_sends_no_mail(world, order_id):
    # GIVEN an event that names another customer
    world.customer("grace")
    world.client("sqs").purge_queue(QueueUrl=world.stack.resource("EmailsQueue").ref)

    deliver(world, message("order_placed", order_id, 1, user="grace"))

    # THEN nobody gets the order's mail
    assert world.mails() == []
    (letter,) = world.queues.dead_letters(EMAILS)
    assert letter.attributes["reason"] == "the order is not this user's"


def test_an_erased_customer_is_skipped(world, order_id, skipped):
    world.put("CustomersTable", {"userId": "ada", "name": "", "erasedAt": "2026-11-23T10:00:00.000Z"})

    assert (skipped(), world.mails()) == (1, [])
    assert "mailProblem" not in world.order(order_id)


def test_an_event_older_than_any_record_is_skipped(world, order_id, skipped):
    world.queues.until_quiet()
    sent = len(world.mails())
    world.queues.send(EMAILS, message("order_placed", order_id, 1, at=world.clock.ms - 30 * DAY - 1))

    assert (skipped(), len(world.mails())) == (1, sent)


def test_an_event_of_30_days_is_not_too_old(world, order_id, skipped):
    world.client("sqs").purge_queue(QueueUrl=world.stack.resource("EmailsQueue").ref)
    world.queues.send(EMAILS, message("order_placed", order_id, 1, at=world.clock.ms - 30 * DAY))

    assert (skipped(), len(world.mails())) == (0, 1)


# --- an order whose customer has no address any more ------------------------------------------------------------------


@pytest.mark.parametrize("problem", ["bounced", "complained"])
def test_a_mail_to_a_flagged_address_is_noted_on_the_order(world, api, order_id, skipped, problem, caplog):
    caplog.set_level("INFO")
    before = world.order(order_id)
    world.change("CustomersTable", {"userId": "ada"}, emailProblem=problem)

    assert (skipped(), world.mails()) == (1, [])
    assert caplog.records[-1].reason == f"the customer's address has {problem}"

    # THEN the order shows it, and is otherwise as it was
    assert world.order(order_id) == before | {"mailProblem": problem}
    assert api.get(f"/orders/{order_id}").json["mailProblem"] == problem


def test_mails_that_are_not_sent_are_counted(world, api, order_id, printed):
    world.change("CustomersTable", {"userId": "ada"}, emailProblem="bounced")
    world.queues.deliver(EMAILS)
    api.cancel(order_id)
    with world.wire.watched() as calls:
        world.queues.deliver(EMAILS)

    assert printed()["MailsNotSent"].values == [1.0, 1.0]
    assert "dynamodb.UpdateItem" not in {call.name for call in calls}  # noted already


def test_an_order_with_all_mails_shows_no_problem(world, api, order_id):
    world.queues.deliver(EMAILS)

    assert "mailProblem" not in api.get(f"/orders/{order_id}").json


def test_mails_after_the_address_was_saved_again_are_sent(world, api, order_id):
    world.change("CustomersTable", {"userId": "ada"}, emailProblem="bounced")
    world.queues.deliver(EMAILS)
    api.call("PUT", "/me", json.dumps({"name": "Ada", "email": "ada@example.com"}))

    world.queues.until_quiet("FulfillmentFunction", "SettlementFunction")
    world.queues.deliver(EMAILS)

    assert subjects(world) == [ON_ITS_WAY]
    assert world.order(order_id)["mailProblem"] == "bounced"


@pytest.mark.parametrize("email", ["no customer", None, ""])
def test_a_customer_without_an_address_is_retried_then_a_dead_letter(world, order_id, email):
    # GIVEN a customer whose row another program has changed
    if email == "no customer":
        world.client("dynamodb").delete_item(TableName=world.table("CustomersTable"), Key={"userId": {"S": "ada"}})
    else:
        world.customer(email=email)
    for _ in range(5):
        world.queues.deliver(EMAILS)
        world.clock.forward(max(BACKOFF) + 1)
    assert world.queues.dead_letters(EMAILS) == []

    world.queues.deliver(EMAILS)

    (letter,) = world.queues.dead_letters(EMAILS)
    assert letter.attributes["reason"] == "the customer has no address"


def test_a_customer_who_gets_an_address_is_mailed_by_the_retry(world, order_id):
    world.customer(email=None)
    world.queues.deliver(EMAILS)

    world.customer()
    world.clock.forward(11)
    world.queues.deliver(EMAILS)

    assert subjects(world) == ["Your order is confirmed"]


# --- messages of earlier releases -------------------------------------------------------------------------------------


@pytest.fixture
def captured_before(world, order_id):
    """Return an order that an earlier release captured, before any mail about its shipment was sent."""
    world.queues.until_quiet("FulfillmentFunction", "SettlementFunction")
    world.client("sqs").purge_queue(QueueUrl=world.stack.resource("EmailsQueue").ref)
    stored = world.order(order_id)
    del stored["releasedAt"], stored["payment"]["captured"]
    world.put("OrdersTable", stored)
    return order_id


def test_a_shipment_captured_by_an_earlier_release_is_mailed(world, captured_before):
    deliver(world, message("shipment_prepared", captured_before, 2))

    assert subjects(world) == [ON_ITS_WAY]


def test_a_shipment_that_an_earlier_release_mailed_is_not_mailed_again(world, order_id):
    # GIVEN an order of which an earlier release has mailed the shipment, and which is captured by this one
    world.queues.until_quiet("FulfillmentFunction", "SettlementFunction")
    deliver(world, message("shipment_prepared", order_id, 2))

    # THEN its release sends no second mail
    assert subjects(world).count(ON_ITS_WAY) == 1
    deliver(world, message("shipment_released", order_id, 3))
    assert subjects(world).count(ON_ITS_WAY) == 1


def test_a_shipment_that_is_not_paid_yet_is_mailed_later(world, order_id):
    # GIVEN a message of an earlier release about an order that is not captured
    world.queues.until_quiet("FulfillmentFunction")
    deliver(world, message("shipment_prepared", order_id, 2))
    assert ON_ITS_WAY not in subjects(world)
    assert world.queues.waiting(EMAILS) == 1

    # WHEN it is captured
    world.queues.until_quiet("SettlementFunction")
    world.clock.forward(11)
    world.queues.until_quiet(EMAILS)

    assert subjects(world).count(ON_ITS_WAY) == 1


def test_a_shipment_whose_payment_failed_is_skipped(world, order_id, skipped):
    # GIVEN a packed order whose hold is gone at the provider
    world.queues.until_quiet("FulfillmentFunction", EMAILS)
    (hold,) = world.items("SandboxTable")
    world.change("SandboxTable", {"key": hold["key"]}, state="void")
    world.queues.until_quiet("SettlementFunction")
    assert world.order(order_id)["payment"]["state"] == "failed"

    world.queues.send(EMAILS, message("shipment_prepared", order_id, 2))

    assert (skipped(), subjects(world)) == (1, ["Your order is confirmed"])


@pytest.mark.parametrize("detail_type", ["refund_requested", "order_refunded", "return_requested"])
def test_an_event_without_a_mail_is_a_dead_letter(world, order_id, detail_type):
    deliver(world, message(detail_type, order_id, 1))

    (letter,) = world.queues.dead_letters(EMAILS)
    assert letter.attributes["reason"] == f"there is no mail about this {detail_type}"


# --- failures of the mail service -------------------------------------------------------------------------------------

TROUBLE = [
    wire.refuse("TooManyRequestsException", 429),
    wire.refuse("LimitExceededException"),
    wire.refuse("SendingPausedException"),
    wire.refuse("InternalServiceError", 500),
    wire.cannot_connect,
]


@pytest.mark.parametrize("fault", TROUBLE, ids=["throttled", "over quota", "paused", "broken", "unreachable"])
def test_a_mail_rejected_temporarily_is_sent_later(world, order_id, fault):
    # GIVEN a mail service with a temporary failure
    world.wire.on("sesv2.SendEmail", fault)
    world.queues.deliver(EMAILS)
    (pause,) = world.wire.named("sqs.ChangeMessageVisibility")
    assert 8 <= pause.request["VisibilityTimeout"] <= 10

    # WHEN the failure is over
    world.clock.forward(11)
    world.queues.deliver(EMAILS)

    # THEN the mail is sent, once
    assert len(world.mails()) == 1
    assert world.queues.waiting(EMAILS) == 0


def test_a_mail_rejected_permanently_is_a_dead_letter_at_once(world, order_id):
    world.wire.on("sesv2.SendEmail", wire.refuse("BadRequestException"))

    world.queues.deliver(EMAILS)

    (letter,) = world.queues.dead_letters(EMAILS)
    assert letter.attributes["eventId"] == f"{order_id}-1"
    assert "address" in letter.attributes["reason"]
    assert "ada" not in letter.attributes["reason"]
    assert world.queues.waiting(EMAILS) == 0


def test_a_failing_mail_does_not_delay_others_of_its_batch(world, api):
    for n in range(3):
        api.place(body(), key=f"key-{n}")
    world.wire.on("sesv2.SendEmail", wire.refuse("TooManyRequestsException", 429), nth=2)

    world.queues.deliver(EMAILS)

    assert (len(world.mails()), world.queues.waiting(EMAILS)) == (2, 1)


def test_mails_keep_to_the_instances_share_of_the_quota(world, api):
    # GIVEN six orders, and a quota of 14 mails a second for two instances
    for n in range(6):
        api.place(body(), key=f"key-{n}")
    times = []
    world.wire.always("sesv2.SendEmail", wire.meanwhile(lambda: times.append(world.clock.ms)))

    # WHEN all are mailed at once
    world.queues.deliver(EMAILS)

    # THEN they are sent a seventh of a second apart
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(gaps) == 5
    assert all(142 <= gap <= 144 for gap in gaps)


def test_a_freeze_delays_the_next_mail_by_one_interval_at_most(world, api, frozen_for):
    # GIVEN a function that was frozen for an hour after a mail
    api.place(body(), key="before")
    world.queues.deliver(EMAILS)
    frozen_for(3600)

    # WHEN it sends the next one
    began, sent = world.clock.ms, []
    world.wire.always("sesv2.SendEmail", wire.meanwhile(lambda: sent.append(world.clock.ms)))
    api.place(body(), key="after")
    world.queues.deliver(EMAILS)

    # THEN it waits a seventh of a second at most, whether the monotonic clock has stopped or not
    assert [at - began <= 143 for at in sent] == [True]
