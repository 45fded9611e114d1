"""What the template's resources let others do: EventBridge, the API, CloudWatch."""

import json
from collections.abc import Iterator

from dev.template import Properties, as_list
from tests.rights.grants import EVERYTHING, condition, spoken, stack

# Where a resource of each type keeps its policy, if it has one.
_POLICIES = {
    "AWS::SQS::QueuePolicy": "PolicyDocument",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
    "AWS::Logs::ResourcePolicy": "PolicyDocument",
    "AWS::KMS::Key": "KeyPolicy",
}
_NAMES = {"root": "whoever IAM lets"}  # the account stands for all that are in it


def table() -> str:
    """Who may do what by a resource's own policy, with all that a parameter can add."""
    lines = ["| of | who | may | to | only if |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *dict.fromkeys(_rows())])


def _rows() -> Iterator[str]:
    found = stack(**EVERYTHING)
    for name, resource in found.resources.items():
        properties = resource.get("Properties", {})
        if kept := _POLICIES.get(resource["Type"]):
            for statement in _document(properties[kept])["Statement"]:
                yield from _statement(name, statement)
        elif resource["Type"] == "AWS::Lambda::Permission":
            action, function = properties["Action"], spoken(properties["FunctionName"])
            source = f"`aws:SourceArn` is `{spoken(properties['SourceArn'])}`"
            yield f"| `{name}` | {properties['Principal']} | `{action}` | `{function}` | {source} |"


def _statement(name: str, statement: Properties) -> Iterator[str]:
    actions = ", ".join(f"`{action}`" for action in as_list(statement["Action"]))
    resources = ", ".join(f"`{spoken(resource)}`" for resource in as_list(statement["Resource"]))
    may = actions if statement["Effect"] == "Allow" else f"not {actions}"
    yield f"| `{name}` | {_principal(statement['Principal'])} | {may} | {resources} | {condition(statement)} |"


def _principal(principal: str | Properties) -> str:
    if isinstance(principal, str):
        return "everybody" if principal == "*" else principal
    return ", ".join(_NAMES.get(name, name) for values in principal.values() for name in map(spoken, as_list(values)))


def _document(policy: str | Properties) -> Properties:
    document: Properties = json.loads(policy) if isinstance(policy, str) else policy
    return document
