"""The names that CloudFormation derives from a stack's name, which limit its length."""

import re
from collections.abc import Iterator

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from dev.template import ROOT, WITH_PARTNER, WITH_STRIPE, Template, template_with
from tests.template import test_samconfig

STACK = "${AWS::StackName}"
CLOUDFORMATION = 128  # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html


def names(template: Template) -> Iterator[tuple[str, str, str]]:
    """Yield the type, the property and the value of each property that contains the stack's name."""
    for resource in template.resources.values():
        for name, value in resource.get("Properties", {}).items():
            if isinstance(value, str) and STACK in value:
                yield resource["Type"], name, value


def longest(template: Template) -> int:
    """Return the length in characters of the longest stack name with which every derived name is valid."""
    derived = list(names(template))
    assert ("AWS::Scheduler::Schedule", "Name") in {(kind, attribute) for kind, attribute, _ in derived}
    return max(
        length
        for length in range(1, CLOUDFORMATION + 1)
        if all(_is_valid(kind, attribute, value.replace(STACK, "a" * length)) for kind, attribute, value in derived)
    )


def _is_valid(kind: str, attribute: str, value: str) -> bool:
    """Whether CloudFormation's schema of a resource type accepts the value."""
    allowed = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["properties"][attribute]
    return len(value) <= allowed.get("maxLength", len(value)) and bool(re.search(allowed.get("pattern", ""), value))


def test_the_docs_name_the_longest_stack_name() -> None:
    """No rule of a template can measure a name, so `handoff preflight` does, and the docs say it."""
    everything = template_with(**WITH_PARTNER, **WITH_STRIPE, OwnKey="true", Canary="true")
    limit = longest(everything)
    assert limit == 56  # + "-sweeper" = 64
    assert f"at most {limit} characters" in (ROOT / "docs/how-to/deploy.md").read_text()


@pytest.mark.parametrize("deployment", test_samconfig.DEPLOYMENTS)
def test_every_deployment_has_a_valid_stack_name(deployment: str) -> None:
    name = test_samconfig.CONFIG[deployment]["deploy"]["parameters"]["stack_name"]
    assert len(name) <= longest(test_samconfig.deployed(deployment))
