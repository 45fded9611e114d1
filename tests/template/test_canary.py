"""Safe deploys: with Canary a new version of the API's function first gets a tenth of the requests, and may go back."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dev.template import WITH_PARTNER, WITH_STRIPE, Properties, Template, source, template_with, transformed
from tests.template.alarm_scenarios import HOUR

Source = dict[str, Any]
MINUTES = re.compile(r"Canary10Percent(\d+)Minutes")


@pytest.fixture(scope="module")
def canary() -> Template:
    """The template with Canary."""
    return template_with(**WITH_PARTNER, Canary="true")


def alias_of(template: Template) -> dict[str, Any]:
    """Return the only alias, as a resource."""
    (name,) = template.of_type("AWS::Lambda::Alias")
    assert name == "OrdersFunctionAliaslive"
    return template.resources[name]


def group(template: Template) -> Properties:
    """Return the only deployment group."""
    (found,) = template.of_type("AWS::CodeDeploy::DeploymentGroup").values()
    return found


def shift(template: Template) -> str:
    """Return how the group shifts traffic."""
    return str(group(template)["DeploymentConfigName"])


# --- what changes with the parameter ----------------------------------------------------------------------------------


def test_without_canary_the_api_invokes_the_function_directly(template: Template) -> None:
    assert not [name for name, resource in template.resources.items() if "CodeDeploy" in resource["Type"]]
    assert "UpdatePolicy" not in alias_of(template)
    assert "DeployRole" not in template.resources
    (integration,) = template.of_type("AWS::ApiGatewayV2::Integration").values()
    assert integration["IntegrationUri"] == "${OrdersFunction.Arn}"


def test_with_canary_the_api_may_invoke_the_alias(canary: Template) -> None:
    (integration,) = canary.of_type("AWS::ApiGatewayV2::Integration").values()
    (permission,) = canary.of_type("AWS::Lambda::Permission").values()
    assert integration["IntegrationUri"] == permission["FunctionName"] == "${OrdersFunctionAliaslive}"
    # AND may before it does: the permission is a new one when the parameter changes
    assert canary.resources["OrdersIntegration"]["DependsOn"] == "ApiMayInvokeOrders"


def test_codedeploy_moves_the_alias(canary: Template) -> None:
    moved = alias_of(canary)["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    assert moved == {
        "ApplicationName": "${ServerlessDeploymentApplication}",
        "DeploymentGroupName": "${OrdersFunctionDeploymentGroup}",
    }
    assert canary.resources["ServerlessDeploymentApplication"]["Properties"] == {"ComputePlatform": "Lambda"}


def test_ten_percent_of_requests_go_first_and_an_alarm_rolls_back(canary: Template) -> None:
    assert shift(canary) == "CodeDeployDefault.LambdaCanary10Percent15Minutes"
    assert group(canary)["DeploymentStyle"]["DeploymentOption"] == "WITH_TRAFFIC_CONTROL"
    assert group(canary)["AlarmConfiguration"]["Enabled"] is True
    rollback = group(canary)["AutoRollbackConfiguration"]
    assert rollback["Enabled"] is True
    assert {"DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_FAILURE"} <= set(rollback["Events"])


def test_consumers_and_sweeper_are_deployed_at_once(canary: Template) -> None:
    """No customer waits for them. Their alarms roll back the API's function, too."""
    invoked = {mapping["FunctionName"] for mapping in canary.of_type("AWS::Lambda::EventSourceMapping").values()}
    (schedule,) = canary.of_type("AWS::Scheduler::Schedule").values()
    assert invoked | {schedule["Target"]["Arn"].replace(".Arn", "")} == {
        f"${{{name.capitalize()}Function}}" for name in canary.functions() if name != "orders"
    }


# --- rollback ---------------------------------------------------------------------------------------------------------


def watched(template: Template) -> dict[str, Properties]:
    """Return the alarms that roll a deployment back."""
    alarms = template.of_type("AWS::CloudWatch::Alarm")
    names = [re.sub(r"[${}]", "", alarm["Name"]) for alarm in group(template)["AlarmConfiguration"]["Alarms"]]
    return {name: alarms[name] for name in names}


def test_errors_and_slow_responses_roll_back_a_deployment(canary: Template) -> None:
    # GIVEN the alarms on errors of every function that is not behind the API, and on the API's responses
    errors = {
        name
        for name, alarm in canary.of_type("AWS::CloudWatch::Alarm").items()
        if (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Errors")
    }
    assert len(errors) == len(canary.functions()) - 1
    # THEN these alarms roll back, and no others; that of partners is about the partner's server
    assert watched(canary).keys() == errors - {"PartnersErrorsAlarm"} | {"ApiErrorsAlarm", "ApiLatencyAlarm"}
    assert len(watched(canary)) <= 10  # the maximum of a deployment group


def test_each_of_these_alarms_can_fire_before_all_traffic_is_shifted(canary: Template) -> None:
    found = MINUTES.search(shift(canary))
    assert found
    for name, alarm in watched(canary).items():
        needed = alarm["Period"] * alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"])
        assert needed < int(found[1]) * 60 < HOUR, name


def test_an_alarm_on_dead_letters_blocks_no_deployment(canary: Template) -> None:
    """Dead letters stay until they are redriven, which may need the deployment that fixes the cause."""
    assert not {name for name, alarm in watched(canary).items() if alarm["Namespace"] == "AWS/SQS"}


# --- what publishes a version -----------------------------------------------------------------------------------------


def versions(changed: Callable[[Source], None] = lambda _: None) -> set[str]:
    """Return the logical id of the function's version, after a change of the template."""
    template = copy.deepcopy(source())
    changed(template)
    resources = transformed(template, canary="true")["Resources"]
    return {name for name, resource in resources.items() if resource["Type"] == "AWS::Lambda::Version"}


def set_property(resource: str, name: str, value: Any) -> Callable[[Source], None]:
    """Return a change of one property of one resource."""

    def change(template: Source) -> None:
        template["Resources"][resource]["Properties"][name] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_property("OrdersFunction", "CodeUri", "functions/other"),
        set_property("OrdersFunction", "MemorySize", 2048),
        set_property("OrdersFunction", "Timeout", 26),
        set_property("HandoffLayer", "ContentUri", "layers/other"),
        set_property("DependenciesLayer", "ContentUri", "layers/other"),
    ],
)
def test_a_change_that_sam_sees_publishes_a_version(change: Callable[[Source], None]) -> None:
    assert len(versions() | versions(change)) == 2


def test_a_change_of_another_function_publishes_none() -> None:
    assert versions() == versions(set_property("EmailsFunction", "CodeUri", "functions/other"))


def test_parameters_that_sam_ignores_are_in_the_version_description(canary: Template) -> None:
    """CloudFormation replaces a version whose description changes."""
    template = source()
    function = template["Resources"]["OrdersFunction"]["Properties"]
    settings = [function, template["Globals"]["Function"]]
    not_code = {"VersionDescription", "DeploymentPreference", "ReservedConcurrentExecutions"}
    seen = [value for setting in settings for name, value in setting.items() if name not in not_code]
    # GIVEN the parameters that the settings depend on
    used = set(names_in(seen, template)) & template["Parameters"].keys()
    # THEN all are in the description with their values; the result of a condition would not distinguish all of them
    assert used
    parts = function["VersionDescription"]["Fn::Join"][1]
    assert used <= set(names_in([part for part in parts if "Fn::If" not in part], template))


def names_in(node: Any, template: Source) -> Iterator[str]:
    """Yield the names that a part of a template refers to, also in its conditions."""
    if isinstance(node, list):
        for part in node:
            yield from names_in(part, template)
    elif isinstance(node, dict):
        for function, argument in node.items():
            if function == "Ref":
                yield argument
            elif function == "Fn::Sub":
                yield from re.findall(r"\$\{(\w+)\}", str(argument))
            elif function == "Fn::If":
                yield from names_in(template["Conditions"][argument[0]], template)
            yield from names_in(argument, template)


def test_the_version_of_the_stripe_layer_is_in_the_description() -> None:
    """SAM ignores a layer behind a condition. If this fails because it no longer does, shorten the description."""
    changed = set_property("StripeLayer", "ContentUri", "layers/other")
    assert versions() == versions(changed)
    (version,) = template_with(**WITH_STRIPE).of_type("AWS::Lambda::Version").values()
    assert re.search(r"\$\{StripeLayer\w*\}\[7\]", version["Description"])


def test_the_version_description_is_short_enough() -> None:
    parameters = source()["Parameters"]
    longest = {"StripeSecret": "s" * parameters["StripeSecret"]["MaxLength"], "PaymentProvider": "stripe"}
    countries = {"StripeSecret": "s" * 40, "ShipsTo": ",".join(["DE"] * 50), "PaymentProvider": "stripe"}
    for values in (longest, countries):  # both together are too long: handoff preflight says so
        (version,) = template_with(**values).of_type("AWS::Lambda::Version").values()
        description = re.sub(r"\$\{StripeLayer\w*\}\[7\]", "12", version["Description"])
        assert len(description) + 30 <= 256  # room for another StripeApiBase and for more digits


@pytest.mark.parametrize("parameters", [{"Canary": "true"}, {"Canary": "false"}], ids=["canary", "no canary"])
def test_a_version_is_deleted_with_its_deployment(parameters: dict[str, str]) -> None:
    """Lambda publishes no second version with the same content, so one that is left over blocks its own commit."""
    template = template_with(**parameters)
    (name,) = template.of_type("AWS::Lambda::Version")
    # THEN no version stays, neither one that a rollback or the next deployment removes, nor one that is replaced
    assert template.resources[name]["DeletionPolicy"] == "Delete"
    assert template.resources[name].get("UpdateReplacePolicy", "Delete") == "Delete"
    # AND nothing but the alias uses it, which CloudFormation moves before it deletes the old version
    assert alias_of(template)["Properties"]["FunctionVersion"] == f"${{{name}.Version}}"
    users = {user for user, resource in template.resources.items() if f"{{{name}" in json.dumps(resource)}
    assert users == {"OrdersFunctionAliaslive"}


# --- permissions of CodeDeploy ----------------------------------------------------------------------------------------


def test_codedeploy_may_only_move_the_alias_and_read_alarms(canary: Template) -> None:
    role = canary.resources["DeployRole"]["Properties"]
    assert group(canary)["ServiceRoleArn"] == "${DeployRole.Arn}"
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "codedeploy.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "${AWS::AccountId}"}}
    moving, looking = role["Policies"][0]["PolicyDocument"]["Statement"]
    assert set(moving["Resource"]) == {"${OrdersFunction.Arn}", "${OrdersFunction.Arn}:live"}
    assert not [action for action in moving["Action"] if action.startswith("lambda:Invoke") or "*" in action]
    assert looking["Action"] == "cloudwatch:DescribeAlarms"


def test_canary_adds_no_other_role(template: Template, canary: Template) -> None:
    roles = canary.of_type("AWS::IAM::Role").keys() - template.of_type("AWS::IAM::Role").keys()
    assert roles == {"DeployRole"}
    assert "ManagedPolicyArns" not in json.dumps(canary.of_type("AWS::IAM::Role"))
