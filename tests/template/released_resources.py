"""Released resources that store data. If one is renamed or replaced, CloudFormation abandons or deletes its data.

``python -m tests.template.released_resources`` adds new resources to the list, and writes the snapshot of the whole
template. It does not change existing entries of the list.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dev.template import ROOT, WITH_PARTNER, WITH_PAYMENT_EVENTS, Properties, Template, template_with
from tests.template import snapshot

LIST = ROOT / "tests/template/released_resources.toml"
_CONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
_PROGRAMS = dict.fromkeys(("OrdersReadAccess", "OrdersAccess", "RefundsAccess", "ShipmentsAccess"), "true")
_EVERYTHING = {**WITH_PARTNER, **_PROGRAMS, "OwnKey": "true", "Canary": "true"}
_HEAD = """\
# Released resources that store data. `.venv/bin/python -m tests.template.released_resources` adds new ones.
# Edit it by hand only to abandon a resource for good: empty it, remove it from the stacks, then from this list.
"""
Released = dict[str, Any]

# Properties whose change makes CloudFormation replace the resource, or fail. (AWS's resource reference: "Update
# requires: Replacement"; for a user pool and a key also properties that can't be changed at all.)
FIXED = {
    "AWS::DynamoDB::Table": ("TableName", "KeySchema", "ImportSourceSpecification"),
    "AWS::SQS::Queue": ("QueueName", "FifoQueue"),
    "AWS::Logs::LogGroup": ("LogGroupName",),
    "AWS::Events::EventBus": ("Name",),
    "AWS::Events::Archive": ("ArchiveName", "SourceArn"),
    "AWS::KMS::Key": ("KeySpec", "KeyUsage", "MultiRegion", "Origin"),
    "AWS::Cognito::UserPool": ("AliasAttributes", "Schema", "UsernameAttributes", "UsernameConfiguration"),
    "AWS::Cognito::UserPoolClient": ("GenerateSecret", "UserPoolId"),
}


def deployments() -> dict[str, dict[str, str]]:
    """Return the parameters of typical deployments on AWS, by name."""
    configured = {
        name: dict(pair.split("=", 1) for pair in _CONFIG[name]["deploy"]["parameters"]["parameter_overrides"])
        for name in ("dev", "prod")
    }
    elsewhere = {"JwtIssuer": "https://issuer.example.com", "JwtAudience": "shop", **WITH_PAYMENT_EVENTS}
    plain = {"SavedQueries": "false", "MailFeedback": "false", "RequireTls": "false"}
    return {**configured, "everything": _EVERYTHING, "elsewhere": elsewhere, "plain": plain}


def stateful(template: Template) -> dict[str, Released]:
    """Return the resources that store data, by logical id: their type, and the properties that must not change."""
    return {
        name: {"type": resource["Type"], "fixed": _fixed(resource["Type"], resource.get("Properties", {}))}
        for name, resource in template.resources.items()
        if resource["Type"] in FIXED
    }


def _fixed(kind: str, properties: Properties) -> dict[str, str]:
    fixed = {name: properties[name] for name in FIXED[kind] if name in properties}
    if kind == "AWS::DynamoDB::Table":
        keys = {key["AttributeName"] for key in properties["KeySchema"]}
        types = {each["AttributeName"]: each["AttributeType"] for each in properties["AttributeDefinitions"]}
        fixed["AttributeTypes"] = {name: types[name] for name in sorted(keys)}
    return {name: json.dumps(value, sort_keys=True) for name, value in fixed.items()}


def current() -> dict[str, Released]:
    """Return the template's resources in the form of the list."""
    found: dict[str, Released] = {}
    for deployment, parameters in deployments().items():
        for name, resource in stateful(template_with(**parameters)).items():
            found.setdefault(name, resource | {"deployments": []})["deployments"].append(deployment)
    return found


def listed(path: Path = LIST) -> dict[str, Released]:
    """Return the list."""
    return tomllib.loads(path.read_text())


def lost(released: Mapping[str, Released], template: Template, deployment: str) -> list[str]:
    """Return a line for each released resource that a deployment would lose, with what to do instead."""
    there = stateful(template)
    expected = {name: resource for name, resource in released.items() if deployment in resource["deployments"]}
    return [
        f"{deployment}: {complaint}"
        for name, resource in expected.items()
        for complaint in _complaints(name, resource, there.get(name))
    ]


def _complaints(name: str, released: Released, now: Released | None) -> Iterator[str]:
    if now is None or now["type"] != released["type"]:
        yield (
            f"{name} ({released['type']}) is no longer in the stack, so its data is abandoned or deleted. "
            "Restore its logical id."
        )
        return
    for fixed in sorted({changed for changed, _ in released["fixed"].items() ^ now["fixed"].items()}):
        yield (
            f"{name}.{fixed} has changed, so CloudFormation would replace it by an empty {released['type']}. "
            "Undo the change, or add a second resource and move the data there."
        )


def written(resources: Mapping[str, Released]) -> str:
    """Return a list as text."""
    parts = [_HEAD]
    for name, resource in sorted(resources.items()):
        fixed = [f"fixed.{key} = '{value}'" for key, value in sorted(resource["fixed"].items())] or ["fixed = {}"]
        head = [f"[{name}]", f'type = "{resource["type"]}"', f"deployments = {json.dumps(resource['deployments'])}"]
        parts.append("\n".join([*head, *fixed, ""]))
    return "\n".join(parts)


def extend(path: Path = LIST) -> None:
    """Add the resources that are not on the list yet."""
    path.write_text(written({**current(), **(listed(path) if path.exists() else {})}))


if __name__ == "__main__":
    extend()
    snapshot.write()
