"""A first deployment that fails: what its rollback leaves behind, and whether it can be repeated.

MiniStack follows deletion policies on a rollback as CloudFormation does. It has no archives, and protects no table.
"""

import json
from typing import Any

from dev.local.stack import LocalStack
from dev.template import source, transformed
from tests.e2e.support import eventually

STACK = "first"
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
    conditional = {"Archive", "DataKey", "PartnerDeadLetters"}  # not in this deployment
    last = {"Type": "AWS::Events::EventBus", "Properties": {"Name": TAKEN}}
    resources["Last"] = last | {"DependsOn": sorted(resources.keys() - conditional)}
    return json.dumps({name: whole[name] for name in ("Parameters", "Conditions")} | {"Resources": resources})


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
