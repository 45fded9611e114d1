"""Stacks that were never created: their history, and the resources that CloudFormation has left of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from ops.stack.deployment import Deployment

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.client import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef, StackTypeDef

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
class StackResource:
    """A resource of a stack, with CloudFormation's type and its last status in the stack."""

    logical_id: str
    kind: str
    physical_id: str
    status: str


@dataclass(frozen=True)
class FailedStack:
    """A stack whose creation failed; ``status`` is DELETE_COMPLETE if only its resources are left."""

    stack_id: str
    status: str
    resources: tuple[StackResource, ...]

    @property
    def exists(self) -> bool:
        """Whether the stack still has its name."""
        return self.status != _DELETED


def failed_stacks(deployment: Deployment) -> list[FailedStack]:
    """Return the stacks of this name that were never created: at most one that exists, and those deleted since.

    CloudFormation knows deleted stacks for 90 days
    (https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListStacks.html).

    Raises
    ------
    Refused
        If the stack of this name was created once, is not a Handoff, or does not exist.
    """
    client, name = deployment.cloudformation, deployment.stack
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
    if not _is_handoff(stack):
        raise Refused(f"The stack {name!r} is not a Handoff. Name another one with --stack.")
    if not _never_created(_events(client, stack["StackId"]), stack["StackId"]):
        raise Refused(f"The stack {name!r} is {status}, but was created before. It may hold data: remove it by hand.")


def _deleted(client: "CloudFormationClient", name: str) -> Iterator[str]:
    pages = client.get_paginator("list_stacks").paginate(StackStatusFilter=["DELETE_COMPLETE"])
    for page in pages:
        for summary in page["StackSummaries"]:
            if summary["StackName"] == name:
                yield summary["StackId"]


def _failed(client: "CloudFormationClient", stack_id: str) -> FailedStack | None:
    """Return a stack with its remaining resources; None if it was created once or is not a Handoff."""
    stack, events = client.describe_stacks(StackName=stack_id)["Stacks"][0], _events(client, stack_id)
    if not (_is_handoff(stack) and _never_created(events, stack_id)):
        return None
    return FailedStack(stack_id, stack["StackStatus"], tuple(_remaining(events, stack_id)))


def _events(client: "CloudFormationClient", stack_id: str) -> "list[StackEventTypeDef]":
    """Return the history of a stack, the newest event first."""
    pages = client.get_paginator("describe_stack_events").paginate(StackName=stack_id)
    return [event for page in pages for event in page["StackEvents"]]


def _remaining(events: "Sequence[StackEventTypeDef]", stack_id: str) -> Iterator[StackResource]:
    """Yield each resource whose last event is not its deletion."""
    seen = {stack_id, ""}
    for event in events:
        physical_id, status = event.get("PhysicalResourceId", ""), event.get("ResourceStatus", "")
        if physical_id not in seen:
            seen.add(physical_id)
            if status != _DELETED:
                yield StackResource(event["LogicalResourceId"], event["ResourceType"], physical_id, status)


def _is_handoff(stack: "StackTypeDef") -> bool:
    return stack.get("Description", "").startswith(DESCRIPTION)


def _never_created(events: "Sequence[StackEventTypeDef]", stack_id: str) -> bool:
    """Return whether the events prove that the stack's creation began, and never succeeded."""
    states = {event.get("ResourceStatus", "") for event in events if event.get("PhysicalResourceId") == stack_id}
    return _BEGAN in states and states <= _BEFORE_CREATED


def delete_stack(deployment: Deployment, stack: FailedStack) -> None:
    """Delete a failed stack, so that its name is free; wait until it is gone.

    Raises
    ------
    botocore.exceptions.WaiterError
        If CloudFormation could not delete it in ten minutes.
    """
    client = deployment.cloudformation
    client.delete_stack(StackName=stack.stack_id)
    gone = client.get_waiter("stack_delete_complete")
    gone.wait(StackName=stack.stack_id, WaiterConfig={"Delay": 5, "MaxAttempts": 120})
