"""`handoff replay`: its requests to EventBridge, and its errors. No local engine replays to chosen rules."""

import signal
from datetime import UTC, datetime
from types import SimpleNamespace

import boto3
import pytest
from botocore.stub import ANY, Stubber
from click.testing import CliRunner

from ops import replay
from ops.cli import main as cli
from ops.cli.options import Target
from ops.replay import Replay, ReplayError, Route

pytestmark = pytest.mark.usefixtures("clock")

FROM, TO = "2026-11-22T10:00:00Z", "2026-11-23T09:00:00Z"
ARN = "arn:aws:events:eu-central-1:123456789012:"
ARCHIVE, BUS = f"{ARN}archive/handoff-Archive-1", f"{ARN}event-bus/handoff-bus"
RULE = f"{ARN}rule/handoff-bus/handoff-AnalyticsRule-1"
ROUTE = Route(archive=ARCHIVE, bus=BUS, rules=(RULE,))
WANTED = Replay(datetime(2026, 11, 22, 10, tzinfo=UTC), datetime(2026, 11, 23, 9, tzinfo=UTC), ("analytics",))
RESOURCES = {
    "Archive": "handoff-Archive-1",
    "AnalyticsRule": "handoff-bus|handoff-AnalyticsRule-1",
    "EmailsRule": "handoff-EmailsRule-1",  # local engines leave the bus out
    "FeedbackRule": "handoff-FeedbackRule-1",  # on another bus
}


@pytest.fixture
def events():
    """A stubbed EventBridge client, with the responses that a test adds."""
    client = boto3.client(
        "events", region_name="eu-central-1", aws_access_key_id="none", aws_secret_access_key="none"
    )  # fmt: skip
    with Stubber(client) as stubber:
        yield SimpleNamespace(client=client, stubber=stubber)


def deployment(events, resources=RESOURCES):
    """Return a stack with these resources."""
    return SimpleNamespace(
        stack="handoff",
        events=events.client,
        has=resources.__contains__,
        resource=resources.__getitem__,
        of_type=lambda kind: [name for name in resources if kind == "AWS::Events::Rule" and name.endswith("Rule")],
    )


def starts(events):
    events.stubber.add_response(
        "start_replay",
        {"ReplayArn": f"{ARN}replay/one", "State": "STARTING"},
        {
            "ReplayName": ANY,
            "EventSourceArn": ARCHIVE,
            "EventStartTime": WANTED.start,
            "EventEndTime": WANTED.end,
            "Destination": {"Arn": BUS, "FilterArns": [RULE]},
        },
    )


def seen(events, state, **values):
    events.stubber.add_response("describe_replay", {"State": state, **values}, {"ReplayName": ANY})


def finds(events):
    """Stub the archive, and the rules of its bus, EventBridge's own rule for the archive among them."""
    events.stubber.add_response(
        "describe_archive", {"ArchiveArn": ARCHIVE, "EventSourceArn": BUS}, {"ArchiveName": "handoff-Archive-1"}
    )
    names = ["Events-Archive-handoff", "handoff-AnalyticsRule-1", "handoff-EmailsRule-1"]
    rules = [{"Name": name, "Arn": f"{ARN}rule/handoff-bus/{name}"} for name in names]
    events.stubber.add_response("list_rules", {"Rules": rules}, {"EventBusName": "handoff-bus"})


# --- options ----------------------------------------------------------------------------------------------------------


def test_the_default_rule_is_analytics():
    wanted = replay.parse(FROM, TO, replay.DEFAULT)

    assert wanted == WANTED
    assert wanted.cautions == []


@pytest.mark.parametrize("rules", [("analytics", "emails"), ("analytics,emails",), (" analytics , emails ", "emails")])
def test_rules_are_options_of_their_own_or_separated_by_commas(rules):
    assert replay.parse(FROM, TO, rules).rules == ("analytics", "emails")


@pytest.mark.parametrize("rule", ["emails", "fulfillment", "audit", "partners", "loyalty"])
def test_a_rule_with_visible_effects_has_a_warning(rule):
    (caution,) = replay.parse(FROM, TO, (rule,)).cautions
    assert caution.startswith(f"{rule}: ")


def test_events_that_may_not_be_archived_yet_have_a_warning():
    assert replay.parse(FROM, "2026-11-23T09:50:00Z", ("analytics",)).cautions == []
    (caution,) = replay.parse(FROM, "2026-11-23T09:50:01Z", ("analytics",)).cautions
    assert "ten minutes" in caution


@pytest.mark.parametrize(
    ("start", "end", "rules", "message"),
    [
        ("2026-11-22T10:00:00", TO, ("analytics",), "--from must be a time with its offset"),
        (FROM, "2026-11-23", ("analytics",), "--to must be a time with its offset"),
        ("yesterday", TO, ("analytics",), "'yesterday'"),
        (TO, FROM, ("analytics",), "--from must be before --to"),
        (FROM, FROM, ("analytics",), "--from must be before --to"),
        (FROM, "2026-11-23T10:00:01Z", ("analytics",), "--to must not be in the future"),
        (FROM, TO, ("",), "Name a rule"),
        (FROM, TO, (" , ",), "Name a rule"),
    ],
)
def test_invalid_options_are_rejected(start, end, rules, message):
    with pytest.raises(ReplayError) as rejected:
        replay.parse(start, end, rules)
    assert message in str(rejected.value)


# --- route ------------------------------------------------------------------------------------------------------------


def test_the_route_has_the_archive_and_rules_of_the_stack(events):
    finds(events)

    assert replay.route(deployment(events), WANTED) == ROUTE


def test_a_stack_without_an_archive_is_rejected(events):
    with pytest.raises(ReplayError, match=r"keeps no archive.*parameter ArchiveDays"):
        replay.route(deployment(events, {"AnalyticsRule": "x"}), WANTED)


def test_all_rules_of_the_bus_can_be_named(events):
    finds(events)

    route = replay.route(deployment(events), replay.parse(FROM, TO, ("emails", "analytics")))

    assert [rule.rpartition("/")[2] for rule in route.rules] == ["handoff-EmailsRule-1", "handoff-AnalyticsRule-1"]


@pytest.mark.parametrize("rule", ["all", "Analytics", "loyalty", "feedback", "Events-Archive-handoff"])
def test_a_rule_that_the_bus_does_not_have_is_rejected(events, rule):
    finds(events)

    with pytest.raises(ReplayError) as refused:
        replay.route(deployment(events), replay.parse(FROM, TO, ("analytics", rule)))
    assert str(refused.value) == f"There is no rule {rule}. A replay can go to: analytics, emails."


def test_a_failed_request_for_the_rules_is_reported(events):
    events.stubber.add_client_error("describe_archive", "AccessDeniedException")

    with pytest.raises(ReplayError, match=r"cannot be read.*AccessDenied"):
        replay.route(deployment(events), WANTED)


# --- progress ---------------------------------------------------------------------------------------------------------


def test_a_replay_uses_the_named_rules_and_shows_its_progress(events, clock):
    starts(events)
    seen(events, "STARTING")
    seen(events, "RUNNING", EventLastReplayedTime=datetime(2026, 11, 22, 18, tzinfo=UTC))
    seen(events, "COMPLETED", EventLastReplayedTime=datetime(2026, 11, 23, 9, tzinfo=UTC))
    progress = []

    replay.run(events.client, replay.new_name(), WANTED, ROUTE, progress.append)

    assert [text.rpartition(": ")[2] for text in progress[:2]] == ["started", "starting"]
    assert progress[2:] == [
        "running, events up to 2026-11-22T18:00:00Z",
        "completed, events up to 2026-11-23T09:00:00Z",
    ]
    events.stubber.assert_no_pending_responses()


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_a_failed_replay_is_reported_with_its_reason(events, state):
    starts(events)
    seen(events, state, StateReason="the bus is gone")

    with pytest.raises(ReplayError, match=f"{state.lower()}: the bus is gone"):
        replay.run(events.client, replay.new_name(), WANTED, ROUTE, lambda _: None)


def test_a_replay_that_is_not_started_is_reported(events):
    events.stubber.add_client_error("start_replay", "LimitExceededException", "too many at once")

    with pytest.raises(ReplayError, match=r"not started.*too many at once"):
        replay.run(events.client, replay.new_name(), WANTED, ROUTE, lambda _: None)


def test_a_replay_whose_state_cannot_be_read_is_still_running(events):
    starts(events)
    events.stubber.add_client_error("describe_replay", "AccessDeniedException")

    with pytest.raises(ReplayError, match=r"still running, but its state cannot be read"):
        replay.run(events.client, replay.new_name(), WANTED, ROUTE, lambda _: None)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(events, monkeypatch):
    """Run `handoff replay` against a stack with the stubbed EventBridge."""
    monkeypatch.setattr(Target, "deployment", lambda self: deployment(events))
    return lambda *more, **given: CliRunner().invoke(cli.main, ["replay", "--from", FROM, "--to", TO, *more], **given)


def test_a_replay_needs_a_confirmation(events, command):
    finds(events)

    done = command(input="n\n")

    assert done.exit_code == 1
    assert f"Replay {FROM} to {TO} of handoff to analytics?" in done.output


def test_yes_skips_the_confirmation(events, command):
    finds(events)
    starts(events)
    seen(events, "COMPLETED")

    done = command("--yes")

    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "completed")


def test_an_invalid_rule_is_reported_in_one_line(events, command):
    finds(events)

    done = command("--rules", "nonsense")

    assert done.exit_code == 1
    assert done.output.startswith("Error: There is no rule nonsense.")


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_replay_goes_on_and_the_command_says_how_to_cancel_it(
    events, command, sends_signal, monkeypatch, signum, status
):
    # GIVEN a signal between two polls
    monkeypatch.setattr("time.sleep", lambda _seconds: sends_signal(signum))
    finds(events)
    starts(events)
    seen(events, "RUNNING")

    done = command("--yes")

    assert done.exit_code == status
    name = done.stdout.partition(": started")[0]
    assert done.stderr.endswith(
        f"If it was started, it is still running. To cancel it: aws events cancel-replay --replay-name {name}.\n"
    )
