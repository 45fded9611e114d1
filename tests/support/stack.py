"""Handoff's tables, queues, bus and rules in moto, made from template.yaml.

Not by moto's own CloudFormation: it needs packages that nothing else here does, and trips over an event bus in a `Ref`.
What is not known here is an error, not a guess.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moto.dynamodb.models import dynamodb_backends
from moto.ses.models import ses_backends
from moto.sqs.models import sqs_backends

from tests.support import template
from tests.support.template import NAME, REGION

ACCOUNT = "123456789012"  # moto's

_PSEUDO = {
    "AWS::StackName": NAME,
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}
# Of a table, what no function can see. (Moto takes 30 ms to encrypt what it keeps in memory.)
_UNSEEN = {"PointInTimeRecoverySpecification", "TimeToLiveSpecification", "SSESpecification"}

_AS_LOCALLY = {"Audit": "false"}  # no engine delivers events to log groups
_NO_VALUE = object()

Client = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource as `Ref` and `Fn::GetAtt` show it."""

    ref: str
    attributes: dict[str, str]


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue that a function consumes."""

    function: str
    url: str
    arn: str
    dead_letters: str
    batch_size: int


class Stack:
    """The deployed template, as far as the functions use it. Resources are created when something first names them."""

    def __init__(self, client: Client, parameters: dict[str, str] | None = None) -> None:
        self._client = client
        self._template = template.translated()
        defaults = {name: str(given["Default"]) for name, given in self._template["Parameters"].items()}
        self.parameters = defaults | _AS_LOCALLY | (parameters or {})
        self._resources: dict[str, Resource] = {}
        self._environments: dict[str, dict[str, str]] = {}
        for kind in _CREATE:
            for name in template.of_type(kind):
                condition = self._template["Resources"][name].get("Condition")
                if condition is None or self.value(self._template["Conditions"][condition]):
                    self.resource(name)

    def resource(self, name: str) -> Resource:
        """A resource by its logical id."""
        if name not in self._resources:
            described = self._template["Resources"][name]
            create = _CREATE[described["Type"]]
            self._resources[name] = create(self._client, name, self.value(described["Properties"]))
        return self._resources[name]

    def environment(self, function: str) -> dict[str, str]:
        """The environment variables of a function, by its logical id."""
        if function not in self._environments:
            variables = template.of_type("AWS::Lambda::Function")[function]["Environment"]["Variables"]
            self._environments[function] = {name: str(self.value(value)) for name, value in variables.items()}
        return self._environments[function]

    def empty(self) -> None:
        """Take out all items, messages and mails: far cheaper than another stack."""
        for table in dynamodb_backends[ACCOUNT][REGION].tables.values():
            table.items.clear()
        for queue in sqs_backends[ACCOUNT][REGION].queues.values():
            queue.last_purged_at = None  # on a clock that stands still the last test was just now
            sqs_backends[ACCOUNT][REGION].purge_queue(queue.name)
            queue.last_purged_at = None
        ses_backends[ACCOUNT][REGION].sent_messages.clear()

    def handler(self, function: str) -> str:
        """The function's handler, as ``module.name``."""
        return str(template.of_type("AWS::Lambda::Function")[function]["Handler"])

    def timeout(self, function: str) -> int:
        """The function's timeout in seconds."""
        return int(template.of_type("AWS::Lambda::Function")[function]["Timeout"])

    def queues(self) -> list[Queue]:
        """The queues that functions consume, in the template's order."""
        return [self._queue(source) for source in template.of_type("AWS::Lambda::EventSourceMapping").values()]

    def _queue(self, source: dict[str, Any]) -> Queue:
        function, arn = source["FunctionName"]["Ref"], self.value(source["EventSourceArn"])
        variables = self.environment(function)
        return Queue(
            function=function,
            url=variables["QUEUE_URL"],
            arn=arn,
            dead_letters=variables["DEAD_LETTER_QUEUE_URL"],
            batch_size=source["BatchSize"],
        )

    def value(self, node: Any) -> Any:
        """A part of the template with its intrinsic functions evaluated."""
        if isinstance(node, list):
            return [self.value(part) for part in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, argument),) = node.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._evaluate(function, argument)
        values = {name: self.value(part) for name, part in node.items()}
        return {name: value for name, value in values.items() if value is not _NO_VALUE}

    def _evaluate(self, function: str, argument: Any) -> Any:
        match function:
            case "Ref":
                return self._ref(argument)
            case "Fn::GetAtt":
                name, attribute = argument if isinstance(argument, list) else argument.split(".")
                return self.resource(name).attributes[attribute]
            case "Fn::Sub":
                return re.sub(r"\$\{([\w:]+)\}", lambda found: str(self._ref(found[1])), argument)
            case "Fn::If":
                condition, then, otherwise = argument
                return self.value(then if self.value(self._template["Conditions"][condition]) else otherwise)
            case "Fn::Equals":
                left, right = self.value(argument)
                return str(left) == str(right)
            case "Fn::Not":
                return not self.value(argument[0])
            case _:
                raise NotImplementedError(f"{function} in template.yaml: teach tests/support/stack.py")

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in _PSEUDO:
            return _PSEUDO[name]
        return self.parameters[name] if name in self.parameters else self.resource(name).ref


def _table(client: Client, name: str, properties: dict[str, Any]) -> Resource:
    described = {key: value for key, value in properties.items() if key not in _UNSEEN}
    made = client("dynamodb").create_table(TableName=f"{NAME}-{name}", **described)["TableDescription"]
    return Resource(made["TableName"], {"Arn": made["TableArn"]})


def _sqs_queue(client: Client, name: str, properties: dict[str, Any]) -> Resource:
    attributes = {key: value if isinstance(value, str) else json.dumps(value) for key, value in properties.items()}
    url = client("sqs").create_queue(QueueName=f"{NAME}-{name}", Attributes=attributes)["QueueUrl"]
    return Resource(url, {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{NAME}-{name}", "QueueName": f"{NAME}-{name}"})


def _bus(client: Client, name: str, properties: dict[str, Any]) -> Resource:
    arn = client("events").create_event_bus(**properties)["EventBusArn"]
    return Resource(properties["Name"], {"Arn": arn, "Name": properties["Name"]})


def _rule(client: Client, name: str, properties: dict[str, Any]) -> Resource:
    events, bus, targets = client("events"), properties["EventBusName"], properties["Targets"]
    pattern = json.dumps(properties["EventPattern"])
    assert properties.keys() == {"EventBusName", "EventPattern", "Targets"}
    arn = events.put_rule(Name=name, EventBusName=bus, EventPattern=pattern)["RuleArn"]
    failed = events.put_targets(Rule=name, EventBusName=bus, Targets=targets)["FailedEntries"]
    assert not failed
    return Resource(name, {"Arn": arn})


def _mail_configuration(client: Client, name: str, properties: dict[str, Any]) -> Resource:
    client("sesv2").create_configuration_set(ConfigurationSetName=properties["Name"])
    return Resource(properties["Name"], {})


_CREATE: dict[str, Callable[[Client, str, dict[str, Any]], Resource]] = {
    "AWS::DynamoDB::Table": _table,
    "AWS::SQS::Queue": _sqs_queue,
    "AWS::Events::EventBus": _bus,
    "AWS::Events::Rule": _rule,
    "AWS::SES::ConfigurationSet": _mail_configuration,
}
