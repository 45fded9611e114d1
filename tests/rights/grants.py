"""Every right that the template gives to a role: who may do what to what, on which condition, with which parameter."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dev.template import ROOT, Properties, Template, as_list, logical_id, template_with

# Values that tell in the tables which parameter they come from.
_NAMED_AFTER_PARAMETERS = {"MailFrom": "MailFrom", "StripeSecret": "StripeSecret"}
_PARTNER = {"PartnerEndpoint": "https://partner.example.com/events", "PartnerSecret": "PartnerSecret"}
# What a parameter adds is what the stack has with the first values and has not with the second.
_SWITCHES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "PaymentProvider=sandbox": ({}, {"PaymentProvider": "stripe"}),
    "PaymentProvider=stripe": ({"PaymentProvider": "stripe"}, {}),
    "MailRights=sender": ({}, {"MailRights": "any"}),
    "MailRights=any": ({"MailRights": "any"}, {}),
    "PartnerEndpoint": (_PARTNER, {}),
    "OwnKey=true": ({"OwnKey": "true"}, {}),
    "Canary=true": ({"Canary": "true"}, {}),
}
EVERYTHING = _PARTNER | {"OwnKey": "true", "Canary": "true"}


@dataclass(frozen=True, slots=True)
class Right:
    """One action that a role may do to one resource; both by their names in the template."""

    role: str
    action: str
    resource: str


@dataclass(frozen=True, slots=True)
class Grant:
    """A right as the template gives it: on a condition, and only with some parameters; empty if always."""

    right: Right
    condition: str
    only_with: str


def stack(**parameters: str) -> Template:
    """The template with these parameters."""
    return template_with(**(_NAMED_AFTER_PARAMETERS | parameters))


def local_parameters() -> dict[str, str]:
    """What the local stack is deployed with."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())["local"]["deploy"]["parameters"]
    return dict(given.split("=", 1) for given in config["parameter_overrides"])


def rights(found: Template) -> dict[Right, str]:
    """All rights of a stack's roles, each with its condition."""
    conditions: dict[Right, list[str]] = {}
    for name, role in found.of_type("AWS::IAM::Role").items():
        for statement, resource, action in each(role):
            conditions.setdefault(Right(name, action, spoken(resource)), []).append(condition(statement))
    return {right: "" if "" in wanted else " or ".join(wanted) for right, wanted in conditions.items()}


def each(role: Properties) -> Iterator[tuple[Properties, str, str]]:
    """Every statement, resource and action of a role's policies."""
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow", "a role of ours is told what it may do, nothing else"
            for resource in as_list(statement["Resource"]):
                for action in as_list(statement["Action"]):
                    yield statement, resource, action


def all_grants() -> list[Grant]:
    """Every right that any choice of parameters gives, role by role."""
    with_it = {name: rights(stack(**on)) for name, (on, _) in _SWITCHES.items()}
    without = {name: rights(stack(**off)) for name, (_, off) in _SWITCHES.items()}
    found = rights(stack())
    for more in with_it.values():
        found |= more
    grants = [
        Grant(right, condition, ", ".join(name for name in _SWITCHES if right in with_it[name].keys() - without[name]))
        for right, condition in found.items()
    ]
    order = list(dict.fromkeys(grant.right.role for grant in grants))
    return sorted(grants, key=lambda grant: order.index(grant.right.role))


def owners() -> dict[str, str]:
    """Who acts under each role: a function, or a service of AWS's."""
    found = stack(**EVERYTHING)
    functions = {logical_id(function["Role"]): f"the function {name}" for name, function in found.functions().items()}
    return {
        name: functions.get(name) or ", ".join(as_list(_trusted(role)["Service"]))
        for name, role in found.of_type("AWS::IAM::Role").items()
    }


def _trusted(role: Properties) -> Properties:
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    principal: Properties = statement["Principal"]
    return principal


def spoken(resource: str) -> str:
    """A resource by its logical id in the template where it has one, otherwise by the end of its ARN."""
    text = re.sub(r"\$\{AWS::(\w+)\}", r"\1", resource)
    if text.startswith("arn:"):
        text = text.split(":", 5)[5]
    return re.sub(r"\$\{(\w+)(\.Arn)?\}", r"\1", text)


def condition(statement: Properties) -> str:
    """A statement's condition in a line; empty if it has none."""
    conditions: dict[str, dict[str, Any]] = statement.get("Condition", {})
    return ", ".join(
        f"`{key}` is `{'` or `'.join(spoken(str(value)) for value in as_list(values))}`"
        for wanted in conditions.values()
        for key, values in wanted.items()
    )
