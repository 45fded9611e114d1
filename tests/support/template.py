"""template.yaml as CloudFormation that moto can create: the one description of the system, for the tests as well."""

import os
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from samtranslator.translator.managed_policy_translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

PATH = Path(__file__).parents[2] / "template.yaml"
REGION = "eu-central-1"
NAME = "handoff-test"


class _NoManagedPolicies(ManagedPolicyLoader):
    """The template uses none, and looking them up would take a network."""

    def __init__(self) -> None:
        super().__init__(iam_client=None)

    def load(self) -> dict[str, str]:
        return {}


def source() -> dict[str, Any]:
    """The template as it is written."""
    return yaml_parse(PATH.read_text())


def plain_variables() -> dict[str, str]:
    """The environment variables that all functions share and whose values need no more than the stack's name."""
    variables = source()["Globals"]["Function"]["Environment"]["Variables"]
    named = {name: NAME if value == {"Ref": "AWS::StackName"} else value for name, value in variables.items()}
    return {name: value for name, value in named.items() if isinstance(value, str)}


@cache
def translated() -> dict[str, Any]:
    """The template after SAM's transformation: plain CloudFormation."""
    template = source()
    template["Transform"] = "AWS::Serverless-2016-10-31"
    for resource in template["Resources"].values():
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            resource.pop(policy, None)  # a function, which moto does not take; it means nothing in here
        properties = resource.get("Properties", {})
        for code in {"CodeUri", "ContentUri"} & properties.keys():
            properties[code] = "s3://uploaded/elsewhere"
    with patch.dict(os.environ, AWS_DEFAULT_REGION=REGION):
        return transform(template, {}, _NoManagedPolicies())


def of_type(resource_type: str) -> dict[str, dict[str, Any]]:
    """The properties of all resources of one type, by logical id, after SAM's transformation."""
    return {
        name: resource.get("Properties", {})
        for name, resource in translated()["Resources"].items()
        if resource["Type"] == resource_type
    }
