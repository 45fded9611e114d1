"""The remaining resources of a failed stack: which can be deleted, and their deletion."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from botocore.exceptions import ClientError

from ops.cleanup.failed_stack import FailedStack, StackResource
from ops.cleanup.kinds import KINDS, is_gone
from ops.stack.deployment import Deployment

_ARCHIVE, _BUS, _KEY, _TABLE = "AWS::Events::Archive", "AWS::Events::EventBus", "AWS::KMS::Key", "AWS::DynamoDB::Table"
_RETAINED = "DELETE_SKIPPED"  # CloudFormation keeps it when it deletes the stack
_STACK_ID = "aws:cloudformation:stack-id"
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-archive.html: the count may be a day old. All events of
# the shop are written to its tables first, so if these are empty, so is the archive.
_UNCOUNTED = "perhaps events: AWS counts them up to a day late, and a table has items"


@dataclass(frozen=True)
class Leftover:
    """A resource of a failed stack that still exists."""

    logical_id: str
    kind: str  # CloudFormation's type
    physical_id: str
    status: str  # of the resource in its stack
    contents: str = ""  # what would be lost
    obstacle: str = ""  # why this command does not delete it, whatever it holds
    is_named: bool = False  # the operator wants it deleted with its contents

    @property
    def kept(self) -> str:
        """Why it is not deleted; empty if it is."""
        if self.obstacle or not self.contents or self.is_named:
            return self.obstacle
        return f"it holds {self.contents}; to delete it too, add --with-data {self.logical_id}"

    @property
    def noun(self) -> str:
        """The kind in words."""
        return KINDS[self.kind].noun if self.kind in KINDS else self.kind


def leftovers(deployment: Deployment, stack: FailedStack, with_data: Collection[str]) -> list[Leftover]:
    """Return the resources of a stack that still exist, in the order of deletion.

    One that holds data is kept unless its logical id is in ``with_data``. One whose tags do not name this stack is kept
    too: it may be of another stack that had the same name.
    """
    owned = _owned(deployment, stack.stack_id)
    found = [one for resource in stack.resources if (one := _examine(deployment, owned, stack, resource))]
    named = [replace(one, is_named=one.logical_id in with_data) for one in found]
    if any(one.kind == _TABLE and one.contents for one in named):
        named = [replace(one, contents=one.contents or _UNCOUNTED) if one.kind == _ARCHIVE else one for one in named]
    if any(one.kind == _ARCHIVE and one.kept for one in named):
        named = [
            replace(one, obstacle=one.obstacle or "its archive is kept") if one.kind == _BUS else one for one in named
        ]
    order = [*KINDS]
    return sorted(named, key=lambda one: order.index(one.kind) if one.kind in KINDS else len(order))


def _owned(deployment: Deployment, stack_id: str) -> tuple[str, ...]:
    """Return the ARNs of all resources that CloudFormation has marked as this stack's."""
    client = deployment.client("resourcegroupstaggingapi")
    pages = client.get_paginator("get_resources").paginate(TagFilters=[{"Key": _STACK_ID, "Values": [stack_id]}])
    return tuple(found["ResourceARN"].removesuffix(":*") for page in pages for found in page["ResourceTagMappingList"])


def _examine(
    deployment: Deployment, owned: Sequence[str], stack: FailedStack, resource: StackResource
) -> Leftover | None:
    """Return a resource with what it holds; None if it does not exist any more."""
    physical_id = resource.physical_id
    found = Leftover(resource.logical_id, resource.kind, physical_id, resource.status)
    kind = KINDS.get(found.kind)
    if kind is None:
        return replace(found, obstacle=_by_hand(found, stack))
    try:
        contents, tagged = kind.contents(deployment, physical_id), kind.tagged(deployment, physical_id)
    except ClientError as error:
        return None if is_gone(error) else replace(found, obstacle=f"AWS did not say what it holds: {error}")
    if not any(arn.endswith(tagged) for arn in owned):
        return replace(found, obstacle="its tags do not name this stack, so it may be another one's")
    return replace(found, contents=contents)


def _by_hand(found: Leftover, stack: FailedStack) -> str:
    if found.kind == _KEY:
        command = f"aws kms schedule-key-deletion --key-id {found.physical_id} --pending-window-in-days 30"
        return f"nothing under it could be read again. If nothing else uses it: {command}"
    if stack.exists and found.status != _RETAINED:
        return "CloudFormation deletes it with the stack"
    return "this command does not delete this type; remove it by hand"


def delete(deployment: Deployment, found: Sequence[Leftover]) -> Iterator[tuple[Leftover, str]]:
    """Delete the resources that are not kept, one by one; yield each with AWS's error, empty if there was none."""
    for one in found:
        if one.kept:
            continue
        kind = KINDS[one.kind]
        try:
            if not one.is_named and kind.contents(deployment, one.physical_id):
                yield one, f"it holds {kind.contents(deployment, one.physical_id)} now"
                continue
            kind.delete(deployment, one.physical_id)
        except ClientError as error:
            yield one, "" if is_gone(error) else str(error)
        else:
            yield one, ""


def may_delete_stack(stack: FailedStack, found: Sequence[Leftover]) -> bool:
    """Return whether deleting the stack cannot delete a resource that is to be kept."""
    return stack.exists and all(one.status == _RETAINED for one in found if one.kept and one.kind in KINDS)
