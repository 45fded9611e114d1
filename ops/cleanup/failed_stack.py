"""Stacks that were never created: their history, and the resources that CloudFormation has left of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from ops.stack.deployment import CLIENT_CONFIG, Deployment

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.client import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackResourceSummaryTypeDef, StackTypeDef

DESCRIPTION = "Handoff - an order workflow"  # how template.yaml's description begins
# A stack that was never created. DELETE_FAILED is ambiguous; the stack's events decide.
NEVER_CREATED = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")
_DELETED = "DELETE_COMPLETE"
_NOT_BEGUN = "REVIEW_IN_PROGRESS"  # a change set that was not executed
# All states that a stack can have had if its creation never succeeded.
_BEFORE_CREATED = {
    *NEVER_CREATED,
    _DELETED,
    _NOT_BEGUN,
    "CREATE_IN_PROGRESS",
    "ROLLBACK_IN_PROGRESS",
    "DELETE_IN_PROGRESS",
}
_BEGAN = "CREATE_IN_PROGRESS"


class Refused(Exception):
    """The stack is not one whose first deployment failed."""


@dataclass(frozen=True)
class FailedStack:
    """A stack whose creation failed; ``status`` is DELETE_COMPLETE if only its resources are left."""

    stack_id: str
    status: str
    resources: "tuple[StackResourceSummaryTypeDef, ...]"

    @property
    def exists(self) -> bool:
        """Whether the stack still has its name."""
        return self.status != _DELETED


def cloudformation(deployment: Deployment) -> "CloudFormationClient":
    """Return a CloudFormation client."""
    return deployment.session.client("cloudformation", endpoint_url=deployment.endpoint, config=CLIENT_CONFIG)


def failed_stacks(deployment: Deployment) -> list[FailedStack]:
    """Return the stacks of this name that were never created: at most one that exists, and those deleted since.

    CloudFormation knows deleted stacks for 90 days
    (https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListStackResources.html).

    Raises
    ------
    Refused
        If the stack of this name was created once, is not a Handoff, or does not exist.
    """
    client, name = cloudformation(deployment), deployment.stack
    stack = _described(client, name)
    if stack and stack["StackStatus"] == _NOT_BEGUN:
        stack = None
    if stack:
        _check(client, stack)
    ids = ([stack["StackId"]] if stack else []) + list(_deleted(client, name))
    found = [_failed(client, stack_id) for stack_id in ids]
    failed = [one for one in found if one]
    if not failed:
        raise Refused(
            f"No stack {name!r} whose first deployment failed is known in {deployment.session.region_name}. "
            "CloudFormation knows deleted stacks for 90 days. Name another one with --stack."
        )
    return failed


def _described(client: "CloudFormationClient", name: str) -> "StackTypeDef | None":
    try:
        return client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def _check(client: "CloudFormationClient", stack: "StackTypeDef") -> None:
    """Refuse a stack that was created once, or is not a Handoff."""
    name, status = stack["StackName"], stack["StackStatus"]
    if status == "CREATE_FAILED":
        raise Refused(
            f"The stack {name!r} is {status}, because its rollback is switched off. Deploy again, or remove "
            f"it first: aws cloudformation rollback-stack --stack-name {name}"
        )
    if status not in NEVER_CREATED:
        raise Refused(f"The stack {name!r} is {status}. This command is only for failed first deployments.")
    if not stack.get("Description", "").startswith(DESCRIPTION):
        raise Refused(f"The stack {name!r} is not a Handoff. Name another one with --stack.")
    if not _never_created(client, stack["StackId"]):
        raise Refused(f"The stack {name!r} is {status}, but was created before. It may hold data: remove it by hand.")


def _deleted(client: "CloudFormationClient", name: str) -> Iterator[str]:
    pages = client.get_paginator("list_stacks").paginate(StackStatusFilter=["DELETE_COMPLETE"])
    for page in pages:
        for summary in page["StackSummaries"]:
            if summary["StackName"] == name and summary.get("TemplateDescription", "").startswith(DESCRIPTION):
                yield summary["StackId"]


def _failed(client: "CloudFormationClient", stack_id: str) -> FailedStack | None:
    """Return a stack with its remaining resources; None if it was created once, because they may hold data."""
    if not _never_created(client, stack_id):
        return None
    status = client.describe_stacks(StackName=stack_id)["Stacks"][0]["StackStatus"]
    pages = client.get_paginator("list_stack_resources").paginate(StackName=stack_id)
    left = tuple(
        resource
        for page in pages
        for resource in page["StackResourceSummaries"]
        if resource["ResourceStatus"] != _DELETED and resource.get("PhysicalResourceId")
    )
    return FailedStack(stack_id, status, left)


def _never_created(client: "CloudFormationClient", stack_id: str) -> bool:
    """Return whether the events prove that the stack's creation began, and never succeeded."""
    states = {
        event.get("ResourceStatus", "")
        for page in client.get_paginator("describe_stack_events").paginate(StackName=stack_id)
        for event in page["StackEvents"]
        if event.get("PhysicalResourceId") == stack_id
    }
    return _BEGAN in states and states <= _BEFORE_CREATED


def delete_stack(deployment: Deployment, stack: FailedStack) -> None:
    """Delete a failed stack, so that its name is free; wait until it is gone.

    Raises
    ------
    botocore.exceptions.WaiterError
        If CloudFormation could not delete it in ten minutes.
    """
    client = cloudformation(deployment)
    client.delete_stack(StackName=stack.stack_id)
    gone = client.get_waiter("stack_delete_complete")
    gone.wait(StackName=stack.stack_id, WaiterConfig={"Delay": 5, "MaxAttempts": 120})
