"""The checks of the audit log and of the saved queries."""

import json

import boto3
import pytest
from botocore.stub import ANY, Stubber

from dev.simulated.account import REGION
from ops.verify import logs
from ops.verify.check import Outcome

AUDIT = {"AuditLog": ("AWS::Logs::LogGroup", "/aws/events/handoff-test")}
QUERY = {"OrderLinesQuery": ("AWS::Logs::QueryDefinition", "q-lines")}
SAVED = {
    "queryDefinitionId": "q-lines",
    "name": "handoff-test/lines of one order",
    "queryString": 'fields @message | filter order_id = "ORDER_ID"',
    "logGroupNames": ["orders", "emails"],
}


@pytest.fixture
def audit_log(client):
    """Write an event to the audit log, as EventBridge does."""
    api, group = client("logs"), AUDIT["AuditLog"][1]
    api.create_log_group(logGroupName=group)
    api.create_log_stream(logGroupName=group, logStreamName="1")

    def write(event_id, at):
        message = json.dumps({"detail-type": "order_placed", "detail": {"metadata": {"eventId": event_id}}})
        event = {"timestamp": at, "message": message}
        api.put_log_events(logGroupName=group, logStreamName="1", logEvents=[event])

    return write


@pytest.fixture
def saved(make_deployment):
    """A deployment with one saved query, and the stub of its Logs client."""
    deployment = make_deployment(QUERY)
    deployment.__dict__["logs"] = boto3.client("logs", region_name=REGION)
    with Stubber(deployment.logs) as stub:
        yield deployment, stub


def answers(stub, *results):
    """Stub the saved queries, and the status and number of lines of each run."""
    stub.add_response("describe_query_definitions", {"queryDefinitions": [{**SAVED, "queryDefinitionId": "x"}, SAVED]})
    for number, (status, lines) in enumerate(results):
        query = {"startTime": ANY, "endTime": ANY, "logGroupNames": SAVED["logGroupNames"]}
        query["queryString"] = 'fields @message | filter order_id = "ord_smoke"'
        stub.add_response("start_query", {"queryId": str(number)}, query)
        rows = [[{"field": "@message", "value": "x"}]] * lines
        stub.add_response("get_query_results", {"status": "Running", "results": []}, {"queryId": str(number)})
        stub.add_response("get_query_results", {"status": status, "results": rows}, {"queryId": str(number)})


def test_the_orders_event_is_in_the_audit_log(make_deployment, perform, audit_log, order):
    audit_log("ord_smoke-1", order.answered_at)
    (result,) = perform(logs.AUDIT, make_deployment(AUDIT), order=order)
    assert (result.outcome, result.seen) == (Outcome.PASSED, "ord_smoke-1 was there after 0 s")


def test_an_event_that_is_not_in_the_audit_log_fails(make_deployment, perform, audit_log, order):
    audit_log("ord_other-1", order.answered_at)
    (result,) = perform(logs.AUDIT, make_deployment(AUDIT), order=order)
    assert result.outcome == Outcome.FAILED
    assert result.seen.startswith("ord_smoke-1 is not in the audit log after 300 s")


def test_a_stack_without_an_audit_log_is_not_available(make_deployment, perform, order):
    deployment = make_deployment({}, parameters={"Audit": "false"})
    (result,) = perform(logs.AUDIT, deployment, order=order)
    assert (result.outcome, result.seen) == (Outcome.NOT_AVAILABLE, "the stack has no AuditLog (Audit=false)")


@pytest.mark.parametrize("check", [logs.AUDIT, logs.QUERIES])
def test_without_an_order_there_is_nothing_to_find(make_deployment, perform, check):
    (result,) = perform(check, make_deployment(AUDIT | QUERY))
    assert (result.outcome, result.seen) == (Outcome.NOT_AVAILABLE, "this run has placed no smoke order")


def test_a_saved_query_runs_as_it_was_saved(saved, perform, order):
    deployment, stub = saved
    answers(stub, ("Complete", 3))
    (result,) = perform(logs.QUERIES, deployment, order=order)
    assert (result.outcome, result.notes) == (Outcome.PASSED, ("OrderLinesQuery: 3 lines of ord_smoke",))
    stub.assert_no_pending_responses()


def test_a_saved_query_is_repeated_until_it_finds_the_order(saved, perform, order):
    deployment, stub = saved
    answers(stub, ("Complete", 0), ("Complete", 1))
    (result,) = perform(logs.QUERIES, deployment, order=order)
    assert result.outcome == Outcome.PASSED


def test_a_saved_query_that_finds_nothing_fails(saved, perform, order, monkeypatch):
    deployment, stub = saved
    monkeypatch.setattr(logs, "_ARRIVES_WITHIN", 5.0)
    answers(stub, ("Complete", 0), ("Complete", 0))
    (result,) = perform(logs.QUERIES, deployment, order=order)
    assert result.outcome == Outcome.FAILED
    assert "'handoff-test/lines of one order' found nothing about ord_smoke" in result.seen


def test_a_saved_query_that_fails_is_reported(saved, perform, order):
    deployment, stub = saved
    answers(stub, ("Failed", 0))
    (result,) = perform(logs.QUERIES, deployment, order=order)
    assert (result.outcome, result.seen) == (Outcome.FAILED, "the query 0 is Failed after 300 s")


def test_a_query_that_cloudwatch_does_not_have_fails(saved, perform, order):
    deployment, stub = saved
    stub.add_response("describe_query_definitions", {"queryDefinitions": []})
    (result,) = perform(logs.QUERIES, deployment, order=order)
    assert result.outcome == Outcome.FAILED
    assert "CloudWatch has no query q-lines" in result.seen


def test_a_permission_that_is_missing_is_an_answer(saved, perform, order):
    deployment, stub = saved
    stub.add_client_error("describe_query_definitions", "AccessDeniedException", "not authorized", 400)
    (result,) = perform(logs.QUERIES, deployment, order=order)
    assert result.outcome == Outcome.FAILED
    assert "AccessDeniedException" in result.seen


def test_a_stack_without_saved_queries_is_not_available(make_deployment, perform, order):
    deployment = make_deployment({}, parameters={"Audit": "false", "SavedQueries": "false"})
    (result,) = perform(logs.QUERIES, deployment, order=order)
    assert result.outcome == Outcome.NOT_AVAILABLE
    assert "no OrderLinesQuery (SavedQueries=false)" in result.seen
