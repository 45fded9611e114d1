"""Errors and options of all `handoff` commands."""

import json
import re
from importlib.metadata import version

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws

from dev.demo import orders as demo
from dev.simulated.account import REGION
from ops.cli import main as cli
from ops.stack.local import LocalEndpoint

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
    "orders cancel": ("orders", "cancel", ORDER, "--reason", "Sold out", "--yes"),
    "orders refund": ("orders", "refund", ORDER, "--reason", "Torn", "--yes"),
    "catalog load": ("catalog", "load", str(demo.EVENTS / "catalog.json")),
    "rebuild sales": ("rebuild", "sales"),
    "rebuild sales --prune": ("rebuild", "sales", "--prune"),
    "replay": ("replay", *SPAN, "--rules", "analytics", "--yes"),
    "token": ("token",),
    "smoke": ("smoke",),
    "verify": ("verify", "--yes"),
    "console": ("console", "--port", "0"),
}


@pytest.fixture
def cloudformation(monkeypatch):
    for name in ("AWS_PROFILE", "HANDOFF_STACK", "PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        yield boto3.client("cloudformation")


def error_of(*arguments):
    """Return the one-line error of a command that must fail."""
    result = CliRunner().invoke(cli.main, arguments)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (1, 2)
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_an_unknown_stack_is_reported_with_the_options_that_name_it(command, cloudformation):
    error = error_of(*command)
    assert "'handoff' was not found" in error
    assert "--stack" in error
    assert "HANDOFF_STACK" in error
    assert not re.search(r"[.?!:]{2}", error)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_stack_that_is_not_a_handoff_is_rejected(command, cloudformation):
    cloudformation.create_stack(StackName="other", TemplateBody=json.dumps(TOPIC))
    error = error_of(*command, "--stack", "other")
    assert "'other'" in error
    assert "CREATE_COMPLETE and not a deployed Handoff" in error


def test_a_stack_whose_first_change_set_was_not_executed_is_rejected(cloudformation):
    cloudformation.create_change_set(
        StackName="handoff-prod", ChangeSetName="first", ChangeSetType="CREATE", TemplateBody=json.dumps(TOPIC)
    )
    assert "REVIEW_IN_PROGRESS" in error_of("lag", "--fail-over", "60s", "--stack", "handoff-prod")


def test_a_variable_can_name_the_stack_for_all_commands(cloudformation, monkeypatch):
    monkeypatch.setenv("HANDOFF_STACK", "handoff-prod")
    assert "'handoff-prod' was not found" in error_of("dlq", "list")


def test_a_missing_resource_names_the_other_version(cloudformation):
    older = {**HANDOFF, "Resources": {"OrdersTable": HANDOFF["Resources"]["OrdersTable"]}}
    cloudformation.create_stack(StackName="handoff", TemplateBody=json.dumps(older))
    assert "'handoff' has no ProductsTable" in error_of(*COMMANDS["catalog load"])


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_unknown_credentials_are_reported(command, cloudformation, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "(nobody)" in error_of(*command)


def test_a_missing_region_is_reported(cloudformation, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert error_of("token") == "Error: You must specify a region.\n"


@pytest.mark.parametrize("name", ["catalog load", "rebuild sales", "rebuild sales --prune"])
def test_a_service_that_cannot_be_reached_is_reported(name, cloudformation, monkeypatch):
    cloudformation.create_stack(StackName="handoff", TemplateBody=json.dumps(HANDOFF))
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert "Could not connect" in error_of(*COMMANDS[name])


# --- --local ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ports(cloudformation, monkeypatch):
    """The ports of the local stacks that commands ask for; none is running."""
    asked = []

    def is_up(stack):
        asked.append(stack.port)
        return False

    monkeypatch.setattr(LocalEndpoint, "is_up", is_up)
    return asked


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_takes_the_port_of_a_local_stack(command, ports):
    error = error_of(*command, "--local=4601")
    assert ports == [4601]
    assert "port 4601" in error
    assert error.endswith("make run PORT=4601\n")


@pytest.mark.parametrize(
    "command",
    [
        ("dlq", "redrive", "--local", "emails", "--yes"),
        ("order", "--local", ORDER),
        ("catalog", "load", "--local", COMMANDS["catalog load"][-1]),
    ],
)
def test_local_does_not_take_the_next_argument_as_its_port(command, ports):
    error = error_of(*command)
    assert ports == [4566]
    assert error.endswith("make run\n")


def test_a_variable_can_set_the_port_for_all_commands(ports, monkeypatch):
    monkeypatch.setenv("PORT", "4602")
    error_of("lag", "--local")
    error_of("lag", "--local=4603")
    assert ports == [4602, 4603]


@pytest.mark.parametrize("name", ["lag", "dlq list", "order", "catalog load", "rebuild sales", "token", "console"])
def test_a_variable_that_is_not_a_port_is_reported(name, ports, monkeypatch):
    monkeypatch.setenv("PORT", "abc")
    assert "The variable PORT is invalid: 'abc' is not a port number. Ports are 1 to 65535." in error_of(
        *COMMANDS[name], "--local"
    )
    assert ports == []


def test_a_value_that_is_not_a_port_is_a_usage_error(ports):
    result = CliRunner().invoke(cli.main, ["lag", "--local=abc"])
    assert result.exit_code == 2
    assert "'abc' is not a port number." in result.stderr


def test_an_argument_after_two_dashes_is_not_an_option(ports):
    result = CliRunner().invoke(cli.main, ["order", "--local", "--", "--local"])
    assert ports == [4566]
    assert result.exit_code == 1


# --- version and completion -------------------------------------------------------------------------------------------


def test_version_is_that_of_the_package():
    result = CliRunner().invoke(cli.main, ["--version"])
    assert result.output == f"handoff, version {version('handoff')}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_help_describes_completion_and_click_provides_it(shell):
    assert "_HANDOFF_COMPLETE=bash_source" in CliRunner().invoke(cli.main, ["--help"]).output
    runner = CliRunner(env={"_HANDOFF_COMPLETE": f"{shell}_source"})
    assert "_HANDOFF_COMPLETE" in runner.invoke(cli.main, prog_name="handoff").output
