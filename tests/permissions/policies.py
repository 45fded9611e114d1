"""The policies of the template's resources, which let EventBridge, the API and CloudWatch use them."""

from collections.abc import Iterator

from dev.template import Properties, as_list
from tests.permissions.grants import EVERYTHING, condition, resource_name, stack

# The property that holds the policy, by resource type.
_POLICIES = {
    "AWS::SQS::QueuePolicy": "PolicyDocument",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
    "AWS::Logs::LogGroup": "ResourcePolicyDocument",
    "AWS::KMS::Key": "KeyPolicy",
}
_NAMES = {"root": "whom IAM allows"}  # the account stands for every identity in it


def table() -> str:
    """Return the table of resource policies, with every optional part of the template."""
    lines = ["| policy | principal | action | resource | only if |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *dict.fromkeys(_rows())])


def _rows() -> Iterator[str]:
    found = stack(**EVERYTHING)
    for name, resource in found.resources.items():
        properties = resource.get("Properties", {})
        policy = properties.get(_POLICIES.get(resource["Type"], ""), {"Statement": []})
        for statement in policy["Statement"]:
            yield from _statement(name, statement)
        if resource["Type"] == "AWS::Lambda::Permission":
            action, function = properties["Action"], resource_name(properties["FunctionName"])
            source = f"`aws:SourceArn` is `{resource_name(properties['SourceArn'])}`"
            yield f"| `{name}` | {properties['Principal']} | `{action}` | `{function}` | {source} |"


def _statement(name: str, statement: Properties) -> Iterator[str]:
    actions = ", ".join(f"`{action}`" for action in as_list(statement["Action"]))
    resources = ", ".join(f"`{resource_name(resource)}`" for resource in as_list(statement["Resource"]))
    may = actions if statement["Effect"] == "Allow" else f"not {actions}"
    yield f"| `{name}` | {_principal(statement['Principal'])} | {may} | {resources} | {condition(statement)} |"


def _principal(principal: str | Properties) -> str:
    if isinstance(principal, str):
        return "everyone" if principal == "*" else principal
    names = [resource_name(value) for values in principal.values() for value in as_list(values)]
    return ", ".join(_NAMES.get(name, name) for name in names)
