"""The examples' templates, after SAM's transformation: they need the same settings as the main template."""

from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from dev.template import ROOT, transformed

# The stacks that import the bus of a Handoff stack.
EXAMPLES = sorted(file.parent.name for file in ROOT.glob("examples/*/template.yaml") if "-BusName" in file.read_text())


@pytest.fixture(params=EXAMPLES)
def resources(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The resources of each example."""
    template = yaml_parse((ROOT / f"examples/{request.param}/template.yaml").read_text())
    return transformed(template, canary="false")["Resources"]


def of_type(resources: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the properties of all resources of a type."""
    return [resource["Properties"] for resource in resources.values() if resource["Type"] == kind]


def test_a_scheduled_run_is_neither_retried_nor_kept(resources: dict[str, Any]) -> None:
    scheduled = of_type(resources, "AWS::Scheduler::Schedule")
    invoking = {one["FunctionName"]["Ref"]: one for one in of_type(resources, "AWS::Lambda::EventInvokeConfig")}
    assert len(scheduled) == len(invoking)
    for schedule in scheduled:
        assert schedule["Target"]["RetryPolicy"] == {"MaximumRetryAttempts": 0}
        function, _ = schedule["Target"]["Arn"]["Fn::GetAtt"]
        assert (invoking[function]["MaximumRetryAttempts"], invoking[function]["MaximumEventAgeInSeconds"]) == (0, 60)


def test_two_stacks_of_an_example_fit_into_one_account(resources: dict[str, Any]) -> None:
    for schedule in of_type(resources, "AWS::Scheduler::Schedule"):
        assert "${AWS::StackName}" in schedule["Name"]["Fn::Sub"]


def test_a_failed_first_deployment_of_an_example_leaves_nothing_behind(resources: dict[str, Any]) -> None:
    """Nor does a stack that is deleted: the examples' data are examples."""
    assert not {name for name, resource in resources.items() if resource.get("DeletionPolicy", "Delete") != "Delete"}


def test_a_visibility_timeout_of_an_example_covers_six_function_timeouts(resources: dict[str, Any]) -> None:
    (mapping,) = of_type(resources, "AWS::Lambda::EventSourceMapping")
    queue_id, _ = mapping["EventSourceArn"]["Fn::GetAtt"]
    function = resources[mapping["FunctionName"]["Ref"]]["Properties"]
    queue = resources[queue_id]["Properties"]
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"] + mapping.get("MaximumBatchingWindowInSeconds", 0)
    receives = function["Environment"]["Variables"]["MAX_RECEIVES"]
    assert int(receives) == queue["RedrivePolicy"]["maxReceiveCount"] >= 5


def test_in_shadow_mode_the_consumer_of_the_first_workflow_may_not_send_mails() -> None:
    template = yaml_parse((ROOT / "examples/first-workflow/template.yaml").read_text())
    (policy,) = template["Resources"]["MailsFunction"]["Properties"]["Policies"]
    conditional = [one["Fn::If"] for one in policy["Statement"] if "ses:SendEmail" in str(one)]

    assert [condition for condition, _, _ in conditional] == ["ConsumerMails"]
    conditions = template["Conditions"]
    last = {"Fn::Equals": [{"Ref": "Step"}, "5"]}
    assert conditions["ConsumerMails"] == {"Fn::Or": [{"Condition": "HasSwitch"}, last]}
    assert conditions["HasSwitch"] == {"Fn::Equals": [{"Ref": "Step"}, "3"]}
