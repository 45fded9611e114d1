"""`handoff verify` on the deployed stack: checks that the local stack can run pass, the others are not available."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dev.local.stack import LocalStack
from ops.cli.main import main
from ops.stack.deployment import Deployment
from ops.verify.alarms import REASON
from tests.e2e.support import order

OUTCOMES = {
    "a smoke order": "passed",
    "a poison message becomes a dead letter": "passed",
    "every alarm notifies": "passed",
    "alarms return to their state": "not available here",
    "the audit log has the order's event": "not available here",
    "the saved queries find the order": "not available here",
    "data is encrypted with the stack's key": "not available here",
    "web pages may call the API": "passed",
    "an order after idle minutes": "skipped",
    "an order is packed after its window": "passed",
    "lags as the alarms read them": "passed",
    "queue ages as the alarms read them": "passed",
    "a replay does nothing twice": "not available here",
    "a burst is throttled": "not available here",
    "a canary is stopped and repeated": "not available here",
}


@pytest.mark.usefixtures("sweeping", "metrics_since", "window")
def test_what_the_local_stack_knows_passes(local_stack: LocalStack, deployment: Deployment, tmp_path: Path) -> None:
    before = _queues_and_subscriptions(deployment)
    # WHEN the stack is checked
    options = ["--local", "--yes", "--idle", "0", "--report", str(tmp_path)]
    done = CliRunner(env={"PORT": str(local_stack.port)}).invoke(main, ["verify", *options])
    # THEN what the local stack knows passes, and nothing else does
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert {check["name"]: check["outcome"] for check in report["checks"]} == OUTCOMES
    assert "7 passed, 7 not available here, 1 skipped" in done.output
    # AND the order is prepared, all alarms have notified, and nothing stays behind
    checks = {check["name"]: check for check in report["checks"]}
    assert order(deployment, checks["a smoke order"]["seen"].split()[0])["status"] == "PREPARED"
    count = len(deployment.of_type("AWS::CloudWatch::Alarm"))
    assert checks["every alarm notifies"]["seen"] == f"{count} alarms, {count} notifications"
    assert _queues_and_subscriptions(deployment) == before
    reasons = {alarm["StateReason"] for alarm in deployment.cloudwatch.describe_alarms()["MetricAlarms"]}
    assert REASON not in reasons
    # AND the report has the answers
    assert "# handoff verify: handoff on the local stack" in (tmp_path / "report.md").read_text()
    assert {"operation": "monitoring:SetAlarmState", "status": 200, "error": ""}.items() <= next(
        answer.items()
        for answer in checks["every alarm notifies"]["answers"]
        if answer["operation"] == "monitoring:SetAlarmState"
    )


def _queues_and_subscriptions(deployment: Deployment) -> tuple[list[str], int]:
    """Return the queues, and the number of subscriptions to the alarm topic."""
    subscriptions = deployment.client("sns").list_subscriptions_by_topic(TopicArn=deployment.outputs["AlarmTopicArn"])
    return sorted(deployment.sqs.list_queues()["QueueUrls"]), len(subscriptions["Subscriptions"])
