"""template.yaml as CloudFormation gets it: transformed by SAM, parameters put in, conditions decided.

What a resource is called only once it is deployed stays text: ``${OrdersTable}`` for a Ref, ``${OrdersTable.Arn}`` for
an attribute.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]
Properties = dict[str, Any]
# What is not there unless a parameter asks for it.
EVERYTHING = {"PartnerEndpoint": "https://partner.example.com/events", "PartnerSecret": "partner"}
WITH_STRIPE = {"PaymentProvider": "stripe", "StripeSecret": "shop/stripe"}
_NO_VALUE = object()
_STACK_ID = "arn:aws:cloudformation:eu-central-1:123456789012:stack/handoff/0b9b4c1e-8f6e-4b62-9d1f-5c3f8a1d2e07"
_UPLOADED = "s3://uploaded/"  # as `sam package` leaves it: code is in a bucket


class Stack:
    """One deployment of the template, before anything of it exists."""

    def __init__(self, **parameters: str) -> None:
        template = _transformed(parameters.get("Canary", "false"))
        self._conditions = template["Conditions"]
        self._declared = template["Resources"]
        self._named: set[str] = set()
        self.parameters = {
            name: parameters.get(name, declared["Default"]) for name, declared in template["Parameters"].items()
        }
        self.resources = {
            name: self._resolved(resource) for name, resource in self._declared.items() if self._holds(resource)
        }
        self.outputs = {
            name: self._resolved(output) for name, output in template["Outputs"].items() if self._holds(output)
        }
        missing = self._named - self.resources.keys()
        assert not missing, f"named, but not part of the stack with {parameters}: {sorted(missing)}"

    def of_type(self, kind: str) -> dict[str, Properties]:
        """The properties of all resources of one type, by logical id."""
        found = {name: found.get("Properties", {}) for name, found in self.resources.items() if found["Type"] == kind}
        assert found, f"the template has no {kind}"
        return found

    def functions(self) -> dict[str, Properties]:
        """All functions, by the name of their folder."""
        functions = self.of_type("AWS::Lambda::Function").values()
        return {Path(function["Code"]["S3Key"]).name: function for function in functions}

    def consumers(self) -> "list[Consumer]":
        """All functions that consume a queue."""
        return [self._consumer(mapping) for mapping in self.of_type("AWS::Lambda::EventSourceMapping").values()]

    def _consumer(self, mapping: Properties) -> "Consumer":
        queues = self.of_type("AWS::SQS::Queue")
        function_id, queue_id = named(mapping["FunctionName"]), named(mapping["EventSourceArn"])
        function = self.resources[function_id]["Properties"]
        rules = self.of_type("AWS::Events::Rule").items()
        return Consumer(
            name=Path(function["Code"]["S3Key"]).name,
            function=function,
            mapping=mapping,
            queue_id=queue_id,
            queue=queues[queue_id],
            dead_letters_id=named(queues[queue_id]["RedrivePolicy"]["deadLetterTargetArn"]),
            rules={name: rule for name, rule in rules if f"${{{queue_id}.Arn}}" in targets_of(rule)},
        )

    def _holds(self, part: Properties) -> bool:
        return "Condition" not in part or self._decided(part["Condition"])

    def _decided(self, condition: str) -> bool:
        return bool(self._resolved(self._conditions[condition]))

    def _resolved(self, node: Any) -> Any:
        if isinstance(node, list):
            parts = [self._resolved(part) for part in node]
            return [part for part in parts if part is not _NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, argument),) = node.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._evaluated(function, argument)
        values = {name: self._resolved(part) for name, part in node.items()}
        return {name: value for name, value in values.items() if value is not _NO_VALUE}

    def _evaluated(self, function: str, argument: Any) -> Any:
        match function:
            case "Ref":
                return self._reference(argument)
            case "Fn::GetAtt":
                return self._reference(argument if isinstance(argument, str) else ".".join(argument))
            case "Fn::Sub":
                text, own = (argument, {}) if isinstance(argument, str) else (argument[0], self._resolved(argument[1]))
                return self._substituted(text, own)
            case "Fn::If":
                condition, then, otherwise = argument
                return self._resolved(then if self._decided(condition) else otherwise)
            case "Fn::Equals":
                left, right = self._resolved(argument)
                return str(left) == str(right)
            case "Fn::Not":
                return not self._resolved(argument[0])
            case "Fn::Select":
                index, parts = self._resolved(argument)
                return _selected(int(index), parts)
            case "Fn::Split":
                separator, text = self._resolved(argument)
                return text.split(separator)
            case "Fn::Join":
                separator, parts = self._resolved(argument)
                return separator.join(str(part) for part in parts)
            case _:
                raise NotImplementedError(f"{function}: teach tests/template/translated.py")

    def _substituted(self, text: str, own: Properties) -> str:
        def value(found: re.Match[str]) -> str:
            return str(own[found[1]] if found[1] in own else self._reference(found[1]))

        return re.sub(r"\$\{([\w:.]+)\}", value, text)

    def _reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in self.parameters:
            return self.parameters[name]
        if name == "AWS::StackId":
            return _STACK_ID
        if not name.startswith("AWS::"):
            self._named.add(name.partition(".")[0])
        return f"${{{name}}}"


@dataclass(frozen=True)
class Consumer:
    """A function that consumes a queue, and what belongs to it."""

    name: str
    function: Properties
    mapping: Properties
    queue_id: str
    queue: Properties
    dead_letters_id: str
    rules: dict[str, Properties]

    @property
    def variables(self) -> Properties:
        """The function's environment."""
        return variables_of(self.function)


def named(reference: str) -> str:
    """The logical id in a reference."""
    found = re.fullmatch(r"\$\{(\w+)(\.\w+)?\}", reference)
    assert found, f"{reference} does not name a resource of the stack"
    return found[1]


def targets_of(rule: Properties) -> set[str]:
    """Where a rule sends its events."""
    return {target["Arn"] for target in rule["Targets"]}


def variables_of(function: Properties) -> Properties:
    """A function's environment."""
    variables: Properties = function["Environment"]["Variables"]
    return variables


def as_list(value: Any) -> list[Any]:
    """What CloudFormation and IAM let one write as one or as a list."""
    return value if isinstance(value, list) else [value]


@cache
def stack(**parameters: str) -> Stack:
    """The stack with these parameters, the others at their defaults."""
    return Stack(**parameters)


def source() -> dict[str, Any]:
    """The template as it is written."""
    template: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())
    return template


def transformed(template: dict[str, Any], canary: str) -> dict[str, Any]:
    """A template after SAM's transformation, which itself looks at one of the parameters."""
    for resource in template["Resources"].values():
        for code in {"CodeUri", "ContentUri"} & resource["Properties"].keys():
            resource["Properties"][code] = _UPLOADED + resource["Properties"][code]
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name="eu-central-1"))
    result: dict[str, Any] = translator.translate(template, parameter_values={"Canary": canary})
    return result


def _selected(index: int, parts: list[str]) -> str:
    unknown = len(parts) == 1 and "${" in parts[0]  # until it is deployed
    return f"{parts[0]}[{index}]" if unknown else parts[index]


@cache
def _transformed(canary: str) -> dict[str, Any]:
    return transformed(source(), canary)
