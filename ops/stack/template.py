"""template.yaml as CloudFormation gets it: transformed by SAM, parameters filled in, conditions decided.

A name that exists only after deployment stays a placeholder: ``${OrdersTable}`` for a Ref, ``${OrdersTable.Arn}`` for
an attribute. A pseudo parameter, such as ``AWS::Region``, stays a placeholder too unless it is given.
"""

import copy
import logging
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]
from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

logging.getLogger("samtranslator").setLevel(logging.ERROR)  # it warns about its internal feature flags
Properties = dict[str, Any]
_NO_VALUE = object()
_STACK_ID = "arn:aws:cloudformation:eu-central-1:123456789012:stack/handoff/0b9b4c1e-8f6e-4b62-9d1f-5c3f8a1d2e07"
_UPLOADED = "s3://uploaded/"  # `sam package` puts an address like this in place of a folder


class NotInTemplate(Exception):
    """The template has no such resource, with these parameters or at all."""


class ResolvedTemplate:
    """The template of one deployment, from SAM's output and the values of parameters; others have their defaults."""

    def __init__(self, template: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        self._conditions = template["Conditions"]
        self._named: set[str] = set()
        declared = {name: parameters.get(name, found["Default"]) for name, found in template["Parameters"].items()}
        self.parameters = declared | {name: value for name, value in parameters.items() if name.startswith("AWS::")}
        self.resources = self._resolved_where_condition_holds(template["Resources"])
        self.outputs = self._resolved_where_condition_holds(template["Outputs"])
        missing = self._named - self.resources.keys()
        if missing:
            raise NotInTemplate(f"referenced, but not in the stack with {parameters}: {sorted(missing)}")
        self._rules: Mapping[str, Any] = template.get("Rules", {})

    def broken_rules(self) -> list[str]:
        """Return what the template's rules say about the parameters; CloudFormation rejects these before it begins."""
        always = {"Fn::Equals": ["", ""]}
        return [
            assertion["AssertDescription"]
            for rule in self._rules.values()
            if self._resolved(rule.get("RuleCondition", always))
            for assertion in rule["Assertions"]
            if not self._resolved(assertion["Assert"])
        ]

    def of_type(self, kind: str) -> dict[str, Properties]:
        """Return the properties of all resources of one type, by logical id."""
        found = {name: found.get("Properties", {}) for name, found in self.resources.items() if found["Type"] == kind}
        if not found:
            raise NotInTemplate(f"the template has no {kind}")
        return found

    def _resolved_where_condition_holds(self, parts: dict[str, Any]) -> dict[str, Any]:
        return {
            name: self._resolved(part)
            for name, part in parts.items()
            if "Condition" not in part or self._holds(part["Condition"])
        }

    def _holds(self, condition: str) -> bool:
        return bool(self._resolved(self._conditions[condition]))

    def _resolved(self, node: Any) -> Any:
        if isinstance(node, list):
            parts = [self._resolved(part) for part in node]
            return [part for part in parts if part is not _NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, argument),) = node.items()
            if function == "Condition" and isinstance(argument, str):
                return self._holds(argument)
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
                return self._resolved(then if self._holds(condition) else otherwise)
            case "Fn::Equals" | "Fn::Not" | "Fn::And" | "Fn::Or" | "Fn::Contains":
                return _decided(function, self._resolved(argument))
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
                raise NotImplementedError(f"{function} in template.yaml: add it to {__name__}")

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


def read(path: Path) -> dict[str, Any]:
    """Return a template as it is written."""
    return copy.deepcopy(_parsed(path.read_text()))


def transformed(template: dict[str, Any], canary: str) -> dict[str, Any]:
    """Return a template after SAM's transformation, which reads one of the parameters."""
    for resource in template["Resources"].values():
        for code in {"CodeUri", "ContentUri"} & resource["Properties"].keys():
            resource["Properties"][code] = _UPLOADED + resource["Properties"][code]
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name="eu-central-1"))
    result: dict[str, Any] = translator.translate(template, parameter_values={"Canary": canary})
    return result


def _decided(function: str, arguments: list[Any]) -> bool:
    match function:
        case "Fn::Equals":
            left, right = arguments
            return str(left) == str(right)
        case "Fn::Not":
            return not arguments[0]
        case "Fn::And":
            return all(arguments)
        case "Fn::Or":
            return any(arguments)
        case _:
            values, value = arguments
            return str(value) in map(str, values)


@cache
def _parsed(text: str) -> dict[str, Any]:
    template: dict[str, Any] = yaml_parse(text)
    return template


def _selected(index: int, parts: list[str]) -> str:
    unknown = len(parts) == 1 and "${" in parts[0]  # until it is deployed
    return f"{parts[0]}[{index}]" if unknown else parts[index]
