"""`handoff dlq`: dead letters are listed with their reasons, and redriven."""

import json
import os
import re
import signal
import threading
import time
from email.utils import formatdate
from itertools import islice
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from dev.local.stack import ROOT
from dev.simulated.account import REGION
from dev.simulated.messages import envelope, message
from dev.simulated.wire import Crash, crash_after, crash_before, lose_response, meanwhile, refuse
from dev.simulated.wire import answer as replace_answer
from dev.template import template_with
from handoff.clock import to_iso
from ops.cli import main as cli
from ops.cli.options import Target
from ops.dlq import redrive as redriving
from ops.dlq import scan
from ops.dlq.directory import Directory, Filter, find

EMAILS = "EmailsFunction"
RULE_ARN = f"arn:aws:events:{REGION}:123456789012:rule/handoff-test-bus/"


@pytest.fixture
def queue(world):
    """The URLs of the emails queue and of its dead-letter queue."""
    environment = world.stack.environment(EMAILS)
    return environment["QUEUE_URL"], environment["DEAD_LETTER_QUEUE_URL"]


@pytest.fixture
def dlq(sqs, resources, importers, monkeypatch):
    """Run `handoff dlq` against the stack in moto."""

    def resource(logical_id):
        return next(found[logical_id] for found in resources.values() if logical_id in found)

    resources["AWS::Logs::LogGroup"] = {"EmailsLogs": "handoff-EmailsLogs"}
    deployment = SimpleNamespace(
        importers=importers,
        sqs=sqs,
        of_type=resources.__getitem__,
        resource=resource,
        has=resources["AWS::Logs::LogGroup"].__contains__,
    )
    monkeypatch.setattr(Target, "deployment", lambda self: deployment)
    return lambda *arguments, **given: CliRunner().invoke(cli.main, ["dlq", *arguments], **given)


@pytest.fixture
def send_dead_letter(world, queue):
    """Send a message to a dead-letter queue, by default that of emails; without attributes, as SQS moves it."""

    def put(body, url=queue[1], **attributes):
        typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        world.client("sqs").send_message(QueueUrl=url, MessageBody=body, MessageAttributes=typed)

    return put


def sent_to(url):
    """Return a predicate for calls to a queue."""
    return lambda call: call.request["QueueUrl"] == url


def listed(dlq, *arguments):
    """Return the listed dead letters, as scripts get them."""
    done = dlq("list", "--json", *arguments)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def redrive(world, queue):
    found = list(scan.dead_letters(world.client("sqs"), queue[1], wait=0))
    scan.redrive(world.client("sqs"), found, dead_letters_url=queue[1], queue_url=queue[0])
    return found


# --- dead letters and queues ------------------------------------------------------------------------------------------


def test_dead_letters_are_read_with_event_and_reason_and_stay(world, queue, send_dead_letter):
    # GIVEN a dead letter from its consumer, and one that SQS moved after crashes
    world.queues.send(EMAILS, "poison")
    world.queues.deliver(EMAILS)
    send_dead_letter(message("order_placed", "ord_1", 1))

    # WHEN they are scanned and released
    with scan.QueueScan(world.client("sqs"), queue[1], wait=0) as queue_scan:
        found = [(dead_letter.event_id, dead_letter.reason, dead_letter.died_at) for dead_letter in queue_scan]
    world.clock.forward(1)

    # THEN each has its reason and stays; SQS does not record when it moved a message
    poison, crashed = sorted(found, key=lambda row: row[0] == "ord_1-1")
    assert poison[1:] == ("not an event: body", world.clock.ms - 1000)
    assert crashed == ("ord_1-1", "crashed each time", None)
    assert len(world.queues.dead_letters(EMAILS)) == 2


def test_a_redriven_event_is_handled(world, queue, order_id):
    # GIVEN an event that has become a dead letter
    (record,) = world.queues.receive(EMAILS)
    world.client("sqs").send_message(QueueUrl=queue[1], MessageBody=record["body"])
    world.client("sqs").delete_message(QueueUrl=queue[0], ReceiptHandle=record["receiptHandle"])

    # WHEN it is redriven
    assert len(redrive(world, queue)) == 1
    world.queues.deliver(EMAILS)

    # THEN its mail goes out, and no dead letter is left
    assert [mail["subject"] for mail in world.mails()] == ["Your order is confirmed"]
    assert world.queues.dead_letters(EMAILS) == []


def test_redriving_a_handled_event_is_harmless(world, dlq, send_dead_letter, order_id):
    world.queues.deliver(EMAILS)
    send_dead_letter(message("order_placed", order_id, 1))

    assert dlq("redrive", "--yes").exit_code == 0
    assert dlq("redrive", "--yes").exit_code == 0
    world.queues.until_quiet(EMAILS)

    assert len(world.mails()) == 1


def test_a_redrive_keeps_the_body_and_the_trace_but_not_the_reason(world, dlq, queue):
    body = '{"spaces":   "as they are", "ä": 1}'
    world.client("sqs").send_message(
        QueueUrl=queue[1],
        MessageBody=body,
        MessageAttributes={"reason": {"DataType": "String", "StringValue": "an old one"}},
        MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3f"}},
    )

    dlq("redrive", "--yes")

    (call,) = world.wire.named("sqs.SendMessageBatch")
    (sent,) = call.request["Entries"]
    trace = {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3f"}
    assert call.request["QueueUrl"] == queue[0]
    assert sent == {
        "Id": "0",
        "MessageBody": body,
        "MessageSystemAttributes": {"AWSTraceHeader": trace},
        "DelaySeconds": 0,  # the queue's own delay is over
    }


# --- list and show ----------------------------------------------------------------------------------------------------


def test_all_dead_letters_of_an_event_are_one_row(dlq, send_dead_letter, clock):
    # GIVEN an event with two dead letters, and another event
    at = clock.ms - 7_500_000
    send_dead_letter(message("order_placed", "ord_1", 1, at=at), reason="SendEmail: Throttling", eventId="ord_1-1")
    clock.forward(60)
    send_dead_letter(
        message("order_placed", "ord_1", 1, at=at), reason="order ord_1 is missing or outdated", eventId="ord_1-1"
    )
    send_dead_letter(
        message("order_cancelled", "ord_2", 2), reason="order ord_2 is missing or outdated", eventId="ord_2-2"
    )
    clock.forward(239)  # the scan takes a second

    # WHEN they are listed
    lines = dlq("list").stdout.splitlines()

    # THEN each has a row with the newest reason, and reasons are counted without their order ids
    first = ["emails", "ord_1-1", "order_placed", "ord_1", "2h10m", "4m", "1", "2", "order", "ord_1", "is", "missing"]
    second = ["emails", "ord_2-2", "order_cancelled", "ord_2", "4m", "4m", "1", "1", "order", "ord_2", "is", "missing"]
    assert [line.split()[:12] for line in lines[1:3]] == [first, second]
    assert lines[3:] == ["", "     3  emails: order ... is missing or outdated"]


def test_a_long_id_does_not_widen_the_table(dlq, send_dead_letter):
    # GIVEN an event with an id of 300 characters, and another one
    long = f"first-{'x' * 288}-last"
    send_dead_letter(message("order_placed", "ord_1", 1), reason="one", eventId=long)
    send_dead_letter(message("order_placed", "ord_2", 1), reason="two", eventId="ord_2-1")

    # THEN the table has the id's beginning and end
    titles, *rows = dlq("list").stdout.splitlines()[:3]
    assert titles.index("REASON") < 150
    assert {row[titles.index("REASON") :] for row in rows} == {"one", "two"}
    (row,) = [row for row in rows if "first-" in row]
    assert re.search(r"first-x+\.\.\.x+-last ", row)
    # AND JSON has it in full
    assert {row["eventId"] for row in listed(dlq)} == {long, "ord_2-1"}


def test_an_event_is_listed_for_each_of_its_consumers(world, dlq, send_dead_letter):
    body = message("order_placed", "ord_1", 1)
    send_dead_letter(body)
    send_dead_letter(body, url=world.stack.environment("FulfillmentFunction")["DEAD_LETTER_QUEUE_URL"])

    assert [(row["consumer"], row["count"]) for row in listed(dlq)] == [("emails", 1), ("fulfillment", 1)]
    assert [row["consumer"] for row in listed(dlq, "fulfillment")] == ["fulfillment"]


@pytest.mark.parametrize(
    ("filters", "events"),
    [
        ([], {"ord_1-1", "ord_2-1", "ada-3"}),
        (["--reason", "throttl"], {"ord_1-1"}),
        (["--reason", "CRASHED"], {"ord_2-1", "ada-3"}),
        (["--order", "ord_2"], {"ord_2-1"}),
        (["--event", "ada-3"], {"ada-3"}),
        (["--older-than", "1h"], {"ord_1-1"}),
        (["--newer-than", "1h"], {"ord_2-1", "ada-3"}),
        (["--older-than", "5m", "--newer-than", "1h"], {"ord_2-1"}),
        (["--order", "ord_1", "--reason", "crashed"], set()),
        (["analytics"], set()),
    ],
)
def test_filters_choose_dead_letters(dlq, send_dead_letter, clock, filters, events):
    # GIVEN dead letters of different reasons, orders and ages; one is about a customer
    send_dead_letter(
        message("order_placed", "ord_1", 1, at=clock.ms - 7_200_000), reason="SendEmail: Throttling", eventId="ord_1-1"
    )
    send_dead_letter(message("order_placed", "ord_2", 1, at=clock.ms - 600_000))
    profile = envelope("user_profile_updated", "ada", 3)
    profile["detail"]["data"] = {"userId": "ada", "changedFields": ["name"]}
    send_dead_letter(json.dumps(profile))

    # THEN only the chosen ones are listed, and would be redriven
    assert {row["eventId"] for row in listed(dlq, *filters)} == events
    assert dlq("redrive", "--dry-run", *filters).stdout.startswith(f"{len(events)} would be redriven")


def test_a_malformed_event_is_listed_by_message_id_without_its_content(dlq, send_dead_letter):
    send_dead_letter(
        "not an event, but a text of ada@example.com \x9b2J", reason="not an event: body", eventId="unknown"
    )
    send_dead_letter('{"detail": {"metadata": 7}}', reason="not an event: detail", eventId="unknown")

    rows = listed(dlq)

    assert len({row["eventId"] for row in rows}) == 2
    assert "ada@example.com" not in json.dumps(rows)
    # AND show prints its content, which cannot control the terminal
    (unread,) = [row["eventId"] for row in rows if row["reason"] == "not an event: body"]
    assert "not an event, but a text of ada@example.com \\x9b2J" in dlq("show", "emails", unread).stdout


def test_a_dead_letter_about_a_mail_names_the_customer_by_id_only(world, dlq, send_dead_letter):
    (record,) = json.loads((ROOT / "events/feedback.json").read_text())["Records"]
    send_dead_letter(record["body"], url=world.stack.environment("FeedbackFunction")["DEAD_LETTER_QUEUE_URL"])

    (row,) = listed(dlq)

    assert (row["consumer"], row["type"], row["userId"]) == ("feedback", "Email Bounced", "user-tomas")
    assert row["eventId"] == json.loads(record["body"])["id"]
    assert "@" not in json.dumps(row)


def test_without_dead_letters_the_output_says_so(dlq):
    assert dlq("list").stdout == "No dead letters.\n"
    assert dlq("list", "emails").stdout == "No dead letters of emails.\n"
    assert dlq("list", "emails", "--reason", "x").stdout == "No dead letters of emails match.\n"
    assert listed(dlq) == []


def test_show_prints_a_dead_letter_with_its_log_query(dlq, send_dead_letter):
    body = envelope("order_placed", "ord_1", 1)
    send_dead_letter(json.dumps(body), reason="SendEmail: Throttling", eventId="ord_1-1", consumer="emails")

    shown = dlq("show", "emails", "ord_1-1").stdout

    assert json.loads(shown.partition("body")[2].partition("To read its log lines")[0]) == body
    assert '"reason": "SendEmail: Throttling"' in shown
    assert "handoff-EmailsLogs" in shown
    assert '| filter event_id = "ord_1-1" or correlation_id = "trace-me"' in shown
    missing = dlq("show", "emails", "ord_9-1")
    assert (missing.exit_code, missing.output) == (1, "Error: emails has no dead letter of ord_9-1.\n")


def test_dead_letters_held_elsewhere_are_counted(world, dlq, send_dead_letter, queue):
    send_dead_letter(message("order_placed", "ord_1", 1))
    world.client("sqs").receive_message(QueueUrl=queue[1], VisibilityTimeout=60)
    send_dead_letter(message("order_placed", "ord_2", 1))

    done = dlq("list", "emails")

    assert "SQS counts 1 more; another receiver may hold them. If it was killed, they are visible again within 2m." in (
        done.stderr
    )
    assert (done.exit_code, "ord_2" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    "command",
    ["list", "list --json", "show emails ord_1-1", "redrive", "redrive --dry-run", "redrive --yes"],
)
def test_if_all_dead_letters_are_held_elsewhere_the_command_fails(world, dlq, send_dead_letter, queue, command):
    for number in range(7):
        send_dead_letter(message("order_placed", f"ord_{number}", 1))
    world.client("sqs").receive_message(QueueUrl=queue[1], VisibilityTimeout=60, MaxNumberOfMessages=10)

    done = dlq(*command.split())

    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.endswith(
        "Error: No dead letters are visible; SQS counts 7 that another receiver holds. Try again later.\n"
    )


# --- redrive ----------------------------------------------------------------------------------------------------------


def test_a_dry_run_and_a_declined_redrive_change_nothing(world, dlq, send_dead_letter, queue):
    send_dead_letter(message("order_placed", "ord_1", 1), reason="SendEmail: Throttling", eventId="ord_1-1")

    dry, declined = dlq("redrive", "--dry-run"), dlq("redrive", input="n\n")

    assert dry.stdout == "1 would be redriven: 1 to emails\n"
    assert declined.exit_code == 1
    assert "Redrive them? [y/N]: n" in declined.stdout
    assert {call.operation for call in world.wire.calls} == {
        "GetQueueAttributes", "ReceiveMessage", "ChangeMessageVisibilityBatch"
    }  # fmt: skip
    assert [dead_letter.attributes["eventId"] for dead_letter in world.queues.dead_letters(EMAILS)] == ["ord_1-1"]


def test_only_chosen_dead_letters_are_redriven(world, dlq, send_dead_letter):
    for number in range(3):
        send_dead_letter(message("order_placed", f"ord_{number}", 1))

    done = dlq("redrive", "emails", "--order", "ord_1", input="y\n")

    assert done.stdout.endswith("1 redriven: 1 to emails\n")
    assert ["ord_1" in record["body"] for record in world.queues.receive(EMAILS)] == [True]
    assert len(world.queues.dead_letters(EMAILS)) == 2


@pytest.mark.parametrize("crash", [crash_before, crash_after])
@pytest.mark.parametrize("operation", ["SendMessageBatch", "DeleteMessageBatch"])
def test_a_redrive_that_crashes_anywhere_can_be_run_again(world, dlq, queue, order_id, operation, crash):
    # GIVEN a dead letter of a placed order
    (record,) = world.queues.receive(EMAILS)
    world.client("sqs").send_message(QueueUrl=queue[1], MessageBody=record["body"])
    world.client("sqs").delete_message(QueueUrl=queue[0], ReceiptHandle=record["receiptHandle"])

    # WHEN the redrive crashes without releasing its messages
    world.wire.on(f"sqs.{operation}", crash)
    world.wire.always("sqs.ChangeMessageVisibilityBatch", crash_before)
    with pytest.raises(Crash):
        dlq("redrive", "--yes")
    world.wire.heal()
    world.clock.forward(121)
    # AND is run again
    assert dlq("redrive", "--yes").exit_code == 0
    world.queues.until_quiet(EMAILS)

    # THEN the mail went out, once
    assert len(world.mails()) == 1
    assert world.queues.dead_letters(EMAILS) == []


def interrupt(_call, _deliver):
    """Simulate Ctrl-C."""
    raise KeyboardInterrupt


@pytest.mark.parametrize(("fault", "status"), [(interrupt, 130), (refuse("AccessDenied", 403), 1)])
@pytest.mark.parametrize(
    "command", [["list"], ["show", "emails", "ord_1-1"], ["redrive", "--yes", "--event", "ord_1-1"]]
)
def test_a_command_that_ends_early_releases_its_messages(world, dlq, send_dead_letter, fault, status, command):
    for number in range(12):
        send_dead_letter(message("order_placed", f"ord_x{number}", 1))
    world.wire.on(
        "sqs.ReceiveMessage", fault, nth=2, where=lambda call: "EmailsDeadLetters" in call.request["QueueUrl"]
    )

    done = dlq(*command)

    assert done.exit_code == status
    assert len(world.queues.dead_letters(EMAILS)) == 12


def kill(signum):
    """Simulate a signal during a call that SQS then refuses."""

    def fault(call, deliver):
        os.kill(os.getpid(), signum)
        return refuse("AccessDenied", 403)(call, deliver)

    return fault


@pytest.mark.usefixtures("sends_signal")
@pytest.mark.parametrize(
    ("fault", "why", "status"),
    [
        (interrupt, "Error: Interrupted.", 130),
        (kill(signal.SIGTERM), "Error: Interrupted by SIGTERM.", 143),
        (kill(signal.SIGHUP), "Error: Interrupted by SIGHUP.", 129),
        (refuse("AccessDenied", 403), "AccessDenied", 1),
    ],
)
def test_a_redrive_that_ends_early_reports_its_progress(world, dlq, send_dead_letter, queue, fault, why, status):
    for number in range(12):
        send_dead_letter(message("order_placed", f"ord_{number}", 1))
    world.wire.on("sqs.SendMessageBatch", fault, where=lambda call: len(call.request["Entries"]) == 2)

    first = dlq("redrive", "--yes")
    second = dlq("redrive", "--yes")

    assert first.exit_code == status
    assert why in first.stderr
    assert "10 redriven, the others are unchanged. Run the command again to continue." in first.stderr
    assert second.stdout == "2 redriven: 2 to emails\n"


def test_an_event_that_fails_again_is_redriven_only_once(world, dlq, queue):
    # GIVEN three dead letters whose cause is not fixed
    for _ in range(3):
        world.queues.send(EMAILS, "poison")
    world.queues.deliver(EMAILS)

    # WHEN they are redriven, and each fails again at once
    sends = []

    def fails_again(call, deliver):
        sends.extend(call.request["Entries"])
        assert len(sends) <= 3, "endless redrive"
        response = deliver()
        world.queues.deliver(EMAILS)
        return response

    world.wire.always("sqs.SendMessageBatch", fails_again, where=sent_to(queue[0]))
    done = dlq("redrive", "--yes")

    # THEN each was sent once, and is a visible dead letter again
    assert (len(sends), done.stdout.splitlines()[-1]) == (3, "3 redriven: 3 to emails")
    # AND the message names the consumer, not its physical queue
    assert "emails: 3 more arrived meanwhile, or failed again; scan again to see them." in done.stderr
    assert "EmailsDeadLetters" not in done.stderr
    assert len(world.queues.dead_letters(EMAILS)) == 3


def test_a_scan_ends_although_dead_letters_keep_arriving(world, dlq, send_dead_letter):
    send_dead_letter(message("order_placed", "ord_1", 1))
    receives = []

    def another(call, deliver):
        receives.append(call)
        assert len(receives) < 20, "endless scan"
        world.clock.forward(2)
        send_dead_letter(message("order_placed", f"ord_new{len(receives)}", 1))
        return deliver()

    world.wire.always("sqs.ReceiveMessage", another, where=lambda call: "EmailsDead" in call.request["QueueUrl"])

    assert [row["eventId"] for row in listed(dlq, "emails")] == ["ord_1-1"]


def test_a_scan_longer_than_the_visibility_timeout_sees_each_once(world, dlq, send_dead_letter, queue):
    # GIVEN 120 dead letters of two kinds, and an SQS so slow that the first time out before the last is received
    for number in range(120):
        send_dead_letter(
            message("order_placed", f"ord_{number}", 1), reason=("odd" if number % 2 else "even"), eventId=f"{number}"
        )
    world.wire.always("sqs.ReceiveMessage", meanwhile(lambda: world.clock.forward(30)))

    # THEN all are listed once
    rows = listed(dlq, "emails")
    assert (len(rows), {row["count"] for row in rows}) == (120, {1})

    # WHEN those of one kind are redriven
    assert dlq("redrive", "emails", "--reason", "odd", "--yes").stdout == "60 redriven: 60 to emails\n"

    # THEN each was sent once, and the others are visible
    calls = [call for call in world.wire.named("sqs.SendMessageBatch") if sent_to(queue[0])(call)]
    sent = [entry["MessageBody"] for call in calls for entry in call.request["Entries"]]
    assert len(sent) == len(set(sent)) == 60
    assert {dead_letter.attributes["reason"] for dead_letter in world.queues.dead_letters(EMAILS)} == {"even"}


def _locked(call, lock):
    def locked(**arguments):
        with lock:
            return call(**arguments)

    return locked


class SlowQueue:
    """SQS with a queue of dead letters of as many orders, one in ten odd. A call takes 0.1 s. Threads may use it."""

    def __init__(self, clock, letters, at_most):
        self.calls = {}
        self.sent = []
        self._clock = clock
        self._at_most = at_most
        self._sent_at = str(clock.ms - 3_600_000)
        self._visible = dict.fromkeys(range(letters), 0.0)  # from when on; in the order in which SQS returns them
        self._received = {}
        self._lock = threading.Lock()

    def __getattribute__(self, name):
        """Let one thread call at a time."""
        found = super().__getattribute__(name)
        return found if name.startswith("_") or not callable(found) else _locked(found, self._lock)

    def _call(self, name):
        self.calls[name] = self.calls.get(name, 0) + 1
        assert sum(self.calls.values()) <= self._at_most, f"endless scan: {self.calls}"
        self._clock.forward(0.1)

    def get_queue_attributes(self, **_):
        self._call("count")
        count, date = str(len(self._visible)), formatdate(usegmt=True)
        return {
            "Attributes": {"ApproximateNumberOfMessages": count, "ApproximateNumberOfMessagesNotVisible": "0"},
            "ResponseMetadata": {"HTTPHeaders": {"date": date}},
        }

    def receive_message(self, *, VisibilityTimeout, **_):  # noqa: N803
        self._call("receive")
        found = list(islice((n for n, at in self._visible.items() if at <= time.time()), 10))
        for n in found:
            del self._visible[n]
            self._visible[n] = time.time() + VisibilityTimeout
            self._received[n] = time.time()
        return {"Messages": [self._message(n) for n in found]}

    def _message(self, n):
        attributes = {"SentTimestamp": self._sent_at, "ApproximateReceiveCount": "1"}
        return {
            "MessageId": str(n),
            "ReceiptHandle": str(n),
            "Body": message("order_placed", f"ord_{n}", 1),
            "Attributes": attributes,
            "MessageAttributes": {"reason": {"StringValue": "odd" if n % 10 == 7 else "known"}},
        }

    def change_message_visibility_batch(self, *, Entries, **_):  # noqa: N803
        self._call("prolong" if Entries[0]["VisibilityTimeout"] else "release")
        for entry in Entries:
            n, until = int(entry["ReceiptHandle"]), time.time() + entry["VisibilityTimeout"]
            if until <= self._received[n] + 43_200:  # others are refused
                self._visible[n] = until

    def send_message_batch(self, *, Entries, **_):  # noqa: N803
        self._call("send")
        self.sent += [entry["MessageBody"] for entry in Entries]
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    def delete_message_batch(self, *, Entries, **_):  # noqa: N803
        self._call("delete")
        for entry in Entries:
            del self._visible[int(entry["ReceiptHandle"])]
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    @property
    def visible(self):
        """The number of visible messages."""
        return sum(at <= time.time() for at in self._visible.values())


def test_a_scan_of_ten_thousand_dead_letters_takes_minutes(clock):
    sqs = SlowQueue(clock, 10_000, at_most=2_100)
    began = clock.ms

    with scan.QueueScan(sqs, "dead") as queue_scan:
        found = [dead_letter.event_id for dead_letter in queue_scan]

    assert len(found) == len(set(found)) == 10_000
    assert sqs.calls == {"count": 1, "receive": 1_001, "release": 1_000}
    assert clock.ms - began < 240_000
    assert (queue_scan.held_elsewhere, sqs.visible) == (0, 10_000)


@pytest.mark.parametrize(
    ("rate", "batch", "prolongings"),
    [(100.0, 10, 0), (10.0, 10, 0), (0.2, 1, 2_000)],  # the last takes longer than SQS allows to hold a message
)
def test_ten_thousand_dead_letters_are_redriven_once_at_any_rate(clock, rate, batch, prolongings):
    sqs = SlowQueue(clock, 10_000, at_most=25_000)
    known = Directory(dead={"dead": "emails"}, queues={"emails": "queue"}, rules={})

    # WHEN all but the odd ones are redriven
    done = redriving.Outcome()
    found = find(sqs, known, Filter(reason="known"), pytest.fail)
    redriven = [match.dead_letter.event_id for match in redriving.run(sqs, found, known, done, rate)]

    # THEN each was sent once; the timeouts of the others were extended rarely, and they are visible
    assert len(sqs.sent) == len(set(sqs.sent)) == len(set(redriven)) == done.sent.total() == 9_000
    assert sqs.calls.get("prolong", 0) <= prolongings
    assert sqs.visible == 1_000
    # AND three calls were made for ten
    assert (sqs.calls["send"], sqs.calls["delete"]) == (9_000 / batch, 9_000 / batch)
    assert sqs.calls["receive"] <= 1_002 + prolongings


def test_batches_are_sent_concurrently(world, dlq, send_dead_letter):
    # GIVEN an SQS that accepts a batch once two are on their way
    for number in range(20):
        send_dead_letter(message("order_placed", f"ord_{number}", 1))
    together = threading.Barrier(2)
    world.wire.always("sqs.SendMessageBatch", meanwhile(lambda: together.wait(10)))

    # THEN they are redriven
    assert dlq("redrive", "--yes").stdout == "20 redriven: 20 to emails\n"


def failing(entry_id, code, *, sender):
    """Let one entry of a batch fail, and do the others."""
    error = {"Id": entry_id, "Code": code, "Message": "refused by the test", "SenderFault": sender}

    def fault(call, deliver):
        call.request["Entries"] = [entry for entry in call.request["Entries"] if entry["Id"] != entry_id]
        answer = json.loads(deliver().content) if call.request["Entries"] else {"Successful": []}
        return replace_answer(answer | {"Failed": [*answer.get("Failed", []), error]})(call, deliver)

    return fault


def redriven_bodies(world):
    """Return the orders whose events are in the queue of emails."""
    found = []
    while records := world.queues.receive(EMAILS):
        found += [json.loads(record["body"])["detail"]["data"]["orderId"] for record in records]
    return sorted(found)


@pytest.fixture
def three(send_dead_letter):
    """Three dead letters."""
    for number in range(3):
        send_dead_letter(message("order_placed", f"ord_{number}", 1))


@pytest.mark.usefixtures("three")
def test_an_event_that_the_queue_refuses_stays_a_dead_letter(world, dlq):
    # GIVEN a queue that refuses one event for good
    world.wire.always("sqs.SendMessageBatch", failing("1", "InvalidMessageContents", sender=True))

    # WHEN all are redriven
    done = dlq("redrive", "--yes")

    # THEN the others are, and that one is still a dead letter
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "2 redriven: 2 to emails",
        (
            "1 not redriven: the queue of emails refused them (InvalidMessageContents: refused by the test). "
            "They are still dead letters."
        ),
    ]
    assert redriven_bodies(world) == ["ord_0", "ord_2"]
    assert ["ord_1" in dead_letter.body for dead_letter in world.queues.dead_letters(EMAILS)] == [True]


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("operation", ["SendMessageBatch", "DeleteMessageBatch"])
def test_an_entry_that_sqs_could_not_do_is_tried_again_alone(world, dlq, operation):
    world.wire.on(f"sqs.{operation}", failing("1", "InternalError", sender=False))

    done = dlq("redrive", "--yes")

    assert done.stdout == "3 redriven: 3 to emails\n"
    _, second = world.wire.named(f"sqs.{operation}")
    assert [entry["Id"] for entry in second.request["Entries"]] == ["1"]
    assert redriven_bodies(world) == ["ord_0", "ord_1", "ord_2"]
    assert world.queues.dead_letters(EMAILS) == []


@pytest.mark.usefixtures("three")
def test_an_entry_without_an_answer_is_not_deleted(world, dlq):
    # GIVEN an SQS that never says what became of one event
    def omit(call, deliver):
        answer = json.loads(deliver().content)
        kept = [entry for entry in answer["Successful"] if entry["Id"] != "1"]
        return replace_answer({"Successful": kept})(call, deliver)

    world.wire.always("sqs.SendMessageBatch", omit)

    # WHEN all are redriven
    done = dlq("redrive", "--yes")

    # THEN it stays a dead letter, whose event may be in the queue as well
    assert done.exit_code == 1
    assert "2 redriven: 2 to emails" in done.stdout
    assert ["ord_1" in dead_letter.body for dead_letter in world.queues.dead_letters(EMAILS)] == [True]


@pytest.mark.usefixtures("three")
def test_a_dead_letter_that_cannot_be_deleted_is_reported(world, dlq):
    world.wire.always("sqs.DeleteMessageBatch", failing("1", "ReceiptHandleIsInvalid", sender=True))

    done = dlq("redrive", "--yes")

    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "3 redriven: 3 to emails",
        (
            "1 redriven to emails and not deleted (ReceiptHandleIsInvalid: refused by the test). "
            "Another redrive sends them again, which is harmless."
        ),
    ]
    assert len(world.queues.dead_letters(EMAILS)) == 1


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("operation", ["SendMessageBatch", "DeleteMessageBatch"])
def test_a_lost_answer_duplicates_events_at_most(world, dlq, operation):
    # GIVEN an SQS whose answers get lost
    world.wire.always(f"sqs.{operation}", lose_response)
    failed = dlq("redrive", "--yes")
    assert failed.exit_code == 1
    world.wire.heal()

    # WHEN the redrive is repeated
    world.clock.forward(121)
    again = dlq("redrive", "--yes")

    # THEN no event is lost
    assert again.exit_code == 0
    assert set(redriven_bodies(world)) == {"ord_0", "ord_1", "ord_2"}
    assert world.queues.dead_letters(EMAILS) == []


def test_large_dead_letters_are_sent_in_calls_that_sqs_accepts(world, dlq, send_dead_letter):
    for number in range(4):
        send_dead_letter(message("order_placed", f"ord_{number}", 1) + " " * 100_000)

    assert dlq("redrive", "--yes").stdout == "4 redriven: 4 to emails\n"

    assert [len(call.request["Entries"]) for call in world.wire.named("sqs.SendMessageBatch")] == [2, 2]


def test_a_redrive_keeps_to_its_rate_and_shows_its_progress(world, dlq, send_dead_letter):
    for number in range(101):
        send_dead_letter(message("order_placed", f"ord_{number}", 1))
    began = world.clock.ms

    done = dlq("redrive", "emails", "--yes", "--rate", "4")

    assert 26_000 <= world.clock.ms - began < 28_000
    assert done.stdout == "100 so far\n101 redriven: 101 to emails\n"


# --- what EventBridge could not deliver -------------------------------------------------------------------------------


@pytest.fixture
def undelivered(world, send_dead_letter, resources):
    """Send an event to the queue of undelivered events, as EventBridge does."""

    def put(body, rule, queue="UndeliveredQueue"):
        url = resources["AWS::SQS::Queue"][queue]
        why = {"ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "not authorized"}
        send_dead_letter(body, url=url, RULE_ARN=RULE_ARN + rule, TARGET_ARN="arn:aws:sqs:somewhere", **why)

    return put


def test_an_undelivered_event_is_listed_and_redriven_to_its_consumer(world, dlq, undelivered, order_id):
    # GIVEN an event that was not delivered to the emails queue
    (record,) = world.queues.receive(EMAILS)
    world.client("sqs").delete_message(
        QueueUrl=world.stack.environment(EMAILS)["QUEUE_URL"], ReceiptHandle=record["receiptHandle"]
    )
    undelivered(record["body"], world.stack.resource("EmailsRule").ref)

    # THEN it is a dead letter of emails only
    (row,) = listed(dlq, "emails")
    assert (row["orderId"], row["reason"]) == (order_id, "not delivered: NO_PERMISSIONS: not authorized")
    assert listed(dlq, "analytics") == []
    # AND redriven, its mail goes out
    assert dlq("redrive", "--yes").stdout == "1 redriven: 1 to emails\n"
    world.queues.until_quiet(EMAILS)
    assert len(world.mails()) == 1


def test_an_undelivered_event_that_fails_is_redriven_only_once(world, dlq, undelivered, queue):
    undelivered("poison", world.stack.resource("EmailsRule").ref)

    def fails(_call, deliver):
        response = deliver()
        world.clock.forward(2)
        world.queues.deliver(EMAILS)
        return response

    world.wire.always("sqs.SendMessageBatch", fails, where=sent_to(queue[0]))

    assert dlq("redrive", "emails", "--yes").stdout.splitlines()[-1] == "1 redriven: 1 to emails"
    assert len(world.queues.dead_letters(EMAILS)) == 1


def test_dead_letters_without_a_queue_get_the_replay_command(world, dlq, undelivered, resources, clock):
    # GIVEN two events that the bus accepted an hour late and the audit log did not, and one of a removed rule
    audit = world.client("sqs").create_queue(QueueName="audit")["QueueUrl"]
    resources["AWS::SQS::Queue"]["AuditDeadLetters"] = audit
    resources["AWS::Events::Rule"]["AuditRule"] = "handoff-bus|AuditRule-1"
    for minutes in (20, 10):
        body = envelope("order_placed", f"ord_{minutes}", 1, at=clock.ms - 3_600_000 - minutes * 60_000)
        body["time"] = to_iso(clock.ms - minutes * 60_000 + 7_000)
        undelivered(json.dumps(body), "AuditRule-1", queue="AuditDeadLetters")
    undelivered(message("order_placed", "ord_1", 1), "GoneRule-1")

    # WHEN all are redriven
    done = dlq("redrive", "--yes")

    # THEN none is changed, and the output says what to do: an archive is replayed by the minute of publishing
    replay = "handoff replay --from 2026-11-23T09:40:00.000Z --to 2026-11-23T09:52:00.000Z --rules audit"
    assert done.stdout.splitlines() == [
        "0 redriven",
        f"2 not redriven: audit has no queue. Replay them from the archive: {replay}",
        "1 not redriven: their rule is not in the stack any more. handoff dlq show names the rule and its target.",
    ]
    assert [row["consumer"] for row in listed(dlq)] == ["audit", "audit", "unowned"]
    assert not world.wire.named("sqs.DeleteMessage")


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["list", "partner"], ["redrive", "partner", "--yes"], ["show", "partner", "x"]])
def test_an_unknown_consumer_is_rejected_with_a_list_of_consumers(dlq, command):
    done = dlq(*command)

    assert done.exit_code == 1
    names = sorted([*(found.name for found in template_with().consumers()), "unowned"])
    assert done.output == f"Error: The stack has no consumer partner. It has: {', '.join(names)}.\n"


@pytest.mark.parametrize("operation", ["GetQueueAttributes", "ReceiveMessage"])
def test_a_missing_permission_is_reported_in_a_line(world, dlq, operation):
    world.wire.always(f"sqs.{operation}", refuse("AccessDenied", 403))

    done = dlq("list")

    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: AWS request failed: An error occurred (AccessDenied)")
    assert operation in done.stderr


def test_an_invalid_age_is_rejected(dlq):
    done = dlq("list", "--older-than", "yesterday")

    assert done.exit_code == 2
    assert "'yesterday' is not an age such as 90s, 30m, 1h or 2d" in done.stderr


# --- consumers of other stacks ----------------------------------------------------------------------------------------


def test_a_dead_letter_of_another_stack_is_listed_and_redriven_to_its_queue(world, dlq, loyalty, send_dead_letter):
    # GIVEN a dead letter of another stack's consumer
    dead = loyalty.resource("PointsDeadLetters")
    send_dead_letter(message("order_placed", "ord_1", 1), dead, reason="no such customer")

    # THEN it is listed under the name of its stack
    (row,) = listed(dlq)
    assert (row["consumer"], row["eventId"], row["reason"]) == ("loyalty/points", "ord_1-1", "no such customer")
    assert listed(dlq, "loyalty/points") == [row | {"receives": 2}]
    assert listed(dlq, "emails") == []

    # AND it is redriven to its own queue
    assert "1 redriven: 1 to loyalty/points" in dlq("redrive", "loyalty/points", "--yes").output
    queue = {"QueueUrl": loyalty.resource("PointsQueue")}
    (received,) = world.client("sqs").receive_message(**queue)["Messages"]
    assert json.loads(received["Body"])["detail"]["metadata"]["eventId"] == "ord_1-1"
    assert listed(dlq) == []


def test_show_names_the_log_group_of_another_stack(dlq, loyalty, send_dead_letter):
    send_dead_letter(message("order_placed", "ord_1", 1), loyalty.resource("PointsDeadLetters"))

    assert "    loyalty-PointsLogs\n" in dlq("show", "loyalty/points", "ord_1-1").output


def test_an_event_that_could_not_be_delivered_to_another_stack_is_redriven(dlq, loyalty, send_dead_letter):
    why = {"RULE_ARN": RULE_ARN + "loyalty-PointsRule", "ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "denied"}
    send_dead_letter(message("order_placed", "ord_1", 1), loyalty.resource("PointsDeadLetters"), **why)

    (row,) = listed(dlq)
    assert (row["consumer"], row["reason"]) == ("loyalty/points", "not delivered: NO_PERMISSIONS: denied")


def test_a_queue_of_another_stack_without_a_rule_is_no_consumer(dlq, loyalty):
    unknown = dlq("list", "loyalty/jobs")
    assert unknown.exit_code == 1
    assert "The stack has no consumer loyalty/jobs. It has: " in unknown.output
    assert "loyalty/points" in unknown.output
