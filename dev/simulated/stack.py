"""Handoff's tables, queues, bus and rules in moto, made from template.yaml.

Moto's own CloudFormation is not used: it needs packages that nothing else here does, and fails on an event bus in a
`Ref`. A type of resource that is not known here is an error, not a guess.
"""

import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moto.dynamodb.models import dynamodb_backends
from moto.ses.models import ses_backends
from moto.sqs.models import sqs_backends

from dev.simulated.account import ACCOUNT, REGION, STACK_NAME
from dev.template import Consumer, Properties, template_with, variables_of

_PSEUDO = {
    "AWS::StackName": STACK_NAME,
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}
# Properties of a table that no function can see. (Moto takes 30 ms to encrypt a table in memory.)
_UNSEEN = {"PointInTimeRecoverySpecification", "TimeToLiveSpecification", "SSESpecification"}

_AS_LOCALLY = {
    "Audit": "false",  # no engine delivers events to log groups
    "PackAfter": "0",  # most tests are not about the cancel window
    "OrdersPerHour": "1000000",  # nor about the limits of a user
    "DeclinesPerHour": "1000000",
    "SweeperThreads": "1",  # moto is not thread-safe
}

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


class SimulatedStack:
    """The deployed template, as far as the functions use it."""

    def __init__(self, client: Client, parameters: dict[str, str] | None = None) -> None:
        self._client = client
        self.template = template_with(**_AS_LOCALLY | (parameters or {}))
        self.parameters = {name: str(value) for name, value in self.template.parameters.items()}
        self._resources: dict[str, Resource] = {}
        self._environments: dict[str, dict[str, str]] = {}
        self._functions = self.template.of_type("AWS::Lambda::Function")
        for kind in _CREATE:
            for name in self.template.of_type(kind):
                self.resource(name)

    def resource(self, name: str) -> Resource:
        """Return a resource by its logical id, created when something first refers to it."""
        if name not in self._resources:
            described = self.template.resources[name]
            create = _CREATE[described["Type"]]
            self._resources[name] = create(self._client, name, self._filled(described["Properties"]))
        return self._resources[name]

    def environment(self, function: str) -> dict[str, str]:
        """Return the environment variables of a function, by its logical id."""
        if function not in self._environments:
            variables = variables_of(self._function(function))
            self._environments[function] = {name: str(self._filled(value)) for name, value in variables.items()}
        return self._environments[function]

    def empty(self) -> None:
        """Remove all items, messages and mails: far cheaper than another stack."""
        for table in _tables().values():
            table.items.clear()
        for queue in sqs_backends[ACCOUNT][REGION].queues.values():
            queue.last_purged_at = None  # on a clock that stands still, the last purge was just now
            sqs_backends[ACCOUNT][REGION].purge_queue(queue.name)
            queue.last_purged_at = None
        ses_backends[ACCOUNT][REGION].sent_messages.clear()

    def items(self) -> dict[str, Any]:
        """Return a copy of all items, for `restore`."""
        return {name: copy.deepcopy(table.items) for name, table in _tables().items()}

    def restore(self, items: dict[str, Any]) -> None:
        """Replace all items by those of `items`."""
        for name, table in _tables().items():
            table.items = copy.deepcopy(items[name])

    def handler(self, function: str) -> str:
        """Return the function's handler, as ``module.name``."""
        return str(self._function(function)["Handler"])

    def timeout(self, function: str) -> int:
        """Return the function's timeout in seconds."""
        return int(self._function(function)["Timeout"])

    def queues(self) -> list[Queue]:
        """Return the queues that functions consume, in the template's order."""
        return [self._queue(consumer) for consumer in self.template.consumers()]

    def _queue(self, consumer: Consumer) -> Queue:
        variables = self.environment(consumer.function_id)
        return Queue(
            function=consumer.function_id,
            url=variables["QUEUE_URL"],
            arn=self.resource(consumer.queue_id).attributes["Arn"],
            dead_letters=variables["DEAD_LETTER_QUEUE_URL"],
            batch_size=consumer.mapping["BatchSize"],
        )

    def _function(self, name: str) -> Properties:
        return self._functions[name]

    def _filled(self, node: Any) -> Any:
        """Return a part of the template with its placeholders replaced."""
        if isinstance(node, list):
            return [self._filled(part) for part in node]
        if isinstance(node, dict):
            return {name: self._filled(part) for name, part in node.items()}
        if isinstance(node, str):
            return re.sub(r"\$\{([\w:]+)(?:\.(\w+))?\}", lambda found: self._name(*found.groups()), node)
        return node

    def _name(self, name: str, attribute: str | None) -> str:
        if name in _PSEUDO:
            return _PSEUDO[name]
        resource = self.resource(name)
        return resource.attributes[attribute] if attribute else resource.ref


def _tables() -> dict[str, Any]:
    """Return moto's tables by name."""
    return dynamodb_backends[ACCOUNT][REGION].tables


def _table(client: Client, name: str, properties: dict[str, Any]) -> Resource:
    described = {key: value for key, value in properties.items() if key not in _UNSEEN}
    made = client("dynamodb").create_table(TableName=f"{STACK_NAME}-{name}", **described)["TableDescription"]
    return Resource(made["TableName"], {"Arn": made["TableArn"]})


def _sqs_queue(client: Client, name: str, properties: dict[str, Any]) -> Resource:
    attributes = {key: value if isinstance(value, str) else json.dumps(value) for key, value in properties.items()}
    url = client("sqs").create_queue(QueueName=f"{STACK_NAME}-{name}", Attributes=attributes)["QueueUrl"]
    return Resource(
        url, {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{STACK_NAME}-{name}", "QueueName": f"{STACK_NAME}-{name}"}
    )


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
