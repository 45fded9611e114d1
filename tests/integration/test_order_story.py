"""`handoff order`: one order's story, from what the real functions stored, logged and buried."""

import json
import logging
from types import SimpleNamespace

import boto3
import pytest
from click.testing import CliRunner

from handoff.clock import to_iso
from handoff.telemetry import logger
from ops.cli import main as cli
from ops.cli import options as target
from tests.support.messages import message
from tests.support.wire import cannot_connect, refuse
from tests.support.world import body

EMAILS, ANALYTICS, FULFILLMENT = "EmailsFunction", "AnalyticsFunction", "FulfillmentFunction"
NOBODY_S = "ord_aaaaaaaaaaaaaaaaaaaaaaaaaa"


class IntoCloudWatch(logging.Handler):
    """Puts what a function logs into its log group, with the time of now, as Lambda does."""

    def __init__(self, world):
        super().__init__()
        self.setFormatter(logger.registered_formatter)
        self._world = world
        self._logs = world.client("logs")

    def emit(self, record):
        if self._world.functions.running:  # an import logs under the keys of whoever ran before, in here alone
            self.put(self._world.functions.running[-1].replace("Function", "Logs"), self.format(record))

    def put(self, group, text):
        event = {"timestamp": self._world.clock.ms, "message": text}
        self._logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=[event])


@pytest.fixture
def logs(world):
    """The functions' log groups, which take what they log meanwhile."""
    groups = list(world.stack.template.of_type("AWS::Logs::LogGroup"))
    client = world.client("logs")
    for group in groups:
        client.create_log_group(logGroupName=group)
        client.create_log_stream(logGroupName=group, logStreamName="one")
    handler = IntoCloudWatch(world)
    logger.addHandler(handler)
    yield handler
    logging.getLogger(logger.name).removeHandler(handler)
    for group in groups:
        client.delete_log_group(logGroupName=group)


@pytest.fixture
def run(world, logs, sqs, resources, monkeypatch):
    """Runs `handoff order` against the stack in moto."""
    groups = world.client("logs").describe_log_groups()["logGroups"]
    resources["AWS::Logs::LogGroup"] = {group["logGroupName"]: group["logGroupName"] for group in groups}

    def resource(logical_id):
        found = [ids[logical_id] for ids in resources.values() if logical_id in ids]
        return found[0] if found else world.stack.resource(logical_id).ref

    deployment = SimpleNamespace(
        stack="handoff",
        endpoint=None,
        parameters=world.stack.parameters,
        dynamodb=boto3.client("dynamodb"),
        logs=boto3.client("logs"),
        events=boto3.client("events"),
        sqs=sqs,
        of_type=resources.__getitem__,
        resource=resource,
    )
    monkeypatch.setattr(target, "deployment", lambda stack, local: deployment)
    return lambda *arguments: CliRunner().invoke(cli.main, ["order", *arguments])


@pytest.fixture
def tell(run):
    """Tells an order's story, as scripts see it."""

    def told(order_id, *options):
        done = run(order_id, "--json", *options)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return told


@pytest.fixture
def order_id(api, logs):
    """A placed order of one mug, whose request brought a correlation id; its event waits in every queue."""
    return api.place(body(), **{"X-Correlation-Id": "trace-me"}).json["orderId"]


def steps(story, who=None):
    """The steps in short: who, what, detail."""
    return [(step["who"], step["what"], step["detail"]) for step in story["steps"] if who in (None, step["who"])]


def troubles(story):
    return [(step["who"], step["what"], step["detail"]) for step in story["steps"] if step["trouble"]]


def open_ends(story):
    return [(end["who"], end["what"]) for end in story["openEnds"]]


# --- the story --------------------------------------------------------------------------------------------------------


def test_a_good_order_is_told_from_its_request_to_the_last_consumer(world, clock, order_id, tell):
    # GIVEN an order that everybody has dealt with, one after the other
    for function in (EMAILS, ANALYTICS, FULFILLMENT):
        clock.forward(1)
        world.queues.deliver(function)
    clock.forward(1)
    world.queues.until_quiet()

    # WHEN its story is told
    story = tell(order_id)

    # THEN it is all there, in the order in which it happened
    assert steps(story) == [
        ("order", "PENDING", "requested, stock reserved"),
        ("order", "PLACED", "payment authorised, order_placed published"),
        ("api", "Answered", "POST /orders, status 201"),
        ("emails", "event handled", "order_placed, done"),
        ("analytics", "event handled", "order_placed, done"),
        ("order", "PREPARED", "shipment packed, shipment_prepared published"),
        ("shipment", "Packed", "now released for dispatch"),
        ("fulfillment", "event handled", "order_placed, done"),
        ("emails", "event handled", "shipment_prepared, done"),
        ("fulfillment", "event handled", "shipment_prepared, done"),
    ]
    assert [step["at"][17:] for step in story["steps"]] == (
        ["00.000Z"] * 3 + ["01.000Z", "02.000Z"] + ["03.000Z"] * 3 + ["04.000Z"] * 2
    )
    facts = ("status", "payment", "total", "currency", "userId", "correlationId")
    assert [story[fact] for fact in facts] == ["PREPARED", "captured", 1250, "EUR", "ada", "trace-me"]
    # AND nothing is left, and nothing went wrong
    assert (story["openEnds"], troubles(story)) == ([], [])


def test_a_person_reads_it_with_the_time_since_the_request(world, clock, order_id, run):
    world.queues.deliver(ANALYTICS)
    clock.forward(72)
    world.wire.on("sesv2.SendEmail", refuse("TooManyRequestsException", 429))
    world.queues.deliver(EMAILS)
    world.queues.until_quiet(FULFILLMENT)

    done = run(order_id)

    lines = done.stdout.splitlines()
    assert lines[:6] == [
        f"order           {order_id}",
        "status          PREPARED",
        "payment         captured",
        "total           1250 minor units of EUR",
        "customer        ada",
        "correlation id  trace-me",
    ]
    assert lines[7:10] == [
        "  2026-11-23T10:00:00.000Z  +0.000 s  order        PENDING        requested, stock reserved",
        (
            "  2026-11-23T10:00:00.000Z  +0.000 s  order        PLACED         "
            "payment authorised, order_placed published"
        ),
        "  2026-11-23T10:00:00.000Z  +0.000 s  api          Answered       POST /orders, status 201",
    ]
    assert (
        "! 2026-11-23T10:01:12.000Z    +1m12s  emails       event failed   "
        "order_placed, retried, SendEmail: TooManyRequestsException, receives 1"
    ) in lines
    assert lines[-5:] == [
        "Open:",
        (
            "  emails: order_placed has failed at receive 1: SendEmail: TooManyRequestsException; "
            "tried again by 2026-11-23T10:01:22.000Z"
        ),
        "  emails: no word of shipment_prepared yet: it is waiting, being worked on, or crashes its function",
        "",
        (
            "Searched: the logs of api, sweeper, analytics, emails, feedback, fulfillment "
            "from 2026-11-23T09:59:00.000Z to now."
        ),
    ]


def test_what_failed_once_is_shown_and_no_longer_open_once_it_is_done(world, clock, order_id, tell):
    world.wire.on("sesv2.SendEmail", refuse("TooManyRequestsException", 429))
    world.queues.deliver(EMAILS)
    clock.forward(11)
    world.queues.until_quiet()

    story = tell(order_id)

    failed = (
        "emails",
        "event failed",
        "order_placed, retried, SendEmail: TooManyRequestsException, receives 1",
    )
    assert troubles(story) == [failed]
    assert ("emails", "event handled", "order_placed, done") in steps(story)
    assert story["openEnds"] == []


def test_what_happens_in_one_millisecond_begins_with_the_order_s_own_record(world, order_id, tell):
    world.queues.until_quiet(FULFILLMENT, ANALYTICS)

    story = tell(order_id)

    assert len({step["at"] for step in story["steps"]}) == 1
    whos = ["order"] * 3 + ["shipment", "api", "analytics", "fulfillment", "fulfillment"]
    assert [step["who"] for step in story["steps"]] == whos


def test_a_cancelled_order_names_the_other_request_and_leaves_out_who_only_looked(world, clock, api, order_id, tell):
    api.get(f"/orders/{order_id}")
    clock.forward(1)
    api.call("POST", f"/orders/{order_id}/cancel", **{"X-Correlation-Id": "changed-my-mind"})
    world.queues.until_quiet()

    story = tell(order_id)

    assert steps(story, "api") == [
        ("api", "Answered", "POST /orders, status 201"),
        ("api", "Answered", "POST /orders/{orderId}/cancel, status 200, correlation id changed-my-mind"),
    ]
    assert ("order", "CANCELLED", "stock given back, order_cancelled published") in steps(story)
    assert ("emails", "event handled", "order_placed, skipped, the order is cancelled") in steps(story)
    assert (story["payment"], story["openEnds"], troubles(story)) == ("voided", [], [])


def test_a_declined_order_ends_there(api, tell):
    order_id = api.place(body(token="tok_decline")).json["orderId"]

    story = tell(order_id)

    assert ("order", "REJECTED", "declined, stock given back") in steps(story)
    assert story["payment"].startswith("failed, ")
    assert (story["openEnds"], troubles(story)) == ([], [])


# --- what is open -----------------------------------------------------------------------------------------------------


def test_an_order_that_nobody_has_finished_says_until_when(world, clock, api, tell):
    # GIVEN a provider that never answered
    order_id = api.place(body(token="tok_timeout_held")).json["orderId"]

    # THEN it is open until it expires
    story = tell(order_id)
    assert open_ends(story) == [
        (
            "order",
            (
                "not placed yet, and given up at 2026-11-23T10:10:00.000Z; "
                "the sweeper looks at it from 2026-11-23T10:01:00.000Z on"
            ),
        )
    ]
    assert ("api", "Answered", "POST /orders, status 503") in troubles(story)
    # AND then it is closed
    clock.forward(601)
    world.sweep()
    story = tell(order_id)
    assert ("order", "REJECTED", "expired, stock given back") in troubles(story)
    assert (story["payment"], story["openEnds"]) == ("voided", [])


def test_an_event_in_the_outbox_is_open_until_the_sweeper_has_published_it(world, clock, api, logs, tell):
    world.wire.on("eventbridge.PutEvents", cannot_connect)
    order_id = api.place(body()).json["orderId"]

    story = tell(order_id)

    assert ("order", "PLACED", "payment authorised, order_placed not published yet") in steps(story)
    assert [who for who, _, _ in troubles(story)] == ["api"]
    look = "the sweeper looks at it from 2026-11-23T10:01:00.000Z on"
    assert open_ends(story) == [("order", f"order_placed is not published yet; {look}")]

    clock.forward(60)
    world.sweep()
    world.queues.until_quiet()
    assert tell(order_id)["openEnds"] == []


def test_a_payment_that_is_due_is_open(world, clock, order_id, tell):
    # GIVEN that the provider's ledger can't be reached when the payment is to be captured
    world.queues.deliver(FULFILLMENT)
    world.wire.always("dynamodb.*", cannot_connect, where=world.to_provider)
    world.queues.deliver(FULFILLMENT)

    story = tell(order_id)

    assert ("shipment", "Packed", "now not released: not paid yet") in steps(story)
    mine, fulfillment = [end for end in open_ends(story) if end[0] in {"order", "fulfillment"}]
    assert mine[1].startswith("the capture of the payment is due since 2026-11-23T10:00:00.000Z; the sweeper looks")
    assert fulfillment[1].startswith("shipment_prepared has failed at receive 1: ")


def test_a_dead_letter_is_open_with_its_reason_and_the_command_that_mends_it(world, order_id, run, tell):
    # GIVEN a mail that can't be sent, ever
    world.wire.on("sesv2.SendEmail", refuse("BadRequestException"))
    world.queues.until_quiet()

    # THEN the story names the letter
    story = tell(order_id)
    event_id = f"{order_id}-1"
    reason = "the mail service can't send this mail; is the address well-formed?"
    assert troubles(story) == [("emails", "event failed", f"order_placed, dead_lettered, {reason}, receives 1")]
    (end,) = story["openEnds"]
    assert end == {
        "who": "emails",
        "eventId": event_id,
        "what": f"order_placed is a dead letter since 2026-11-23T10:00:00.000Z: {reason}",
        "remedy": f"handoff dlq redrive emails --event {event_id}",
    }
    assert f"      {end['remedy']}" in run(order_id).stdout.splitlines()
    # AND it is there for others to see
    assert len(world.queues.dead_letters(EMAILS)) == 1
    # AND once it is gone, what is known is told
    gone = [("emails", "order_placed failed for good and is no dead letter any more: redriven, or deleted")]
    assert open_ends(tell(order_id)) == gone


def test_a_letter_without_a_word_in_the_logs_is_told_too(world, order_id, tell):
    # GIVEN a consumer that crashed each time, and an event that did not come into a queue
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

    assert open_ends(tell(order_id)) == [
        ("analytics", "order_placed is a dead letter: crashed each time"),
        (
            "fulfillment",
            (f"order_placed is a dead letter since {died}: not delivered: NO_PERMISSIONS: not allowed"),
        ),
    ]  # fmt: skip


def test_a_letter_in_other_hands_is_not_passed_over_in_silence(world, order_id, tell):
    world.wire.on("sesv2.SendEmail", refuse("BadRequestException"))
    world.queues.until_quiet()
    world.queues.dead_letters(EMAILS)

    assert any("SQS counts 1 more; another receiver may hold" in note for note in tell(order_id)["notes"])


def test_fulfillment_s_mark_on_the_order_tells_that_it_is_done(world, logs, order_id, tell):
    # GIVEN a fulfillment whose log lines have not come through
    logging.getLogger(logger.name).removeHandler(logs)
    world.queues.until_quiet(FULFILLMENT)

    # THEN it is the others that are waited for
    assert {who for who, _ in open_ends(tell(order_id))} == {"emails", "analytics"}


# --- where it looks ---------------------------------------------------------------------------------------------------


def searched(world):
    """The log groups that were searched, from when to when, in minutes after ten o'clock."""
    calls = [call.request for call in world.wire.named("cloudwatch-logs.FilterLogEvents")]
    begin = 1795428000000
    return [
        (call["logGroupName"], round((call["startTime"] - begin) / 60_000), round((call["endTime"] - begin) / 60_000))
        for call in calls
    ]


def test_the_logs_are_searched_for_an_hour_and_those_of_who_is_late_until_now(world, clock, order_id, tell):
    # GIVEN e-mails that come to it a day later
    world.queues.until_quiet(ANALYTICS, FULFILLMENT)
    clock.forward(86_400)
    world.queues.until_quiet()

    # WHEN the story is told
    story = tell(order_id)

    # THEN it is complete, and only e-mails and the sweeper were looked for that long
    assert steps(story)[-2:] == [
        ("emails", "event handled", "order_placed, done"),
        ("emails", "event handled", "shipment_prepared, done"),
    ]
    assert story["openEnds"] == []
    everywhere = ["OrdersLogs", "SweeperLogs", "AnalyticsLogs", "EmailsLogs", "FeedbackLogs", "FulfillmentLogs"]
    assert searched(world) == [
        *((group, -1, 60) for group in everywhere),
        ("SweeperLogs", 60, 1441),
        ("EmailsLogs", 60, 1441),
    ]
    assert story["notes"] == [
        (
            "Searched: the logs of api, sweeper, analytics, emails, feedback, fulfillment "
            "from 2026-11-23T09:59:00.000Z to 2026-11-23T11:00:00.000Z; "
            "of sweeper, emails to now. With --all, everything to now."
        )
    ]


def test_with_all_a_late_repeat_shows_as_well(world, clock, order_id, tell):
    world.queues.until_quiet()
    clock.forward(86_400)
    world.queues.send(ANALYTICS, message("order_placed", order_id, 1))
    world.queues.deliver(ANALYTICS)

    done, repeated = [("analytics", "event handled", f"order_placed, {outcome}") for outcome in ("done", "repeated")]
    assert steps(tell(order_id), "analytics") == [done]
    assert steps(tell(order_id, "--all"), "analytics") == [done, repeated]
    assert searched(world)[-1] == ("FulfillmentLogs", -1, 1441)


def test_what_is_older_than_the_logs_is_not_called_open(world, clock, order_id, tell):
    # GIVEN an order that nobody has dealt with
    clock.forward(29 * 86_400)
    assert {who for who, _ in open_ends(tell(order_id))} == {"emails", "analytics", "fulfillment"}

    # WHEN there would not be a line any more if somebody had
    clock.forward(2 * 86_400)
    story = tell(order_id)

    # THEN it says so, claims nothing, and does not look through a month of logs for it
    assert story["openEnds"] == []
    assert {end for _, _, end in searched(world)[-6:]} == {60}
    assert "Logs are kept for 30 days: whether everybody has dealt with older events is not known." in story["notes"]


def test_lines_of_earlier_releases_are_shown_and_their_events_are_not_called_open(world, logs, order_id, tell):
    # GIVEN an order that consumers of a release without outcomes have handled, or failed to
    keys = {"order_id": order_id, "event_id": f"{order_id}-1", "timestamp": to_iso(world.clock.ms)}
    failure = {"exception_name": "NotYet", "exception": "NotYet: order unseen", "receives": 1}
    for group, line in (
        ("EmailsLogs", {"level": "INFO", "message": "Done"}),
        ("AnalyticsLogs", {"level": "WARNING", "message": "Failed, and will be tried again", **failure}),
    ):
        logs.put(group, json.dumps(keys | line))

    story = tell(order_id)

    # THEN the lines are shown as they are
    assert ("emails", "Done", "order_placed") in steps(story)
    assert ("analytics", "Failed, and will be tried again", "order_placed, receives 1, NotYet") in troubles(story)
    # AND only the consumer that has logged nothing is waited for
    assert [who for who, _ in open_ends(story)] == ["fulfillment"]
    assert story["notes"][1:] == [
        f"{who} logged order_placed without an outcome, as earlier releases did; see its lines."
        for who in ("emails", "analytics")
    ]


def test_what_else_functions_print_is_left_out(world, logs, order_id, tell):
    before = steps(tell(order_id))
    for text in (
        f"START {order_id}",
        f'{{"_aws": {{}}, "order_id": "{order_id}"}}',
        f'["{order_id}"]',
        f"{{ {order_id}",
    ):
        logs.put("EmailsLogs", text)
    # AND what Lambda puts before a line is no hindrance
    line = {"level": "INFO", "message": "Here", "order_id": order_id, "timestamp": "?"}
    logs.put("EmailsLogs", f"[INFO]\t{json.dumps(line)}")

    assert steps(tell(order_id)) == [*before, ("emails", "Here", "")]


# --- what it does not show --------------------------------------------------------------------------------------------


def test_nothing_personal_is_shown_or_even_read(world, api, logs, run):
    # GIVEN an order, still open, and an error that names an address
    world.wire.on("sesv2.SendEmail", refuse("MessageRejected", message="Address is not verified: ada@example.com"))
    order_id = api.place(body()).json["orderId"]
    world.queues.deliver(FULFILLMENT)
    world.queues.deliver(EMAILS)
    assert {"shippingAddress", "paymentToken"} <= world.order(order_id).keys()

    # WHEN its story is told
    with world.wire.watched() as calls:
        shown = run(order_id).output + run(order_id, "--json").output

    # THEN none of it is in there
    assert "SendEmail: MessageRejected" in shown
    for secret in ("Lovelace", "12 Engine Way", "London", "tok_approve", "example.com"):
        assert secret not in shown
    # AND it has not left the table
    names = [call.request["ExpressionAttributeNames"].values() for call in calls if call.service == "dynamodb"]
    assert len(names) == 4
    assert not {"shippingAddress", "address", "lines", "paymentToken"} & {name for some in names for name in some}


def test_text_in_a_log_line_can_t_play_with_the_terminal(logs, order_id, run):
    line = {"level": "ERROR", "message": "\x9b2J", "order_id": order_id, "reason": "\x1b[2J"}
    logs.put("EmailsLogs", json.dumps(line))

    shown = run(order_id).stdout

    assert "\\x9b2J" in shown
    assert "\\x1b[2J" in shown
    assert {"\x9b", "\x1b"}.isdisjoint(shown)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_an_order_that_is_not_there_is_told_in_a_line(run):
    done = run(NOBODY_S)

    assert (done.exit_code, done.output) == (1, f"Error: The stack handoff has no order {NOBODY_S}.\n")


@pytest.mark.parametrize("text", ["", "ord_1", "ord_" + "a" * 27, "ORD_" + "a" * 26, 'ord_"' + "a" * 25, "ord_1-1"])
def test_what_can_t_be_an_id_is_told_how_one_looks_and_nobody_is_asked(world, run, text):
    with world.wire.watched() as calls:
        done = run(text)

    assert done.exit_code == 1
    assert done.output == f"Error: {text!r} is not an order's id: that is ord_ and 26 of the characters a-z and 2-7.\n"
    assert not calls


def test_an_order_that_can_t_be_read_names_the_fields_and_not_their_values(world, order_id, run):
    world.change("OrdersTable", {"orderId": order_id}, total="a lot", status="LOST")

    done = run(order_id)

    assert done.exit_code == 1
    assert done.output == f"Error: What OrdersTable holds of {order_id} is not readable: status, total\n"


@pytest.mark.parametrize(
    "operation",
    ["dynamodb.GetItem", "eventbridge.ListRules", "cloudwatch-logs.FilterLogEvents", "sqs.GetQueueAttributes"],
)
def test_a_missing_right_is_told_in_a_line(world, order_id, run, operation):
    world.wire.always(operation, refuse("AccessDenied", 403))

    done = run(order_id)

    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: AWS refused, or did not answer: An error occurred (AccessDenied)")
    assert operation.partition(".")[2] in done.stderr
