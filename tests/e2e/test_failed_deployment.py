"""A first deployment that fails: what its rollback leaves behind, and whether it can be repeated.

MiniStack follows deletion policies on a rollback as CloudFormation does. It has no archives, and protects no table.
"""

import contextlib
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner

from dev.local.stack import LocalStack
from dev.template import source, transformed
from ops.cli.main import main
from tests.e2e.support import eventually

STACK = "failing"
# The last resource fails: a bus of this name exists.
TAKEN = "taken"
KEPT = {
    "CustomersTable",
    "IdempotencyTable",
    "OrdersTable",
    "ProductsTable",
    "SalesTable",
    "ShipmentsTable",
    "UserPool",
}
PARAMETERS = {"DataPolicy": "Retain", "ArchiveDays": "0"}


def failing_template() -> str:
    """Return the template's resources with a deletion policy, and one that can't be created after them."""
    whole = transformed(source(), canary="false")
    resources: dict[str, Any] = {
        name: resource
        for name, resource in whole["Resources"].items()
        if "DeletionPolicy" in resource and not resource["Type"].startswith("AWS::Lambda::")
    }
    conditional = {"Archive", "DataKey", "PartnersQueue", "PartnersDeadLetters"}  # not in this deployment
    last = {"Type": "AWS::Events::EventBus", "Properties": {"Name": TAKEN}}
    resources["Last"] = last | {"DependsOn": sorted(resources.keys() - conditional)}
    return json.dumps(
        {name: whole[name] for name in ("Description", "Parameters", "Conditions")} | {"Resources": resources}
    )


def test_a_failed_first_deployment_can_be_repeated(local_stack: LocalStack) -> None:
    clients = {name: client_of(local_stack, name) for name in ("cloudformation", "events", "sqs")}
    clients["events"].create_event_bus(Name=TAKEN)
    for _ in range(2):
        # WHEN the last resource of a new stack can't be created
        happened = deploy(clients["cloudformation"])
        # THEN nothing else fails, also at the second attempt, so nothing of the first one was in its way
        assert of_status(happened, "CREATE_FAILED") == {"Last"}
        # AND only tables and user pool are left
        assert of_status(happened, "DELETE_SKIPPED") == KEPT
        assert f"{STACK}-bus" not in {bus["Name"] for bus in clients["events"].list_event_buses()["EventBuses"]}
        assert not clients["sqs"].list_queues(QueueNamePrefix=f"{STACK}-").get("QueueUrls")
        clients["cloudformation"].delete_stack(StackName=STACK)


def test_cleanup_removes_what_a_failed_first_deployment_has_left(
    local_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a failed stack and a table of it with an item
    with contextlib.suppress(ClientError):  # the bus may exist from the test above
        client_of(local_stack, "events").create_event_bus(Name=TAKEN)
    cloudformation, dynamodb = (client_of(local_stack, name) for name in ("cloudformation", "dynamodb"))
    deploy(cloudformation)
    (orders,) = (name for name in tables(dynamodb) if name.startswith(f"{STACK}-OrdersTable"))
    dynamodb.put_item(TableName=orders, Item={"orderId": {"S": "ord_1"}})
    for name, value in {
        "AWS_ENDPOINT_URL": local_stack.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": local_stack.session().region_name,
    }.items():
        monkeypatch.setenv(name, value)
    # WHEN it is only listed, THEN all of it is, and nothing is deleted
    listed = cleanup()
    assert {word for word in KEPT if f" {word} (" in listed} == KEPT, listed
    assert len(tables(dynamodb)) == len(KEPT) - 1
    # AND WHEN it is deleted, the table with the item is kept
    cleanup("--delete", "--yes")
    assert tables(dynamodb) == [orders], listed
    # AND it is found by the deleted stack's id, and deleted once it is named
    cleanup("--delete", "--yes", "--with-data", "OrdersTable")
    assert tables(dynamodb) == []
    assert "There is nothing to delete" in cleanup()


def cleanup(*arguments: str) -> str:
    """Run the command; return its output."""
    result = CliRunner().invoke(main, ["cleanup", "--failed-create", "--stack", STACK, *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def tables(dynamodb: Any) -> list[str]:
    """Return the names of the failed stack's tables."""
    return [name for name in dynamodb.list_tables()["TableNames"] if name.startswith(f"{STACK}-")]


def client_of(local_stack: LocalStack, service: str) -> Any:
    """Return a client of the local stack."""
    return local_stack.session().client(service, endpoint_url=local_stack.endpoint)


def deploy(cloudformation: Any) -> list[Any]:
    """Create the stack; return its events once it is rolled back."""
    chosen = [{"ParameterKey": name, "ParameterValue": value} for name, value in PARAMETERS.items()]
    created = cloudformation.create_stack(StackName=STACK, TemplateBody=failing_template(), Parameters=chosen)
    stack = {"StackName": created["StackId"]}
    ended = eventually(
        lambda: cloudformation.describe_stacks(**stack)["Stacks"][0]["StackStatus"],
        lambda status: not status.endswith("IN_PROGRESS"),
    )
    assert ended == "ROLLBACK_COMPLETE"
    happened: list[Any] = cloudformation.describe_stack_events(**stack)["StackEvents"]
    return happened


def of_status(happened: list[Any], status: str) -> set[str]:
    """Return the logical ids of the resources that had this status."""
    return {event["LogicalResourceId"] for event in happened if event["ResourceStatus"] == status}
