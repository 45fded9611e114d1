"""The repository's template.yaml, resolved for a set of parameters, with its functions and consumers."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ops.stack.template import NotInTemplate, Properties, ResolvedTemplate, read, transformed

__all__ = [  # with what callers need of the template's reader
    "ROOT",
    "WITH_PARTNER",
    "WITH_PAYMENT_EVENTS",
    "WITH_STRIPE",
    "Consumer",
    "NotInTemplate",
    "Properties",
    "Template",
    "as_list",
    "folder_of",
    "logical_id",
    "shared_variables",
    "source",
    "targets_of",
    "template_with",
    "transformed",
    "variables_of",
]

ROOT = Path(__file__).parents[1]
# Parameters that add the partner's resources, those that choose Stripe, and its webhook.
WITH_PARTNER = {"PartnerEndpoint": "https://partner.example.com/events", "PartnerSecret": "partner"}
WITH_STRIPE = {"PaymentProvider": "stripe", "StripeSecret": "shop/stripe"}
WITH_PAYMENT_EVENTS = {**WITH_STRIPE, "PaymentEventsSecret": "shop/stripe-webhook"}


class Template(ResolvedTemplate):
    """The template of one deployment."""

    def __init__(self, **parameters: str) -> None:
        super().__init__(_transformed(parameters.get("Canary", "false")), parameters)

    def functions(self) -> dict[str, Properties]:
        """Return all functions by the name of their folder."""
        return {folder_of(function): function for function in self.of_type("AWS::Lambda::Function").values()}

    def consumers(self) -> "list[Consumer]":
        """Return all functions that consume a queue."""
        return [self._consumer(mapping) for mapping in self.of_type("AWS::Lambda::EventSourceMapping").values()]

    def event_consumers(self) -> "list[Consumer]":
        """Return the consumers of Handoff's own events, which come from the stack's bus."""
        return [
            found
            for found in self.consumers()
            if any(rule["EventBusName"] == "${Bus}" for rule in found.rules.values())
        ]

    def _consumer(self, mapping: Properties) -> "Consumer":
        function_id, queue_id = logical_id(mapping["FunctionName"]), logical_id(mapping["EventSourceArn"])
        function, queue = (self.resources[name]["Properties"] for name in (function_id, queue_id))
        rules = self.of_type("AWS::Events::Rule").items()
        return Consumer(
            name=folder_of(function),
            function_id=function_id,
            function=function,
            mapping=mapping,
            queue_id=queue_id,
            queue=queue,
            dead_letters_id=logical_id(queue["RedrivePolicy"]["deadLetterTargetArn"]),
            rules={name: rule for name, rule in rules if f"${{{queue_id}.Arn}}" in targets_of(rule)},
        )


@dataclass(frozen=True)
class Consumer:
    """A function that consumes a queue, with its queue, its rules and its dead-letter queue."""

    name: str
    function_id: str
    function: Properties
    mapping: Properties
    queue_id: str
    queue: Properties
    dead_letters_id: str
    rules: dict[str, Properties]

    @property
    def detail_types(self) -> set[str]:
        """The types of events that its rules name."""
        return {name for rule in self.rules.values() for name in rule["EventPattern"]["detail-type"]}

    @property
    def variables(self) -> Properties:
        """The function's environment variables."""
        return variables_of(self.function)


@cache
def template_with(**parameters: str) -> Template:
    """Return the template with these parameters and the others at their defaults."""
    return Template(**parameters)


def source() -> dict[str, Any]:
    """Return the template as it is written."""
    return read(ROOT / "template.yaml")


def shared_variables(stack_name: str) -> dict[str, str]:
    """Return the environment variables of all functions whose values need no more than the stack's name."""
    variables = source()["Globals"]["Function"]["Environment"]["Variables"]
    named = {name: stack_name if value == {"Ref": "AWS::StackName"} else value for name, value in variables.items()}
    return {name: value for name, value in named.items() if isinstance(value, str)}


def logical_id(reference: str) -> str:
    """Return the logical id in a placeholder."""
    found = re.fullmatch(r"\$\{(\w+)(\.\w+)?\}", reference)
    if found is None:
        raise NotInTemplate(f"{reference} does not name a resource of the stack")
    return found[1]


def folder_of(function: Properties) -> str:
    """Return the name of the folder that holds a function's code."""
    return Path(function["Code"]["S3Key"]).name


def targets_of(rule: Properties) -> set[str]:
    """Return the ARNs that a rule sends events to."""
    return {target["Arn"] for target in rule["Targets"]}


def variables_of(function: Properties) -> Properties:
    """Return a function's environment variables."""
    variables: Properties = function["Environment"]["Variables"]
    return variables


def as_list(value: Any) -> list[Any]:
    """Return a list where CloudFormation and IAM accept one value or a list."""
    return value if isinstance(value, list) else [value]


@cache
def _transformed(canary: str) -> dict[str, Any]:
    return transformed(source(), canary)
