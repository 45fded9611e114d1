"""`handoff replay`: what it asks EventBridge for, and what it refuses. No local engine replays to chosen rules only."""

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
    """EventBridge, answering what a test tells it to, in that order."""
    client = boto3.client(
        "events", region_name="eu-central-1", aws_access_key_id="none", aws_secret_access_key="none"
    )  # fmt: skip
    with Stubber(client) as stubber:
        yield SimpleNamespace(client=client, stubber=stubber)


def deployment(events, resources=RESOURCES):
    """A stack with these resources."""
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
    """The archive, and the rules of the bus it is of; EventBridge's own for the archive is among them."""
    events.stubber.add_response(
        "describe_archive", {"ArchiveArn": ARCHIVE, "EventSourceArn": BUS}, {"ArchiveName": "handoff-Archive-1"}
    )
    names = ["Events-Archive-handoff", "handoff-AnalyticsRule-1", "handoff-EmailsRule-1"]
    rules = [{"Name": name, "Arn": f"{ARN}rule/handoff-bus/{name}"} for name in names]
    events.stubber.add_response("list_rules", {"Rules": rules}, {"EventBusName": "handoff-bus"})


# --- what is asked for ------------------------------------------------------------------------------------------------


def test_only_analytics_is_replayed_to_unless_told_otherwise():
    wanted = replay.parse(FROM, TO, replay.DEFAULT)

    assert wanted == WANTED
    assert wanted.cautions == []


@pytest.mark.parametrize("rules", [("analytics", "emails"), ("analytics,emails",), (" analytics , emails ", "emails")])
def test_rules_are_named_one_by_one_or_with_commas(rules):
    assert replay.parse(FROM, TO, rules).rules == ("analytics", "emails")


@pytest.mark.parametrize("rule", ["emails", "fulfillment", "audit", "partner", "loyalty"])
def test_what_could_be_noticed_elsewhere_is_said_first(rule):
    (caution,) = replay.parse(FROM, TO, (rule,)).cautions
    assert caution.startswith(f"{rule}: ")


def test_what_may_not_be_archived_yet_is_said_first():
    assert replay.parse(FROM, "2026-11-23T09:50:00Z", ("analytics",)).cautions == []
    (caution,) = replay.parse(FROM, "2026-11-23T09:50:01Z", ("analytics",)).cautions
    assert "ten minutes" in caution


@pytest.mark.parametrize(
    ("start", "end", "rules", "said"),
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
def test_what_makes_no_sense_is_refused(start, end, rules, said):
    with pytest.raises(ReplayError) as refused:
        replay.parse(start, end, rules)
    assert said in str(refused.value)


# --- where it goes ----------------------------------------------------------------------------------------------------


def test_the_archive_and_the_rules_are_those_of_the_stack(events):
    finds(events)

    assert replay.route(deployment(events), WANTED) == ROUTE


def test_without_an_archive_there_is_no_replay(events):
    with pytest.raises(ReplayError, match="keeps no archive; its parameter ArchiveDays"):
        replay.route(deployment(events, {"AnalyticsRule": "x"}), WANTED)


def test_the_rules_can_be_any_of_the_bus(events):
    finds(events)

    route = replay.route(deployment(events), replay.parse(FROM, TO, ("emails", "analytics")))

    assert [rule.rpartition("/")[2] for rule in route.rules] == ["handoff-EmailsRule-1", "handoff-AnalyticsRule-1"]


@pytest.mark.parametrize("rule", ["all", "Analytics", "loyalty", "feedback", "Events-Archive-handoff"])
def test_a_rule_that_the_bus_does_not_have_is_refused(events, rule):
    finds(events)

    with pytest.raises(ReplayError) as refused:
        replay.route(deployment(events), replay.parse(FROM, TO, ("analytics", rule)))
    assert str(refused.value) == f"There is no rule {rule}. A replay can go to: analytics, emails."


def test_rules_that_can_not_be_looked_up_are_said_to_be_so(events):
    events.stubber.add_client_error("describe_archive", "AccessDeniedException")

    with pytest.raises(ReplayError, match=r"can't be looked up.*AccessDenied"):
        replay.route(deployment(events), WANTED)


# --- how it goes ------------------------------------------------------------------------------------------------------


def test_events_go_to_the_named_rules_alone_and_progress_is_shown_until_the_end(events, clock):
    starts(events)
    seen(events, "STARTING")
    seen(events, "RUNNING", EventLastReplayedTime=datetime(2026, 11, 22, 18, tzinfo=UTC))
    seen(events, "COMPLETED", EventLastReplayedTime=datetime(2026, 11, 23, 9, tzinfo=UTC))
    said = []

    replay.run(events.client, WANTED, ROUTE, said.append)

    assert [text.rpartition(": ")[2] for text in said[:2]] == ["started", "starting"]
    assert said[2:] == ["running, events up to 2026-11-22T18:00:00Z", "completed, events up to 2026-11-23T09:00:00Z"]
    events.stubber.assert_no_pending_responses()


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_a_replay_that_does_not_end_well_is_said_to(events, state):
    starts(events)
    seen(events, state, StateReason="the bus is gone")

    with pytest.raises(ReplayError, match=f"{state.lower()}: the bus is gone"):
        replay.run(events.client, WANTED, ROUTE, lambda _: None)


def test_a_replay_that_is_refused_is_said_to_be_not_started(events):
    events.stubber.add_client_error("start_replay", "LimitExceededException", "too many at once")

    with pytest.raises(ReplayError, match=r"not started.*too many at once"):
        replay.run(events.client, WANTED, ROUTE, lambda _: None)


def test_a_replay_that_can_not_be_watched_goes_on(events):
    starts(events)
    events.stubber.add_client_error("describe_replay", "AccessDeniedException")

    with pytest.raises(ReplayError, match=r"goes on, but can't be watched"):
        replay.run(events.client, WANTED, ROUTE, lambda _: None)


def test_a_replay_that_is_left_alone_goes_on_and_it_is_said_how_to_end_it(events, monkeypatch):
    # GIVEN somebody who presses Ctrl-C between two looks
    def interrupt(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    starts(events)
    seen(events, "RUNNING")
    said = []

    with pytest.raises(ReplayError) as left:
        replay.run(events.client, WANTED, ROUTE, said.append)

    name = said[0].removesuffix(": started")
    assert str(left.value) == (
        f"The replay goes on, unwatched. To end it: aws events cancel-replay --replay-name {name}"
    )  # fmt: skip


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(events, monkeypatch):
    """Runs `handoff replay` against a stack whose EventBridge answers as told."""
    monkeypatch.setattr(Target, "deployment", lambda self: deployment(events))
    return lambda *more, **given: CliRunner().invoke(cli.main, ["replay", "--from", FROM, "--to", TO, *more], **given)


def test_nothing_is_started_without_a_yes(events, command):
    finds(events)

    done = command(input="n\n")

    assert done.exit_code == 1
    assert f"Replay {FROM} to {TO} of handoff to analytics?" in done.output


def test_with_yes_nobody_is_asked(events, command):
    finds(events)
    starts(events)
    seen(events, "COMPLETED")

    done = command("--yes")

    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "completed")


def test_bad_input_is_told_in_one_line(events, command):
    finds(events)

    done = command("--rules", "nonsense")

    assert done.exit_code == 1
    assert done.output.startswith("Error: There is no rule nonsense.")
