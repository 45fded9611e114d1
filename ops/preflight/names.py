"""Names that the template derives from the stack's: whether they fit, and whether they are free."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from botocore.exceptions import ClientError

from ops.preflight.aws import Aws
from ops.preflight.check import Finding, Question, failed, passed, warning
from ops.preflight.plan import Plan

_STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")  # CloudFormation's CreateStack
_SHOWN = 3  # resources of an earlier stack


@dataclass(frozen=True)
class _Kind:
    noun: str
    attribute: str
    max_length: int  # characters
    exists: Callable[[Aws, str], bool]


def _bus(aws: Aws, name: str) -> bool:
    return _found(lambda: aws.client("events").describe_event_bus(Name=name))


def _log_group(aws: Aws, name: str) -> bool:
    pages = aws.client("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
    return any(group["logGroupName"] == name for page in pages for group in page["logGroups"])


def _schedule(aws: Aws, name: str) -> bool:
    return _found(lambda: aws.client("scheduler").get_schedule(Name=name))


def _configuration_set(aws: Aws, name: str) -> bool:
    return _found(lambda: aws.ses.get_configuration_set(ConfigurationSetName=name))


def _alias(aws: Aws, name: str) -> bool:
    pages = aws.client("kms").get_paginator("list_aliases").paginate()
    return any(alias["AliasName"] == name for page in pages for alias in page["Aliases"])


def _found(get: Callable[[], object]) -> bool:
    try:
        get()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("ResourceNotFoundException", "NotFoundException"):
            return False
        raise
    return True


# A second resource of such a name can't be created. Lengths are those of the Create operations in the API references.
KINDS = {
    "AWS::Events::EventBus": _Kind("event bus", "Name", 256, _bus),
    "AWS::KMS::Alias": _Kind("key alias", "AliasName", 256, _alias),
    "AWS::Logs::LogGroup": _Kind("log group", "LogGroupName", 512, _log_group),
    "AWS::SES::ConfigurationSet": _Kind("configuration set", "Name", 64, _configuration_set),
    "AWS::Scheduler::Schedule": _Kind("schedule", "Name", 64, _schedule),
}


def _named(plan: Plan) -> Iterator[tuple[_Kind, str]]:
    for resource in plan.template.resources.values():
        kind = KINDS.get(resource["Type"])
        if kind and kind.attribute in resource["Properties"]:
            yield kind, plan.with_stack_name(resource["Properties"][kind.attribute])


def stack_name(plan: Plan) -> Question:
    """Return the check of the stack's name."""
    return Question("stack name", lambda: _stack_name(plan))


def _stack_name(plan: Plan) -> Finding:
    if not _STACK_NAME.fullmatch(plan.stack):
        return failed(
            f"{plan.stack!r} is no name for a stack",
            "Use letters, digits and hyphens, a letter first: stack_name in samconfig.toml",
        )
    too_long = [
        f"the {kind.noun} {name} would have {len(name)} characters, {kind.max_length} at most"
        for kind, name in _named(plan)
        if len(name) > kind.max_length
    ]
    if too_long:
        return failed("; ".join(too_long), "Choose a shorter stack_name in samconfig.toml.")
    return passed(plan.stack)


def questions(aws: Aws) -> list[Question]:
    """Return the checks of the stack, of its names and of resources that an earlier stack has left."""
    free = [Question(f"{kind.noun} {name}", partial(_is_free, aws, kind, name)) for kind, name in _named(aws.plan)]
    return [Question("stack", lambda: _stack(aws)), *free, Question("resources left", lambda: _left(aws))]


def _stack(aws: Aws) -> Finding:
    status, name = aws.stack_status, aws.plan.stack
    if status is None:
        return passed("no stack has this name")
    if not aws.is_deployed:
        return failed(f"its creation or removal failed ({status})", f"handoff cleanup --failed-create --stack {name}")
    if status.endswith("_IN_PROGRESS"):
        return failed(f"it is being changed ({status})", "Wait until CloudFormation has finished.")
    if status.endswith("_FAILED"):
        return failed(
            f"its update failed ({status})", f"aws cloudformation continue-update-rollback --stack-name {name}"
        )
    return passed(f"it is deployed ({status}), so this is not its first deployment")


def _is_free(aws: Aws, kind: _Kind, name: str) -> Finding:
    if aws.is_deployed:
        return passed("belongs to the deployed stack, or will")
    if kind.exists(aws, name):
        return failed(
            "it exists already, so a new stack could not create it",
            f"If an earlier attempt left it: handoff cleanup --failed-create --stack {aws.plan.stack}. "
            "Otherwise remove it, or choose another stack_name.",
        )
    return passed("the name is free")


def _left(aws: Aws) -> Finding:
    if aws.is_deployed:
        return passed("the stack is deployed")
    pages = (
        aws.client("resourcegroupstaggingapi")
        .get_paginator("get_resources")
        .paginate(TagFilters=[{"Key": "aws:cloudformation:stack-name", "Values": [aws.plan.stack]}])
    )
    left = [found["ResourceARN"] for page in pages for found in page["ResourceTagMappingList"]]
    if not left:
        return passed("none of an earlier stack of this name")
    shown = ", ".join(left[:_SHOWN]) + (f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else "")
    return warning(
        f"{len(left)} of an earlier stack of this name: {shown}",
        f"They cost money. After a failed first deployment: handoff cleanup --failed-create --stack {aws.plan.stack}",
    )
