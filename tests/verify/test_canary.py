"""The check of a canary, on CodeDeploy, Lambda and CloudFormation as a test wants them."""

import boto3
import pytest
from botocore.stub import Stubber

from dev.simulated.account import REGION
from ops.verify import canary
from ops.verify.check import Outcome

RESOURCES = {
    "OrdersFunction": ("AWS::Lambda::Function", "orders"),
    "ServerlessDeploymentApplication": ("AWS::CodeDeploy::Application", "app"),
    "OrdersFunctionDeploymentGroup": ("AWS::CodeDeploy::DeploymentGroup", "group"),
}


class Aws:
    """The answers of the three services, in the order in which a test adds them."""

    def __init__(self, stubs):
        self._stubs = stubs

    def alias(self, version, new=""):
        weights = {"RoutingConfig": {"AdditionalVersionWeights": {new: 0.1}}} if new else {}
        wanted = {"FunctionName": "orders", "Name": "live"}
        self._stubs["lambda"].add_response("get_alias", {"FunctionVersion": version, **weights}, wanted)

    def running(self, *deployments):
        wanted = {"applicationName": "app", "deploymentGroupName": "group", "includeOnlyStatuses": ["InProgress"]}
        self._stubs["codedeploy"].add_response("list_deployments", {"deployments": list(deployments)}, wanted)

    def stops(self, deployment):
        wanted = {"deploymentId": deployment, "autoRollbackEnabled": True}
        self._stubs["codedeploy"].add_response("stop_deployment", {"status": "Pending", "statusMessage": "ok"}, wanted)

    def ends(self, deployment, status):
        found = {"deploymentInfo": {"status": status}}
        self._stubs["codedeploy"].add_response("get_deployment", found, {"deploymentId": deployment})

    def stack(self, status):
        found = {"StackName": "x", "CreationTime": "2026-11-23T10:00:00Z", "StackStatus": status}
        self._stubs["cloudformation"].add_response("describe_stacks", {"Stacks": [found]})


@pytest.fixture
def clients(account):
    return {name: boto3.client(name, region_name=REGION) for name in ("lambda", "codedeploy", "cloudformation")}


@pytest.fixture
def aws(clients):
    stubs = {name: Stubber(client) for name, client in clients.items()}
    for stub in stubs.values():
        stub.activate()
    yield Aws(stubs)
    for stub in stubs.values():
        stub.deactivate()


@pytest.fixture
def check(aws, clients, make_deployment, perform, monkeypatch):
    def check(resources=RESOURCES, **situation):
        deployment = make_deployment(resources)
        monkeypatch.setattr(deployment.__class__, "client", lambda self, service: clients[service])
        monkeypatch.setitem(deployment.__dict__, "cloudformation", clients["cloudformation"])
        (result,) = perform(canary.CHECK, deployment, **{"canary": True} | situation)
        return result

    return check


def stopped(aws):
    """Add the answers until the first deployment was stopped."""
    aws.alias("7")
    aws.running()
    aws.running("d-1")
    aws.alias("7", new="8")
    aws.stops("d-1")


def test_a_canary_is_stopped_rolled_back_and_repeated(aws, check):
    stopped(aws)
    aws.alias("7", new="8")
    aws.alias("7")
    aws.stack("UPDATE_ROLLBACK_IN_PROGRESS")
    aws.stack("UPDATE_ROLLBACK_COMPLETE")
    aws.running("d-2")
    aws.alias("7", new="9")
    aws.ends("d-2", "InProgress")
    aws.ends("d-2", "Succeeded")
    aws.stack("UPDATE_COMPLETE")
    result = check()
    assert result.outcome == Outcome.PASSED, result.seen
    assert result.seen == "d-1 was stopped and rolled back, d-2 of the same commit succeeded"
    assert "stopped d-1: Pending: ok" in result.notes


def test_a_canary_that_keeps_its_requests_fails(aws, check):
    stopped(aws)
    for _ in range(31):
        aws.alias("7", new="8")
    result = check()
    assert result.outcome == Outcome.FAILED
    assert "300 s after d-1 was stopped" in result.seen


def test_a_stack_that_is_not_rolled_back_fails(aws, check):
    stopped(aws)
    aws.alias("7")
    aws.stack("UPDATE_ROLLBACK_FAILED")
    result = check()
    assert (result.outcome, result.seen) == (
        Outcome.FAILED,
        "the stack is UPDATE_ROLLBACK_FAILED, not UPDATE_ROLLBACK_COMPLETE",
    )


def test_a_repetition_that_fails_fails(aws, check):
    stopped(aws)
    aws.alias("7")
    aws.stack("UPDATE_ROLLBACK_COMPLETE")
    aws.running("d-2")
    aws.alias("7", new="9")
    aws.ends("d-2", "Failed")
    result = check()
    assert (result.outcome, result.seen) == (Outcome.FAILED, "the repeated deployment d-2 is Failed")


def test_a_deployment_that_never_begins_is_not_available(aws, check, monkeypatch):
    monkeypatch.setattr(canary, "_STARTS_WITHIN", 15.0)
    aws.alias("7")
    for _ in range(3):
        aws.running()
    result = check()
    assert result.outcome == Outcome.NOT_AVAILABLE
    assert result.seen.startswith("no deployment began")


def test_without_its_option_it_is_skipped(check):
    result = check(canary=False)
    assert (result.outcome, result.seen) == (Outcome.SKIPPED, "without --canary")


def test_a_stack_without_a_canary_is_not_available(check):
    result = check({})
    assert (result.outcome, result.seen) == (Outcome.NOT_AVAILABLE, "the stack has no canary (Canary=false)")
