"""A change of template.yaml changes the resources that its snapshot says, and no others."""

from pathlib import Path
from typing import Any

import pytest

from dev.template import source, transformed
from tests.template import snapshot


def test_the_template_is_the_recorded_one() -> None:
    changed = snapshot.changes(snapshot.listed(), snapshot.current())
    if changed:
        pytest.fail(f"A deployment changes these. If that is intended, run {snapshot.COMMAND}\n" + "\n".join(changed))


def test_the_snapshot_has_the_format_of_the_command(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.toml"
    path.write_text(snapshot.written(snapshot.listed()))
    assert snapshot.listed(path) == snapshot.listed()


def test_changes_are_named_as_in_a_change_set() -> None:
    template = _translated()
    before = snapshot.lines(template)
    template["Resources"]["AnalyticsQueue"]["Properties"]["VisibilityTimeout"] = 60
    template["Resources"]["OtherQueue"] = template["Resources"].pop("FeedbackQueue")
    template["Parameters"]["LogDays"]["Default"] = 3
    assert snapshot.changes(before, snapshot.lines(template)) == [
        "~ AnalyticsQueue AWS::SQS::Queue",
        "- FeedbackQueue AWS::SQS::Queue",
        "+ OtherQueue AWS::SQS::Queue",
        "~ Parameters.LogDays",
    ]


def test_a_resource_that_writes_out_a_shared_text_is_the_same() -> None:
    template = _translated()
    before = snapshot.lines(template)
    alarm = template["Resources"]["FulfillmentErrorsAlarm"]["Properties"]
    text, values = alarm["AlarmDescription"]["Fn::Sub"]
    own = text.replace("${Consumer}", "fulfillment").replace("${Minutes}", values["Minutes"])
    alarm["AlarmDescription"] = {"Fn::Sub": own.replace("${Logs}", "${FulfillmentLogs}")}
    assert snapshot.changes(before, snapshot.lines(template)) == []


def test_another_consumers_log_in_a_shared_text_is_a_change() -> None:
    template = _translated()
    before = snapshot.lines(template)
    alarm = template["Resources"]["FulfillmentErrorsAlarm"]["Properties"]
    alarm["AlarmDescription"]["Fn::Sub"][1]["Logs"] = {"Ref": "EmailsLogs"}
    assert snapshot.changes(before, snapshot.lines(template)) == ["~ FulfillmentErrorsAlarm AWS::CloudWatch::Alarm"]


def _translated() -> dict[str, Any]:
    return transformed(source(), canary="false")
