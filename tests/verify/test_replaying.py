"""The check of the archive: the minute of the order is replayed, and analytics recognizes its event."""

import json
from datetime import UTC, datetime

import boto3
import pytest
from botocore.stub import ANY, Stubber

from dev.simulated.account import ACCOUNT, REGION
from handoff.clock import to_iso
from ops.verify import replaying
from ops.verify.check import Outcome

ARN = f"arn:aws:events:{REGION}:{ACCOUNT}:"
BUS, RULE = f"{ARN}event-bus/handoff-bus", f"{ARN}rule/handoff-bus/handoff-AnalyticsRule-1"
RESOURCES = {
    "Archive": ("AWS::Events::Archive", "archive-1"),
    "AnalyticsRule": ("AWS::Events::Rule", "handoff-bus|handoff-AnalyticsRule-1"),
    "AnalyticsLogs": ("AWS::Logs::LogGroup", "analytics"),
}
MINUTE = datetime(2026, 11, 23, 10, 0, tzinfo=UTC), datetime(2026, 11, 23, 10, 1, tzinfo=UTC)


@pytest.fixture
def deployment(make_deployment, client):
    client("logs").create_log_group(logGroupName="analytics")
    client("logs").create_log_stream(logGroupName="analytics", logStreamName="1")
    return make_deployment(RESOURCES)


@pytest.fixture
def events(deployment):
    """The stub of EventBridge, with the archive and the rule."""
    deployment.__dict__["events"] = boto3.client("events", region_name=REGION)
    with Stubber(deployment.events) as stub:
        stub.add_response("describe_archive", {"ArchiveArn": f"{ARN}archive/archive-1", "EventSourceArn": BUS})
        stub.add_response("list_rules", {"Rules": [{"Name": "handoff-AnalyticsRule-1", "Arn": RULE}]})
        yield stub


@pytest.fixture
def write_log(client):
    """Log the outcome of an event in analytics."""

    def write(event_id, outcome, at):
        line = {"level": "INFO", "message": "event handled", "event_id": event_id, "order_id": "ord_smoke"}
        line |= {"outcome": outcome, "timestamp": to_iso(at)}
        event = {"timestamp": at, "message": json.dumps(line)}
        client("logs").put_log_events(logGroupName="analytics", logStreamName="1", logEvents=[event])

    return write


def starts(stub):
    destination = {"Arn": BUS, "FilterArns": [RULE]}
    wanted = {"EventStartTime": MINUTE[0], "EventEndTime": MINUTE[1], "Destination": destination}
    wanted |= {"ReplayName": ANY, "EventSourceArn": f"{ARN}archive/archive-1"}
    stub.add_response("start_replay", {"State": "STARTING"}, wanted)


def state(stub, state, **values):
    stub.add_response("describe_replay", {"State": state, **values}, {"ReplayName": ANY})


def test_the_minute_of_the_order_is_replayed_and_recognized(deployment, events, perform, order, write_log, clock):
    starts(events)
    state(events, "RUNNING")
    state(events, "COMPLETED")
    state(events, "COMPLETED")
    write_log("ord_smoke-1", "done", order.answered_at)
    replayed_at = int(MINUTE[1].timestamp() * 1000) + 11 * 60_000
    write_log("ord_smoke-1", "repeated", replayed_at + 5_000)

    (result,) = perform(replaying.CHECK, deployment, order=order)

    assert result.outcome == Outcome.PASSED, result.seen
    assert result.seen.endswith("analytics recognized ord_smoke-1")
    assert clock.ms >= replayed_at  # AWS's delay was waited for
    events.assert_no_pending_responses()


def test_an_event_that_is_not_replayed_fails(deployment, events, perform, order, write_log):
    starts(events)
    state(events, "COMPLETED")
    state(events, "COMPLETED")
    write_log("ord_smoke-1", "repeated", order.answered_at)  # before the replay
    (result,) = perform(replaying.CHECK, deployment, order=order)
    assert result.outcome == Outcome.FAILED
    assert "analytics logged no repeated ord_smoke-1 in 180 s" in result.seen


def test_a_replayed_event_that_is_handled_again_fails(deployment, events, perform, order, write_log):
    starts(events)
    state(events, "COMPLETED")
    state(events, "COMPLETED")
    write_log("ord_smoke-1", "done", int(MINUTE[1].timestamp() * 1000) + 11 * 60_000 + 5_000)
    (result,) = perform(replaying.CHECK, deployment, order=order)
    assert result.outcome == Outcome.FAILED


def test_a_replay_that_fails_is_reported(deployment, events, perform, order):
    starts(events)
    state(events, "FAILED", StateReason="the bus is gone")
    state(events, "FAILED")
    (result,) = perform(replaying.CHECK, deployment, order=order)
    assert (result.outcome, result.left) == (Outcome.FAILED, ())
    assert "the bus is gone" in result.seen


def test_after_ctrl_c_the_replay_is_cancelled(deployment, events, perform, order, account):
    starts(events)
    state(events, "RUNNING")
    events.add_response("cancel_replay", {"State": "CANCELLING"}, {"ReplayName": ANY})
    calls = []

    def interrupt_first(**_):
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt

    deployment.events.meta.events.register_first("before-parameter-build.events.DescribeReplay", interrupt_first)
    (result,) = perform(replaying.CHECK, deployment, order=order)
    assert (result.outcome, result.left) == (Outcome.INTERRUPTED, ())
    events.assert_no_pending_responses()


def test_a_replay_that_was_not_started_needs_no_cancelling(deployment, events, perform, order):
    events.add_client_error("start_replay", "LimitExceededException", "too many at once")
    events.add_client_error("describe_replay", "ResourceNotFoundException")
    (result,) = perform(replaying.CHECK, deployment, order=order)
    assert (result.outcome, result.left) == (Outcome.FAILED, ())
    assert "too many at once" in result.seen


def test_a_stack_without_an_archive_is_not_available(make_deployment, perform, order):
    (result,) = perform(replaying.CHECK, make_deployment({}, parameters={"ArchiveDays": "0"}), order=order)
    assert (result.outcome, result.seen) == (Outcome.NOT_AVAILABLE, "the stack has no Archive (ArchiveDays=0)")
