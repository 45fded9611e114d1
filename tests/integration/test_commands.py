"""The `handoff` command where there is no Handoff, or no right to it: every command says so in a line."""

import json

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws

from dev.demo import orders as demo
from ops.cli import main as cli
from tests.support.account import REGION

ORDER = "ord_pywgudu6gswisgaovwmgk7lnwa"
SPAN = ("--from", "2026-11-23T10:00:00Z", "--to", "2026-11-23T11:00:00Z")
TOPIC = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
HANDOFF = {
    "Resources": {
        name: {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "BillingMode": "PAY_PER_REQUEST",
            },
        }
        for name in ("OrdersTable", "ProductsTable", "SalesTable", "IdempotencyTable")
    },
    "Outputs": {"ApiId": {"Value": "a1b2c3"}},
    "Parameters": {"SalesShards": {"Type": "Number", "Default": 4}},
}
COMMANDS = {
    "lag": ("lag", "--once"),
    "lag --fail-over": ("lag", "--fail-over", "60s"),
    "dlq list": ("dlq", "list"),
    "dlq redrive": ("dlq", "redrive", "emails", "--yes"),
    "order": ("order", ORDER),
    "catalog load": ("catalog", "load", str(demo.EVENTS / "catalog.json")),
    "rebuild sales": ("rebuild", "sales"),
    "rebuild sales --prune": ("rebuild", "sales", "--prune"),
    "replay": ("replay", *SPAN, "--rules", "analytics", "--yes"),
    "token": ("token",),
    "smoke": ("smoke",),
    "console": ("console", "--port", "0"),
}


@pytest.fixture
def cloudformation(monkeypatch):
    for name in ("AWS_PROFILE", "HANDOFF_STACK", "PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        yield boto3.client("cloudformation")


def ended(*arguments):
    """What a command said, if it ended as one that failed should."""
    result = CliRunner().invoke(cli.main, arguments)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (1, 2)
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_stack_that_is_not_there(command, cloudformation):
    said = ended(*command)
    assert "'handoff' is not to be found" in said
    assert "--stack" in said
    assert "HANDOFF_STACK" in said


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_another_stack_is_not_taken_for_a_handoff_where_all_is_well(command, cloudformation):
    cloudformation.create_stack(StackName="other", TemplateBody=json.dumps(TOPIC))
    said = ended(*command, "--stack", "other")
    assert "'other'" in said
    assert "CREATE_COMPLETE, and no deployed Handoff" in said


def test_a_stack_whose_first_change_set_was_refused_is_not_deployed(cloudformation):
    cloudformation.create_change_set(
        StackName="handoff-prod", ChangeSetName="first", ChangeSetType="CREATE", TemplateBody=json.dumps(TOPIC)
    )
    assert "REVIEW_IN_PROGRESS" in ended("lag", "--fail-over", "60s", "--stack", "handoff-prod")


def test_the_stack_can_be_named_once_for_all_commands(cloudformation, monkeypatch):
    monkeypatch.setenv("HANDOFF_STACK", "handoff-prod")
    assert "'handoff-prod' is not to be found" in ended("dlq", "list")


def test_a_handoff_of_another_version_that_lacks_a_resource(cloudformation):
    older = {**HANDOFF, "Resources": {"OrdersTable": HANDOFF["Resources"]["OrdersTable"]}}
    cloudformation.create_stack(StackName="handoff", TemplateBody=json.dumps(older))
    assert "'handoff' has no ProductsTable" in ended(*COMMANDS["catalog load"])


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_credentials_that_are_not_there(command, cloudformation, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "(nobody)" in ended(*command)


@pytest.mark.parametrize("name", ["lag", "dlq list", "order", "catalog load", "rebuild sales", "token", "console"])
def test_a_port_that_is_none(name, cloudformation, monkeypatch):
    monkeypatch.setenv("PORT", "abc")
    assert "PORT is 'abc'" in ended(*COMMANDS[name], "--local")


@pytest.mark.parametrize("name", ["catalog load", "rebuild sales", "rebuild sales --prune"])
def test_a_neighbour_that_does_not_answer(name, cloudformation, monkeypatch):
    cloudformation.create_stack(StackName="handoff", TemplateBody=json.dumps(HANDOFF))
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert "Could not connect" in ended(*COMMANDS[name])
