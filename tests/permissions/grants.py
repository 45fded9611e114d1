"""The permissions that the template grants to roles, each with its condition and the parameter that adds it."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dev.template import ROOT, Properties, Template, as_list, logical_id, template_with

# Values that show in the tables which parameter they come from.
_NAMED_AFTER_PARAMETERS = {"MailFrom": "MailFrom", "StripeSecret": "StripeSecret"}
_WEBHOOK = {"PaymentProvider": "stripe", "PaymentEventsSecret": "PaymentEventsSecret"}
_PARTNER = {"PartnerEndpoint": "https://partner.example.com/events", "PartnerSecret": "PartnerSecret"}
# The permissions that a parameter adds: those with the first values, without those with the second.
_SWITCHES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "PaymentProvider=sandbox": ({}, {"PaymentProvider": "stripe"}),
    "PaymentProvider=stripe": ({"PaymentProvider": "stripe"}, {}),
    "PaymentEventsSecret": (_WEBHOOK, {"PaymentProvider": "stripe"}),
    "MailRights=sender": ({}, {"MailRights": "any"}),
    "MailRights=any": ({"MailRights": "any"}, {}),
    "PartnerEndpoint": (_PARTNER, {}),
    "OrdersReadAccess=true": ({"OrdersReadAccess": "true"}, {}),
    "OwnKey=true": ({"OwnKey": "true"}, {}),
    "Canary=true": ({"Canary": "true"}, {}),
}
EVERYTHING = _PARTNER | {"OrdersReadAccess": "true", "OwnKey": "true", "Canary": "true"}


@dataclass(frozen=True, slots=True)
class Permission:
    """One action that a role may do on one resource. Role and resource have their names in the template."""

    role: str
    action: str
    resource: str


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission with its condition, and with the parameters that add it; both empty if it is unconditional."""

    permission: Permission
    condition: str
    only_with: str


def stack(**parameters: str) -> Template:
    """Return the template with these parameters."""
    return template_with(**(_NAMED_AFTER_PARAMETERS | parameters))


def local_parameters() -> dict[str, str]:
    """Return the parameters of the local stack."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())["local"]["deploy"]["parameters"]
    return dict(given.split("=", 1) for given in config["parameter_overrides"])


def permissions_of(found: Template) -> dict[Permission, str]:
    """Return the permissions of all roles of a stack, each with its condition."""
    conditions: dict[Permission, list[str]] = {}
    for name, role in found.of_type("AWS::IAM::Role").items():
        for statement, resource, action in statements(role):
            conditions.setdefault(Permission(name, action, resource_name(resource)), []).append(condition(statement))
    return {permission: "" if "" in wanted else " or ".join(wanted) for permission, wanted in conditions.items()}


def statements(role: Properties) -> Iterator[tuple[Properties, str, str]]:
    """Yield each combination of statement, resource and action in a role's policies."""
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow", "the roles have Allow statements only"
            for resource in as_list(statement["Resource"]):
                for action in as_list(statement["Action"]):
                    yield statement, resource, action


def all_grants() -> list[Grant]:
    """Return the permissions that any choice of parameters grants, role by role."""
    with_it = {name: permissions_of(stack(**on)) for name, (on, _) in _SWITCHES.items()}
    without = {name: permissions_of(stack(**off)) for name, (_, off) in _SWITCHES.items()}
    found = permissions_of(stack())
    for more in with_it.values():
        found |= more
    grants = [
        Grant(given, condition, ", ".join(name for name in _SWITCHES if given in with_it[name].keys() - without[name]))
        for given, condition in found.items()
    ]
    order = list(dict.fromkeys(grant.permission.role for grant in grants))
    return sorted(grants, key=lambda grant: order.index(grant.permission.role))


def owners() -> dict[str, str]:
    """Return who assumes each role: a function, or an AWS service."""
    return _owners_in(stack(**_WEBHOOK)) | _owners_in(stack(**EVERYTHING))


def _owners_in(found: Template) -> dict[str, str]:
    functions = {logical_id(function["Role"]): f"the function {name}" for name, function in found.functions().items()}
    return {
        name: functions.get(name) or ", ".join(as_list(_trusted(role)["Service"]))
        for name, role in found.of_type("AWS::IAM::Role").items()
    }


def _trusted(role: Properties) -> Properties:
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    principal: Properties = statement["Principal"]
    return principal


def resource_name(resource: str) -> str:
    """Return a resource's logical id in the template, or the end of its ARN if it has none."""
    text = re.sub(r"\$\{AWS::(\w+)\}", r"\1", resource.replace("${AWS::URLSuffix}", "amazonaws.com"))
    if text.startswith("arn:"):
        text = text.split(":", 5)[5]
    return re.sub(r"\$\{(\w+)(\.Arn)?\}", r"\1", text)


def condition(statement: Properties) -> str:
    """Return a statement's condition as one line; empty if it has none."""
    conditions: dict[str, dict[str, Any]] = statement.get("Condition", {})
    return ", ".join(
        f"`{key}` is `{'` or `'.join(resource_name(str(value)) for value in as_list(values))}`"
        for wanted in conditions.values()
        for key, values in wanted.items()
    )
