"""`handoff order`: one order's timeline, from items, log lines and dead letters of the real functions."""

import json
import logging

import pytest

from dev.simulated.messages import message
from dev.simulated.wire import cannot_connect, refuse
from dev.simulated.world import MUG, body
from handoff.clock import to_iso
from handoff.telemetry import logger
from tests.support import provider_events
from tests.support.merchant import Merchant

EMAILS, ANALYTICS = "EmailsFunction", "AnalyticsFunction"
FULFILLMENT, SETTLEMENT = "FulfillmentFunction", "SettlementFunction"
UNKNOWN = "ord_aaaaaaaaaaaaaaaaaaaaaaaaaa"


@pytest.fixture
def timeline_of(run_order):
    """Return an order's timeline, as scripts get it."""

    def build(order_id, *options):
        done = run_order(order_id, "--json", *options)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return build


@pytest.fixture
def order_id(api, logs):
    """A placed order of one mug, whose request brought a correlation id; its event waits in every queue."""
    return api.place(body(), **{"X-Correlation-Id": "trace-me"}).json["orderId"]


def steps(timeline, who=None):
    """Return the steps in short: who, what, detail."""
    return [(step["who"], step["what"], step["detail"]) for step in timeline["steps"] if who in (None, step["who"])]


def troubles(timeline):
    return [(step["who"], step["what"], step["detail"]) for step in timeline["steps"] if step["trouble"]]


def pending_work(timeline):
    return [(item["who"], item["what"]) for item in timeline["pendingWork"]]


def trouble_of(timeline, who):
    """Return the pending work of one kind: what, remedy, and whether it is trouble."""
    items = [item for item in timeline["pendingWork"] if item["who"] == who]
    return [(item["what"], item["remedy"], item["trouble"]) for item in items]


# --- payments that wait, differ or are disputed -----------------------------------------------------------------------


def test_an_order_that_waits_for_its_customer_says_until_when_and_is_no_trouble(api, logs, run_order, timeline_of):
    waiting = api.place(body(token="tok_action", customerAction=True)).json

    timeline = timeline_of(waiting["orderId"])

    until = waiting["expiresAt"]
    assert (timeline["status"], timeline["payment"], timeline["actionExpiresAt"]) == (
        "PENDING",
        "action_required",
        until,
    )
    assert ("payment", "action_required", f"the customer has to confirm it until {until}") in steps(timeline)
    ((what, remedy, trouble),) = trouble_of(timeline, "customer")
    assert what.startswith(
        f"has to confirm the payment until {until}, or else the order is rejected; the sweeper checks"
    )
    assert (remedy, trouble, len(timeline["pendingWork"])) == ("", False, 1)
    assert troubles(timeline) == []
    text = run_order(waiting["orderId"]).output
    assert f"waits until     {until} for the customer to confirm the payment" in text
    assert waiting["clientSecret"] not in text


def test_an_order_that_waited_has_its_events_under_their_numbers(world, api, logs, timeline_of):
    waiting = api.place(body(token="tok_action", customerAction=True)).json
    api.act(waiting["clientSecret"])
    api.confirm(waiting["orderId"])
    world.queues.until_quiet()

    timeline = timeline_of(waiting["orderId"])

    assert ("payment", "action_required", "the customer has to confirm it") in steps(timeline)
    assert ("order", "PLACED", "payment authorized, order_placed published") in steps(timeline)
    assert (timeline["actionExpiresAt"], timeline["pendingWork"], troubles(timeline)) == (None, [], [])


def test_an_order_whose_mails_were_not_sent_says_what_to_do(world, order_id, logs, run_order, timeline_of):
    world.change("CustomersTable", {"userId": "ada"}, emailProblem="bounced")
    world.queues.until_quiet()

    assert timeline_of(order_id)["mailProblem"] == "bounced"
    shown = run_order(order_id).output
    assert "mail problem    mail to the customer bounced" in shown
    assert "PUT /me" in shown


@pytest.mark.parametrize("packs", [False, True])
def test_a_capture_of_a_part_says_what_to_do(world, order_id, run_order, timeline_of, packs):
    assert Merchant(world).capture(order_id, 500)
    provider_events.publish(world, order_id)
    world.queues.until_quiet(*(() if packs else (SETTLEMENT,)))

    ((what, remedy, trouble),) = trouble_of(timeline_of(order_id), "payment")

    assert what.startswith("5.00 EUR of 12.50 EUR was captured at the provider")
    assert trouble
    assert remedy.startswith(f"handoff orders {'refund' if packs else 'cancel'} {order_id} --reason 'Charged in part.'")
    assert "captured        5.00 EUR of 12.50 EUR" in run_order(order_id).output
    assert ("payment", "captured", "captured 500 of 1250") in troubles(timeline_of(order_id))


def test_a_capture_of_a_part_is_settled_once_it_is_refunded(world, order_id, timeline_of):
    assert Merchant(world).capture(order_id, 500)
    world.queues.until_quiet()
    assert world.program("refunds:write").refund(order_id, restock=True).status == 201
    world.queues.until_quiet()

    assert timeline_of(order_id)["pendingWork"] == []
    assert world.available() == 10


def test_a_dispute_is_pending_until_it_is_decided(world, order_id, run_order, timeline_of):
    # GIVEN goods that are held back by a dispute
    merchant = Merchant(world)
    assert merchant.capture(order_id)
    assert merchant.dispute(order_id)
    provider_events.publish(world, order_id)
    world.queues.until_quiet(SETTLEMENT)
    world.queues.until_quiet()
    ((what, _, trouble),) = trouble_of(timeline_of(order_id), "dispute")
    assert what.startswith("12.50 EUR disputed since 2026-11-23T10:00:00.000Z: answer at the provider")
    assert what.endswith("the shipment is not released unless the dispute is won")
    assert trouble
    assert ("dispute", "open", "12.50 EUR, payment_disputed published") in troubles(timeline_of(order_id))
    assert "dispute         open" in run_order(order_id).output

    # WHEN it is won
    assert merchant.decide(order_id, "won")
    provider_events.publish(world, order_id, "evt_2")
    world.queues.until_quiet()

    # THEN only the steps show it
    timeline = timeline_of(order_id)
    assert (timeline["dispute"], timeline["pendingWork"]) == ("won", [])
    assert ("dispute", "won", "12.50 EUR, payment_disputed published") in steps(timeline)
    assert [detail for _, what, detail in steps(timeline, "payment") if what == "captured"] == [
        "captured at the payment provider",
        "the payment is disputed",
        "shipment_released published",
    ]


# --- the timeline -----------------------------------------------------------------------------------------------------


def test_a_good_order_is_shown_from_its_request_to_the_last_consumer(world, clock, order_id, timeline_of):
    # GIVEN an order that all consumers have handled, one after the other
    for function in (EMAILS, ANALYTICS, FULFILLMENT):
        clock.forward(1)
        world.queues.deliver(function)
    clock.forward(1)
    world.queues.until_quiet()

    # WHEN its timeline is built
    timeline = timeline_of(order_id)

    # THEN it has all steps in the order in which they happened
    assert steps(timeline) == [
        ("order", "PENDING", "requested, stock reserved"),
        ("order", "PLACED", "payment authorized, order_placed published"),
        ("api", "request answered", "POST /orders, status 201"),
        ("emails", "event handled", "order_placed, done"),
        ("analytics", "event handled", "order_placed, done"),
        ("order", "PREPARED", "shipment packed, shipment_prepared published"),
        ("shipment", "Packed", "now released for dispatch"),
        ("fulfillment", "event handled", "order_placed, done"),
        ("payment", "captured", "shipment_released published"),
        ("emails", "event handled", "shipment_released, done"),
        ("settlement", "event handled", "shipment_prepared, done"),
    ]
    assert [step["at"][17:] for step in timeline["steps"]] == (
        ["00.000Z"] * 3 + ["01.000Z", "02.000Z"] + ["03.000Z"] * 3 + ["04.000Z"] * 3
    )
    facts = ("status", "payment", "total", "currency", "userId", "correlationId")
    assert [timeline[fact] for fact in facts] == ["PREPARED", "captured", 1250, "EUR", "ada", "trace-me"]
    # AND nothing is pending, and nothing failed
    assert (timeline["pendingWork"], troubles(timeline)) == ([], [])


def test_the_text_shows_each_step_with_the_time_since_the_request(world, clock, order_id, run_order):
    world.queues.deliver(ANALYTICS)
    clock.forward(72)
    world.wire.on("sesv2.SendEmail", refuse("TooManyRequestsException", 429))
    world.queues.deliver(EMAILS)
    world.queues.until_quiet(FULFILLMENT, SETTLEMENT)

    done = run_order(order_id)

    lines = done.stdout.splitlines()
    assert lines[:6] == [
        f"order           {order_id}",
        "status          PREPARED",
        "payment         captured",
        "total           12.50 EUR",
        "customer        ada",
        "correlation id  trace-me",
    ]
    assert lines[7:10] == [
        "  2026-11-23T10:00:00.000Z  +0.000 s  order        PENDING           requested, stock reserved",
        (
            "  2026-11-23T10:00:00.000Z  +0.000 s  order        PLACED            "
            "payment authorized, order_placed published"
        ),
        "  2026-11-23T10:00:00.000Z  +0.000 s  api          request answered  POST /orders, status 201",
    ]
    assert (
        "! 2026-11-23T10:01:12.000Z    +1m12s  emails       event failed      "
        "order_placed, retried, SendEmail: TooManyRequestsException, receives 1"
    ) in lines
    assert lines[-5:] == [
        "Pending:",
        (
            "  emails: order_placed failed at receive 1: SendEmail: TooManyRequestsException; "
            "retry by 2026-11-23T10:01:22.000Z"
        ),
        "  emails: nothing logged about shipment_released yet: it waits, is in progress, or crashes the function",
        "",
        (
            "Searched the logs of api, sweeper, analytics, emails, feedback, fulfillment, settlement "
            "from 2026-11-23T09:59:00.000Z to now."
        ),
    ]


def test_a_failure_is_shown_and_no_longer_pending_after_a_retry_succeeds(world, clock, order_id, timeline_of):
    world.wire.on("sesv2.SendEmail", refuse("TooManyRequestsException", 429))
    world.queues.deliver(EMAILS)
    clock.forward(11)
    world.queues.until_quiet()

    timeline = timeline_of(order_id)

    failed = (
        "emails",
        "event failed",
        "order_placed, retried, SendEmail: TooManyRequestsException, receives 1",
    )
    assert troubles(timeline) == [failed]
    assert ("emails", "event handled", "order_placed, done") in steps(timeline)
    assert timeline["pendingWork"] == []


def test_steps_of_the_same_millisecond_start_with_the_order_record(world, order_id, timeline_of):
    world.queues.until_quiet(FULFILLMENT, SETTLEMENT, ANALYTICS)

    timeline = timeline_of(order_id)

    assert len({step["at"] for step in timeline["steps"]}) == 1
    whos = ["order"] * 3 + ["payment", "shipment", "api", "analytics", "fulfillment", "settlement"]
    assert [step["who"] for step in timeline["steps"]] == whos


def test_a_cancellation_names_its_request_and_read_requests_are_left_out(world, clock, api, order_id, timeline_of):
    api.get(f"/orders/{order_id}")
    clock.forward(1)
    api.call("POST", f"/orders/{order_id}/cancel", **{"X-Correlation-Id": "changed-my-mind"})
    world.queues.until_quiet()

    timeline = timeline_of(order_id)

    assert steps(timeline, "api") == [
        ("api", "request answered", "POST /orders, status 201"),
        ("api", "request answered", "POST /orders/{orderId}/cancel, status 200, correlation id changed-my-mind"),
    ]
    by = "by the customer, stock given back, order_cancelled published"
    assert ("order", "CANCELLED", by) in steps(timeline)
    assert ("emails", "event handled", "order_placed, skipped, the order is cancelled") in steps(timeline)
    assert ("payment", "voided", "") in steps(timeline)
    assert (timeline["payment"], timeline["pendingWork"], troubles(timeline)) == ("voided", [], [])


def test_a_refused_capture_is_trouble_with_its_reason(world, order_id, timeline_of):
    # GIVEN a hold that was voided outside Handoff
    world.queues.deliver(FULFILLMENT)
    world.change("SandboxTable", {"key": f"{order_id}:authorise"}, state="void")
    world.queues.until_quiet()

    timeline = timeline_of(order_id)

    (refused,) = [step for step in troubles(timeline) if step[0] == "payment"]
    assert refused[1] == "failed"
    assert timeline["payment"] == f"failed, {refused[2]}"


def test_a_declined_order_has_nothing_pending(api, timeline_of):
    order_id = api.place(body(token="tok_decline")).json["orderId"]

    timeline = timeline_of(order_id)

    assert ("order", "REJECTED", "declined, stock given back") in steps(timeline)
    assert timeline["payment"].startswith("failed, ")
    assert (timeline["pendingWork"], troubles(timeline)) == ([], [])


# --- cancellation, refunds, returns -----------------------------------------------------------------------------------


@pytest.fixture
def released(world, order_id):
    """The order, packed, paid and handled by every consumer."""
    world.queues.until_quiet()
    return order_id


def test_a_cancellation_by_the_shop_shows_its_reason(world, order_id, timeline_of):
    world.program("orders:write").cancel(order_id, reason="Sold out")
    world.queues.until_quiet()

    timeline = timeline_of(order_id)

    assert ("order", "CANCELLED", "by the shop: Sold out, stock given back, order_cancelled published") in steps(
        timeline
    )
    assert ("payment", "voided", "") in steps(timeline)
    assert timeline["pendingWork"] == []


def test_a_refund_is_shown_from_its_request_to_the_stock(world, clock, released, run_order, timeline_of):
    clock.forward(60)
    refund_id = refund(world, released, lines=[{"sku": MUG, "quantity": 1}], restock=True)
    clock.forward(1)
    world.queues.until_quiet()

    timeline = timeline_of(released)

    assert steps(timeline, "refund") == [
        ("refund", "requested", f"12.50 EUR, 1 x {MUG}, damaged, {refund_id}, refund_requested published"),
        ("refund", "refunded", f"12.50 EUR, 1 x {MUG}, units back in stock, {refund_id}, order_refunded published"),
    ]
    assert (timeline["captured"], timeline["refunded"], timeline["pendingWork"]) == (1250, 1250, [])
    assert "refunded        12.50 EUR of 12.50 EUR" in run_order(released).stdout.splitlines()


def test_a_refund_that_is_due_or_pending_is_pending_work(world, api, timeline_of):
    order_id = api.place(body(token="tok_refund_pending")).json["orderId"]
    world.queues.until_quiet()
    refund_id = refund(world, order_id, amount=300)

    due, _ = pending_work(timeline_of(order_id))
    world.queues.until_quiet()
    (pending,) = pending_work(timeline_of(order_id))

    name = f"the refund {refund_id} of 3.00 EUR is"
    since = f"since {world.order(order_id)['refunds'][refund_id]['requestedAt']}"
    assert due[0] == pending[0] == "refund"
    assert due[1].startswith(f"{name} due {since}; the sweeper checks it from ")
    assert pending[1].startswith(f"{name} pending {since}: the provider has no result yet; the sweeper checks it from ")
    # AND nothing is pending once the provider has a result
    world.settle_down()
    assert timeline_of(order_id)["pendingWork"] == []


@pytest.mark.parametrize(
    ("wanted", "options"),
    [
        ({}, ""),
        ({"amount": 300}, " --amount 300"),
        ({"lines": [{"sku": MUG, "quantity": 1}], "restock": True}, f" --line {MUG}=1"),
    ],
)
def test_a_failed_refund_is_trouble_until_it_is_requested_again(world, clock, api, timeline_of, wanted, options):
    order_id = api.place(body((MUG, 2), token="tok_refund_fails")).json["orderId"]
    world.queues.until_quiet()
    refund_id = refund(world, order_id, reason="It's torn", **wanted)
    world.queues.until_quiet()

    timeline = timeline_of(order_id)

    (failed,) = [step for step in troubles(timeline) if step[0] == "refund"]
    assert failed[1] == "failed"
    assert "expired_or_canceled_card" in failed[2]
    (item,) = timeline["pendingWork"]
    assert item["what"].startswith(f"the refund {refund_id} of ")
    assert "failed: expired_or_canceled_card. Find the cause at the provider, then request it again" in item["what"]
    restock = " --restock" if wanted.get("restock") else ""
    assert item["remedy"] == f"handoff orders refund {order_id}{options} --reason 'It'\"'\"'s torn'{restock}"
    # AND it is no longer pending once it was requested again
    clock.forward(1)
    again = refund(world, order_id, key="again", reason="It's torn", **wanted)
    assert [again in what for _, what in pending_work(timeline_of(order_id))].count(True) == 1
    assert not any(refund_id in what for _, what in pending_work(timeline_of(order_id)))


def test_a_return_is_shown_without_the_customers_words(world, api, released, run_order, timeline_of):
    assert api.return_order(released, reason="My neighbour Eve has one").status == 200
    with world.wire.watched() as calls:
        shown = run_order(released).output

    assert ("return", "requested", f"1 x {MUG}, return_requested published") in steps(timeline_of(released))
    assert "Eve" not in shown
    read = {path for call in calls for path in call.request.get("ProjectionExpression", "").split(", ")}
    assert {path for path in read if path.startswith("#returnRequest")} == {
        "#returnRequest.#requestedAt",
        "#returnRequest.#lines",
    }


def test_an_order_in_its_cancel_window_says_until_when_it_waits(world, clock, order_id, timeline_of, logged_deployment):
    logged_deployment.parameters = {**logged_deployment.parameters, "PackAfter": "600"}
    world.queues.until_quiet("EmailsFunction", "AnalyticsFunction")

    waits = "order_placed waits until 2026-11-23T10:10:00.000Z: until then, the order can be cancelled"
    assert pending_work(timeline_of(order_id)) == [("fulfillment", waits)]
    # AND later it is late
    clock.forward(601)
    assert "nothing logged about order_placed yet" in pending_work(timeline_of(order_id))[0][1]


def test_a_healthy_order_has_no_problem(world, clock, order_id, timeline_of, logged_deployment):
    logged_deployment.parameters = {**logged_deployment.parameters, "PackAfter": "600"}
    # GIVEN an order that no consumer has handled yet, and later one in its cancel window
    for handled in ((), ("EmailsFunction", "AnalyticsFunction")):
        world.queues.until_quiet(*handled) if handled else None
        found = timeline_of(order_id)
        # THEN what is pending is no problem, and neither is a step
        assert found["pendingWork"]
        assert not [item for item in found["pendingWork"] if item["trouble"]]
        assert not [step for step in found["steps"] if step["trouble"]]
    # AND what its consumers have done is in words
    assert {step["effect"] for step in found["steps"] if step["effect"]} == {"confirmation mailed", "sale counted"}
    # WHEN it should have been packed minutes ago
    clock.forward(601)
    assert not timeline_of(order_id)["pendingWork"][0]["trouble"]
    clock.forward(121)
    # THEN that is a problem
    assert timeline_of(order_id)["pendingWork"][0]["trouble"]


def test_an_event_that_waits_in_the_outbox_becomes_a_problem(world, api, clock, logs, timeline_of):
    world.wire.always("eventbridge.PutEvents", cannot_connect)
    order_id = api.place(body(), key="bus-down").json["orderId"]
    assert not timeline_of(order_id)["pendingWork"][0]["trouble"]
    # WHEN the sweeper had time to publish it, and has not
    clock.forward(121)
    (waiting,) = timeline_of(order_id)["pendingWork"]
    assert "order_placed is not published yet" in waiting["what"]
    assert waiting["trouble"]


def test_an_open_shipment_is_pending_until_the_warehouse_packs_it(world, order_id, timeline_of):
    open_shipment = {"orderId": order_id, "state": "open", "openSince": to_iso(world.clock.ms), "packBy": 1795731000000}
    world.put("ShipmentsTable", open_shipment)

    timeline = timeline_of(order_id)

    assert ("shipment", "Open", "waits to be packed") in steps(timeline)
    half = "half of the hold's life is over at 2026-11-26T22:10:00.000Z"
    packed = f"the warehouse reports it with POST /shipments/{order_id}/packed"
    waits = f"waits to be packed since 2026-11-23T10:00:00.000Z: {half}; {packed}"
    assert ("shipment", waits) in pending_work(timeline)


def test_a_capture_by_an_earlier_release_has_no_event(world, released, timeline_of):
    order = world.order(released)
    del order["releasedAt"]
    world.put("OrdersTable", order)

    assert ("payment", "captured", "") in steps(timeline_of(released))


def refund(world, order_id, key="refund-1", **wanted):
    """Request a refund as a program; return its id."""
    answer = world.program("refunds:write").refund(order_id, key, **wanted)
    assert answer.status == 201, answer
    return answer.json["refundId"]


# --- pending work -----------------------------------------------------------------------------------------------------


def test_a_pending_order_says_when_it_expires(world, clock, api, timeline_of):
    # GIVEN a provider that never answered
    order_id = api.place(body(token="tok_timeout_held")).json["orderId"]

    # THEN it is pending until it expires
    timeline = timeline_of(order_id)
    assert pending_work(timeline) == [
        (
            "order",
            (
                "not placed yet, expires at 2026-11-23T10:10:00.000Z; "
                "the sweeper checks it from 2026-11-23T10:01:00.000Z"
            ),
        )
    ]
    assert ("api", "request answered", "POST /orders, status 503") in troubles(timeline)
    # AND then it is finished
    clock.forward(601)
    world.sweep()
    timeline = timeline_of(order_id)
    assert ("order", "REJECTED", "expired, stock given back") in troubles(timeline)
    assert (timeline["payment"], timeline["pendingWork"]) == ("voided", [])


def test_an_event_in_the_outbox_is_pending_until_the_sweeper_publishes_it(world, clock, api, logs, timeline_of):
    world.wire.on("eventbridge.PutEvents", cannot_connect)
    order_id = api.place(body()).json["orderId"]

    timeline = timeline_of(order_id)

    assert ("order", "PLACED", "payment authorized, order_placed not published yet") in steps(timeline)
    assert [who for who, _, _ in troubles(timeline)] == ["api"]
    sweep = "the sweeper checks it from 2026-11-23T10:01:00.000Z"
    assert pending_work(timeline) == [("order", f"order_placed is not published yet; {sweep}")]

    clock.forward(60)
    world.sweep()
    world.queues.until_quiet()
    assert timeline_of(order_id)["pendingWork"] == []


def test_a_payment_that_is_due_is_pending(world, clock, order_id, timeline_of):
    # GIVEN a payment provider that cannot be reached for the capture
    world.queues.deliver(FULFILLMENT)
    world.wire.always("dynamodb.*", cannot_connect, where=world.to_provider)
    world.queues.deliver(SETTLEMENT)

    timeline = timeline_of(order_id)

    assert ("shipment", "Packed", "now not released: not paid yet") in steps(timeline)
    mine, settlement = [item for item in pending_work(timeline) if item[0] in {"order", "settlement"}]
    assert mine[1].startswith("the capture of the payment is due since 2026-11-23T10:00:00.000Z; the sweeper checks")
    assert settlement[1].startswith("shipment_prepared failed at receive 1: ")


def test_a_dead_letter_is_pending_with_its_reason_and_the_redrive_command(world, order_id, run_order, timeline_of):
    # GIVEN a mail that SES rejects permanently
    world.wire.on("sesv2.SendEmail", refuse("BadRequestException"))
    world.queues.until_quiet()

    # THEN the timeline names the dead letter
    timeline = timeline_of(order_id)
    event_id = f"{order_id}-1"
    reason = "SES rejected this mail; is the address well-formed?"
    assert troubles(timeline) == [("emails", "event failed", f"order_placed, dead_lettered, {reason}, receives 1")]
    (item,) = timeline["pendingWork"]
    assert item == {
        "who": "emails",
        "eventId": event_id,
        "what": f"order_placed is a dead letter since 2026-11-23T10:00:00.000Z: {reason}",
        "remedy": f"handoff dlq redrive emails --event {event_id}",
        "trouble": True,
    }
    assert f"      {item['remedy']}" in run_order(order_id).stdout.splitlines()
    # AND the dead letter stays visible to others
    assert len(world.queues.dead_letters(EMAILS)) == 1
    # AND once it is deleted, the timeline says so
    gone = [("emails", "order_placed failed permanently and is no longer a dead letter: it was redriven or deleted")]
    assert pending_work(timeline_of(order_id)) == gone


def test_dead_letters_without_log_lines_are_shown(world, order_id, timeline_of):
    # GIVEN a consumer that crashed each time, and an event that was not delivered to a queue
    world.queues.until_quiet()
    died = to_iso(world.clock.ms)
    analytics = world.stack.environment(ANALYTICS)["DEAD_LETTER_QUEUE_URL"]
    event = message("order_placed", order_id, 1)
    world.client("sqs").send_message(QueueUrl=analytics, MessageBody=event)
    why = {"RULE_ARN": "arn:x:rule/bus/FulfillmentRule", "ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "not allowed"}
    why["RULE_ARN"] = f"arn:x:rule/bus/{world.stack.resource('FulfillmentRule').ref}"
    world.client("sqs").send_message(
        QueueUrl=world.stack.resource("UndeliveredQueue").ref,
        MessageBody=event,
        MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in why.items()},
    )

    assert pending_work(timeline_of(order_id)) == [
        ("analytics", "order_placed is a dead letter: crashed each time"),
        (
            "fulfillment",
            (f"order_placed is a dead letter since {died}: not delivered: NO_PERMISSIONS: not allowed"),
        ),
    ]  # fmt: skip


def test_dead_letters_held_by_another_receiver_are_noted(world, order_id, timeline_of):
    world.wire.on("sesv2.SendEmail", refuse("BadRequestException"))
    world.queues.until_quiet()
    world.queues.dead_letters(EMAILS)

    assert any("SQS counts 1 more; another receiver may hold" in note for note in timeline_of(order_id)["notes"])


def test_the_order_itself_shows_what_fulfillment_and_settlement_have_done(world, logs, order_id, timeline_of):
    # GIVEN that the log lines of both are missing
    logging.getLogger(logger.name).removeHandler(logs)
    world.queues.until_quiet(FULFILLMENT, SETTLEMENT)

    # THEN only the other consumers are pending
    assert {who for who, _ in pending_work(timeline_of(order_id))} == {"emails", "analytics"}


# --- which logs are searched ------------------------------------------------------------------------------------------


def searched(world):
    """Return the log groups that were searched, from when to when, in minutes after ten o'clock."""
    calls = [call.request for call in world.wire.named("cloudwatch-logs.FilterLogEvents")]
    begin = 1795428000000
    return [
        (call["logGroupName"], round((call["startTime"] - begin) / 60_000), round((call["endTime"] - begin) / 60_000))
        for call in calls
    ]


def test_logs_are_searched_for_an_hour_and_those_of_late_consumers_to_now(world, clock, order_id, timeline_of):
    # GIVEN that emails handles its events a day later
    world.queues.until_quiet(ANALYTICS, FULFILLMENT, SETTLEMENT)
    clock.forward(86_400)
    world.queues.until_quiet()

    # WHEN the timeline is built
    timeline = timeline_of(order_id)

    # THEN it is complete, and only the logs of emails and the sweeper were searched that long
    assert steps(timeline)[-2:] == [
        ("emails", "event handled", "order_placed, done"),
        ("emails", "event handled", "shipment_released, done"),
    ]
    assert timeline["pendingWork"] == []
    everywhere = ["OrdersLogs", "SweeperLogs", "AnalyticsLogs", "EmailsLogs", "FeedbackLogs", "FulfillmentLogs"]
    everywhere.append("SettlementLogs")
    assert searched(world) == [
        *((group, -1, 60) for group in everywhere),
        ("SweeperLogs", 60, 1441),
        ("EmailsLogs", 60, 1441),
    ]
    assert timeline["notes"] == [
        (
            "Searched the logs of api, sweeper, analytics, emails, feedback, fulfillment, settlement "
            "from 2026-11-23T09:59:00.000Z to 2026-11-23T11:00:00.000Z, "
            "those of sweeper, emails to now. --all searches all of them to now."
        )
    ]


def test_all_shows_a_late_repeat(world, clock, order_id, timeline_of):
    world.queues.until_quiet()
    clock.forward(86_400)
    world.queues.send(ANALYTICS, message("order_placed", order_id, 1))
    world.queues.deliver(ANALYTICS)

    done, repeated = [("analytics", "event handled", f"order_placed, {outcome}") for outcome in ("done", "repeated")]
    assert steps(timeline_of(order_id), "analytics") == [done]
    assert steps(timeline_of(order_id, "--all"), "analytics") == [done, repeated]
    assert searched(world)[-1] == ("SettlementLogs", -1, 1441)


def test_an_event_older_than_the_logs_is_not_called_pending(world, clock, order_id, timeline_of):
    # GIVEN an order whose events no consumer has handled
    clock.forward(29 * 86_400)
    assert {who for who, _ in pending_work(timeline_of(order_id))} == {"emails", "analytics", "fulfillment"}

    # WHEN the log lines of a consumer would have expired
    clock.forward(2 * 86_400)
    timeline = timeline_of(order_id)

    # THEN a note says so, nothing is called pending, and a month of logs is not searched
    assert timeline["pendingWork"] == []
    assert {end for _, _, end in searched(world)[-7:]} == {60}
    assert "Logs are kept for 30 days, so it is unknown whether older events were handled." in timeline["notes"]


def test_lines_of_earlier_releases_are_shown_and_not_called_pending(world, logs, order_id, timeline_of):
    # GIVEN an order that consumers of a release without outcomes have handled, or failed to
    keys = {"order_id": order_id, "event_id": f"{order_id}-1", "timestamp": to_iso(world.clock.ms)}
    failure = {"exception_name": "NotYet", "exception": "NotYet: order unseen", "receives": 1}
    for group, line in (
        ("EmailsLogs", {"level": "INFO", "message": "Done"}),
        ("AnalyticsLogs", {"level": "WARNING", "message": "Failed, and will be tried again", **failure}),
    ):
        logs.put(group, json.dumps(keys | line))

    timeline = timeline_of(order_id)

    # THEN the lines are shown as they are
    assert ("emails", "Done", "order_placed") in steps(timeline)
    assert ("analytics", "Failed, and will be tried again", "order_placed, receives 1, NotYet") in troubles(timeline)
    # AND only the consumer that has logged nothing is pending
    assert [who for who, _ in pending_work(timeline)] == ["fulfillment"]
    assert timeline["notes"][1:] == [
        f"{who} logged order_placed without an outcome, as earlier releases did; see its lines."
        for who in ("emails", "analytics")
    ]


def test_other_output_of_functions_is_left_out(world, logs, order_id, timeline_of):
    before = steps(timeline_of(order_id))
    for text in (
        f"START {order_id}",
        f'{{"_aws": {{}}, "order_id": "{order_id}"}}',
        f'["{order_id}"]',
        f"{{ {order_id}",
    ):
        logs.put("EmailsLogs", text)
    # AND a prefix that Lambda adds to a line is ignored
    line = {"level": "INFO", "message": "Here", "order_id": order_id, "timestamp": "?"}
    logs.put("EmailsLogs", f"[INFO]\t{json.dumps(line)}")

    assert steps(timeline_of(order_id)) == [*before, ("emails", "Here", "")]


# --- privacy ----------------------------------------------------------------------------------------------------------


def test_personal_data_is_neither_shown_nor_read(world, api, logs, run_order):
    # GIVEN an order with pending work, and an error that names an address
    world.wire.on("sesv2.SendEmail", refuse("MessageRejected", message="Address is not verified: ada@example.com"))
    order_id = api.place(body()).json["orderId"]
    world.queues.deliver(FULFILLMENT)
    world.queues.deliver(EMAILS)
    assert {"shippingAddress", "paymentToken"} <= world.order(order_id).keys()

    # WHEN its timeline is built
    with world.wire.watched() as calls:
        shown = run_order(order_id).output + run_order(order_id, "--json").output

    # THEN the output contains none of it
    assert "SendEmail: MessageRejected" in shown
    for secret in ("Lovelace", "12 Engine Way", "London", "tok_approve", "example.com"):
        assert secret not in shown
    # AND it was not read from the tables
    paths = [call.request["ProjectionExpression"].split(", ") for call in calls if call.service == "dynamodb"]
    assert len(paths) == 4
    assert not {"#shippingAddress", "#address", "#lines", "#paymentToken"} & {path for some in paths for path in some}


def test_a_log_line_cannot_control_the_terminal(logs, order_id, run_order):
    line = {"level": "ERROR", "message": "\x9b2J", "order_id": order_id, "reason": "\x1b[2J"}
    logs.put("EmailsLogs", json.dumps(line))

    shown = run_order(order_id).stdout

    assert "\\x9b2J" in shown
    assert "\\x1b[2J" in shown
    assert {"\x9b", "\x1b"}.isdisjoint(shown)


# --- errors -----------------------------------------------------------------------------------------------------------


def test_an_unknown_order_is_reported_in_a_line(run_order):
    done = run_order(UNKNOWN)

    assert (done.exit_code, done.output) == (1, f"Error: The stack handoff has no order {UNKNOWN}.\n")


@pytest.mark.parametrize("text", ["", "ord_1", "ord_" + "a" * 27, "ORD_" + "a" * 26, 'ord_"' + "a" * 25, "ord_1-1"])
def test_a_malformed_id_is_rejected_without_a_request(world, run_order, text):
    with world.wire.watched() as calls:
        done = run_order(text)

    assert done.exit_code == 1
    assert (
        done.output
        == f"Error: {text!r} is not an order id. An order id is ord_ and 26 of the characters a-z and 2-7.\n"
    )
    assert not calls


def test_an_unreadable_order_names_its_fields_but_not_their_values(world, order_id, run_order):
    world.change("OrdersTable", {"orderId": order_id}, total="a lot", status="LOST")

    done = run_order(order_id)

    assert done.exit_code == 1
    assert done.output == f"Error: The item of {order_id} in OrdersTable cannot be read. Invalid: status, total\n"


@pytest.mark.parametrize(
    "operation",
    ["dynamodb.GetItem", "eventbridge.ListRules", "cloudwatch-logs.FilterLogEvents", "sqs.GetQueueAttributes"],
)
def test_a_missing_right_is_told_in_a_line(world, order_id, run_order, operation):
    world.wire.always(operation, refuse("AccessDenied", 403))

    done = run_order(order_id)

    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: AWS request failed: An error occurred (AccessDenied)")
    assert operation.partition(".")[2] in done.stderr


# --- consumers of other stacks ----------------------------------------------------------------------------------------


def points_line(world, order_id, outcome, **keys):
    """Return a line that the consumer of `loyalty` logs about an order's first event."""
    about = {"order_id": order_id, "event_id": f"{order_id}-1", "timestamp": to_iso(world.clock.ms)}
    return json.dumps({"level": "INFO", "message": "event handled", "outcome": outcome, **about, **keys})


def test_lines_of_a_consumer_of_another_stack_are_shown(world, loyalty, logs, order_id, timeline_of):
    world.queues.until_quiet()
    logs.put("loyalty-PointsLogs", points_line(world, order_id, "done"))

    timeline = timeline_of(order_id)

    assert steps(timeline, "loyalty/points") == [("loyalty/points", "event handled", "order_placed, done")]
    assert pending_work(timeline) == []
    assert "loyalty/points" in timeline["notes"][0]


def test_a_failure_in_another_stack_is_pending(world, loyalty, logs, order_id, timeline_of):
    world.queues.until_quiet()
    failed = {"level": "WARNING", "message": "event failed", "reason": "no points today", "receives": 2}
    logs.put("loyalty-PointsLogs", points_line(world, order_id, "retried", **failed))

    timeline = timeline_of(order_id)

    ((who, what),) = pending_work(timeline)
    assert (who, what[:56]) == ("loyalty/points", "order_placed failed at receive 2: no points today; retry")
    assert [step[0] for step in troubles(timeline)] == ["loyalty/points"]


def test_an_event_that_another_stack_has_not_logged_is_not_called_pending(world, loyalty, order_id, timeline_of):
    world.queues.until_quiet()

    assert pending_work(timeline_of(order_id)) == []


def test_a_dead_letter_of_another_stack_is_pending_with_the_redrive_command(world, loyalty, order_id, timeline_of):
    world.queues.until_quiet()
    world.client("sqs").send_message(
        QueueUrl=loyalty.resource("PointsDeadLetters"), MessageBody=message("order_placed", order_id, 1)
    )

    (item,) = timeline_of(order_id)["pendingWork"]
    assert item["remedy"] == f"handoff dlq redrive loyalty/points --event {order_id}-1"


def test_a_rule_of_another_stack_may_match_by_prefix(world, loyalty, order_id, timeline_of):
    pattern = json.dumps({"detail-type": [{"prefix": "order_"}]})
    bus = world.stack.resource("Bus").ref
    world.client("events").put_rule(Name="loyalty-PointsRule", EventBusName=bus, EventPattern=pattern)
    world.queues.until_quiet()

    assert pending_work(timeline_of(order_id)) == []
