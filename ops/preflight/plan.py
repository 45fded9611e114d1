"""The planned deployment: template.yaml with the parameters of an environment in samconfig.toml."""

import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.preflight.check import Finding, Question, failed, passed
from ops.stack.template import ResolvedTemplate, read, transformed
from shop import countries

TEMPLATE = "template.yaml"
CONFIG = "samconfig.toml"
_LONGEST_DESCRIPTION = 256  # characters (https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html)


class PlanError(Exception):
    """The files or options do not name a deployment."""


@dataclass(frozen=True)
class Plan:
    """A deployment that may not exist yet. ``region`` is that of samconfig.toml, None if it has none."""

    folder: Path
    environment: str
    stack: str
    region: str | None
    declared: Mapping[str, Mapping[str, Any]]  # the template's parameters
    template: ResolvedTemplate

    def parameter(self, name: str) -> str:
        """Return the value of a parameter."""
        return str(self.template.parameters[name])

    @property
    def keeps_data(self) -> bool:
        """Whether it is for real customers, as far as the parameters say."""
        return self.parameter("DataPolicy") == "Retain"

    def with_stack_name(self, text: str) -> str:
        """Fill in the stack's name."""
        return text.replace("${AWS::StackName}", self.stack)


def plan(folder: Path, environment: str, overrides: str | None) -> Plan:
    """Return the deployment that ``sam deploy`` with these options would make.

    ``overrides`` replaces the list in samconfig.toml, as it does for SAM.

    Raises
    ------
    PlanError
        If files, environment or parameters do not exist.
    """
    for name in (TEMPLATE, CONFIG):
        if not (folder / name).is_file():
            raise PlanError(f"There is no {name} in {folder}. Run this in Handoff's folder, as for sam deploy.")
    configured = tomllib.loads((folder / CONFIG).read_text())
    options = _options(configured, environment)
    if "stack_name" not in options:
        known = ", ".join(name for name in configured if "stack_name" in _options(configured, name))
        raise PlanError(f"{CONFIG} has no environment {environment!r} with a stack_name, only {known}.")
    parameters = _pairs(options.get("parameter_overrides", []) if overrides is None else overrides)
    source = read(folder / TEMPLATE)
    unknown = parameters.keys() - source["Parameters"].keys()
    if unknown:
        raise PlanError(f"{TEMPLATE} has no parameter {', '.join(sorted(unknown))}.")
    return Plan(
        folder=folder,
        environment=environment,
        stack=options["stack_name"],
        region=options.get("region"),
        declared=source["Parameters"],
        template=ResolvedTemplate(transformed(source, parameters.get("Canary", "false")), parameters),
    )


def _options(configured: Mapping[str, Any], environment: str) -> Mapping[str, Any]:
    """Return the options of ``sam deploy`` in an environment, empty if it does not exist."""
    table = configured.get(environment)
    found: Mapping[str, Any] = table["deploy"]["parameters"] if isinstance(table, dict) and "deploy" in table else {}
    return found


def _pairs(given: str | Sequence[str]) -> dict[str, str]:
    pairs = shlex.split(given) if isinstance(given, str) else given
    bad = [pair for pair in pairs if "=" not in pair or pair.startswith("ParameterKey=")]
    if bad:
        raise PlanError(f"{bad[0]!r} is not a parameter. Write Name=value, with a space between two of them.")
    return dict(pair.split("=", 1) for pair in pairs)


def values(planned: Plan) -> Question:
    """Return the check of the parameters' values."""
    return Question("parameters", lambda: _parameters(planned))


def _parameters(planned: Plan) -> Finding:
    problems = [
        f"{name}={planned.parameter(name)}: {problem}"
        for name, declared in planned.declared.items()
        if (problem := _problem(declared, planned.parameter(name)))
    ]
    problems += planned.template.broken_rules()
    problems += _shipping_problems(planned)
    if problems:
        return failed("; ".join(problems), "Change the parameters: docs/reference/parameters.md")
    return passed(f"of {planned.environment}")


def _shipping_problems(planned: Plan) -> list[str]:
    """Return what the orders function would say about its countries, and Lambda about the version's description."""
    try:
        countries.parsed(planned.parameter("ShipsTo"))
    except ValueError as error:
        return [f"ShipsTo={planned.parameter('ShipsTo')}: {error}"]
    descriptions = [version["Description"] for version in planned.template.of_type("AWS::Lambda::Version").values()]
    if any(len(description) > _LONGEST_DESCRIPTION for description in descriptions):
        problem = "ShipsTo and StripeSecret are too long together for the description of a function's version"
        return [f"{problem}: list fewer countries, or shorten the name of the secret"]
    return []


def _problem(declared: Mapping[str, Any], value: str) -> str:
    """Return what CloudFormation would say about a value; empty if it accepts it."""
    constraint = declared.get("ConstraintDescription", "")
    if "AllowedValues" in declared and value not in map(str, declared["AllowedValues"]):
        return constraint or f"must be one of {', '.join(map(str, declared['AllowedValues']))}"
    if not re.fullmatch(declared.get("AllowedPattern", "(?s:.*)"), value):
        return constraint or f"must match {declared['AllowedPattern']}"
    if len(value) > declared.get("MaxLength", len(value)):
        return f"must have at most {declared['MaxLength']} characters"
    if declared["Type"] == "Number":
        return _number_problem(declared, value)
    return ""


def _number_problem(declared: Mapping[str, Any], value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return "must be a number"
    if number < declared.get("MinValue", number):
        return f"must be at least {declared['MinValue']}"
    if number > declared.get("MaxValue", number):
        return f"must be at most {declared['MaxValue']}"
    return ""
