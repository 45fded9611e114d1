"""A deployed Handoff, on AWS or on the local stack, with its resources by their names in template.yaml."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from handoff.attribute_values import from_item

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.client import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackResourceSummaryTypeDef, StackTypeDef
    from mypy_boto3_cloudwatch.client import CloudWatchClient
    from mypy_boto3_cognito_idp.client import CognitoIdentityProviderClient
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_events.client import EventBridgeClient
    from mypy_boto3_logs.client import CloudWatchLogsClient
    from mypy_boto3_sqs.client import SQSClient

DEFAULT_STACK = "handoff"
_FIRST = ("emails", "analytics", "fulfillment", "settlement", "partners", "feedback")  # in tables; others by name
_OF_SES = "feedback"  # the one consumer of events that are not Handoff's own
_REQUIRED = "OrdersTable"  # every Handoff has it
# A person waits. With botocore's defaults, a command would hang for three minutes where packets are lost.
CLIENT_CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})

_logger = logging.getLogger(__name__)


class NoSuchStack(Exception):
    """There is no such stack in the account and region of the credentials."""


class NoSuchResource(Exception):
    """The stack lacks a resource of this version's template."""


@dataclass(frozen=True)
class Deployment:
    """One stack. ``endpoint`` is the local stack's address, None for AWS."""

    stack: str
    session: boto3.Session
    endpoint: str | None = None

    @cached_property
    def cloudformation(self) -> "CloudFormationClient":
        """A CloudFormation client."""
        return self.session.client("cloudformation", endpoint_url=self.endpoint, config=CLIENT_CONFIG)

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        """A DynamoDB client."""
        return self.session.client("dynamodb", endpoint_url=self.endpoint, config=CLIENT_CONFIG)

    @cached_property
    def sqs(self) -> "SQSClient":
        """An SQS client."""
        return self.session.client("sqs", endpoint_url=self.endpoint, config=CLIENT_CONFIG)

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        """A CloudWatch Logs client."""
        return self.session.client("logs", endpoint_url=self.endpoint, config=CLIENT_CONFIG)

    @cached_property
    def cloudwatch(self) -> "CloudWatchClient":
        """A CloudWatch client."""
        return self.session.client("cloudwatch", endpoint_url=self.endpoint, config=CLIENT_CONFIG)

    @cached_property
    def events(self) -> "EventBridgeClient":
        """An EventBridge client."""
        return self.session.client("events", endpoint_url=self.endpoint, config=CLIENT_CONFIG)

    @cached_property
    def cognito(self) -> "CognitoIdentityProviderClient":
        """A Cognito client."""
        return self.session.client("cognito-idp", endpoint_url=self.endpoint, config=CLIENT_CONFIG)

    def client(self, service: str) -> Any:
        """Return a client of a service that few commands need."""
        session: Any = self.session  # its types know the services above only
        return session.client(service, endpoint_url=self.endpoint, config=CLIENT_CONFIG)

    def check(self) -> None:
        """Check that the stack exists and is a Handoff: another stack would look healthy.

        Raises
        ------
        NoSuchStack
            If it is not, or if AWS refuses to describe it.
        botocore.exceptions.BotoCoreError
            If AWS cannot be reached, or there is no region or no credentials.
        """
        where = self.endpoint or f"AWS, region {self.session.region_name}"
        try:
            status = self._description["StackStatus"]
            is_handoff = self.has(_REQUIRED) and "ApiId" in self.outputs
        except ClientError as error:
            raise NoSuchStack(f"The stack {self.stack!r} was not found on {where}: {error}") from error
        if not is_handoff:
            raise NoSuchStack(f"The stack {self.stack!r} on {where} is {status} and not a deployed Handoff.")

    @cached_property
    def _description(self) -> "StackTypeDef":
        return self.cloudformation.describe_stacks(StackName=self.stack)["Stacks"][0]

    @property
    def status(self) -> str:
        """The stack's status when it was first read, such as ``UPDATE_COMPLETE``."""
        return self._description["StackStatus"]

    @property
    def stack_id(self) -> str:
        """The stack's ARN, with the account and the region."""
        return self._description["StackId"]

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """The stack's outputs."""
        return {output["OutputKey"]: output["OutputValue"] for output in self._description.get("Outputs", [])}

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        """The values of template.yaml's parameters."""
        return {given["ParameterKey"]: given["ParameterValue"] for given in self._description["Parameters"]}

    @cached_property
    def _resources(self) -> "Mapping[str, StackResourceSummaryTypeDef]":
        pages = self.cloudformation.get_paginator("list_stack_resources").paginate(StackName=self.stack)
        return {found["LogicalResourceId"]: found for page in pages for found in page["StackResourceSummaries"]}

    def resource(self, logical_id: str) -> str:
        """Return the physical id of a resource of template.yaml.

        Raises
        ------
        NoSuchResource
            If the stack does not have it.
        """
        if not self.has(logical_id):
            raise NoSuchResource(
                f"The stack {self.stack!r} has no {logical_id}: it was deployed from another version of Handoff."
            )
        return self._resources[logical_id].get("PhysicalResourceId", "")

    def has(self, logical_id: str) -> bool:
        """Return whether the stack has a resource; some depend on its parameters."""
        return logical_id in self._resources

    def of_type(self, resource_type: str) -> list[str]:
        """Return the logical ids of all resources of a type, such as ``AWS::Events::Rule``."""
        return [name for name, found in self._resources.items() if found["ResourceType"] == resource_type]

    @cached_property
    def importers(self) -> "Mapping[str, Deployment]":
        """The stacks that import this stack's bus, by name; none, and a warning, without permission to list them."""
        pages = self.cloudformation.get_paginator("list_imports").paginate(ExportName=f"{self.stack}-BusName")
        try:
            return {name: replace(self, stack=name) for page in pages for name in page["Imports"]}
        except ClientError as error:
            if error.response["Error"]["Code"] == "AccessDenied":
                _logger.warning("Consumers of other stacks are not included: %s", error)
            elif "is not imported by any stack" not in str(error):  # CloudFormation's answer if there is none
                raise
            return {}

    @property
    def options(self) -> str:
        """The options of `handoff` that name this stack, with a space before each."""
        local = f" --local={urlsplit(self.endpoint).port}" if self.endpoint else ""
        return local + (f" --stack {self.stack}" if self.stack != DEFAULT_STACK else "")

    @property
    def api_url(self) -> str:
        """The URL of the API."""
        if self.endpoint:
            return f"{self.endpoint}/_aws/execute-api/{self.outputs['ApiId']}/$default"
        return self.outputs["ApiUrl"]

    def queue_url(self, consumer: str, *, dead_letters: bool = False) -> str:
        """Return the URL of a consumer's queue, or of its dead-letter queue."""
        return self.resource(f"{consumer.capitalize()}{'DeadLetters' if dead_letters else 'Queue'}")

    @cached_property
    def queued(self) -> tuple[str, ...]:
        """All consumers of the stack: `points` has PointsQueue, PointsRule and PointsFunction."""
        stems = (queue.removesuffix("Queue") for queue in self.of_type("AWS::SQS::Queue"))
        found = [stem.lower() for stem in stems if self.has(f"{stem}Rule") and self.has(f"{stem}Function")]
        return tuple(sorted(found, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)))

    @property
    def consumers(self) -> tuple[str, ...]:
        """The stack's consumers of Handoff's own events."""
        return tuple(name for name in self.queued if name != _OF_SES)

    def scan(self, logical_id: str) -> list[dict[str, Any]]:
        """Return all items of a table as plain values; for small tables."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.resource(logical_id), ConsistentRead=True)
        return [from_item(item) for page in pages for item in page["Items"]]


def log_group(deployment: Deployment, consumer: str) -> str | None:
    """Return a consumer's log group, None if the stack has none of that name. See `ops.dlq.directory` for the names."""
    stack, _, name = consumer.rpartition("/")
    home = deployment.importers[stack] if stack else deployment
    logical_id = f"{name.capitalize()}Logs"
    return home.resource(logical_id) if home.has(logical_id) else None


def event_types_by_rule(deployment: Deployment) -> dict[str, set[str]]:
    """Return the event types that each rule on the bus names, by the rule's name, also of other stacks' rules."""
    pages = deployment.events.get_paginator("list_rules").paginate(EventBusName=deployment.resource("Bus"))
    return {
        rule["Name"]: {
            named for named in json.loads(rule["EventPattern"]).get("detail-type", ()) if isinstance(named, str)
        }
        for page in pages
        for rule in page["Rules"]
    }


def event_types(deployment: Deployment) -> dict[str, set[str]]:
    """Return the event types that each of the stack's own consumers gets."""
    types = event_types_by_rule(deployment)
    rules = {consumer: rule for rule, consumer in consumers_by_rule(deployment).items()}
    return {name: types.get(rules[name], set()) for name in deployment.consumers}


def consumers_by_rule(deployment: Deployment) -> dict[str, str]:
    """Return the consumer of each EventBridge rule, by the rule's name."""
    return {
        # The id of a rule on a custom bus is "bus|rule".
        deployment.resource(logical_id).rpartition("|")[2]: logical_id.removesuffix("Rule").lower()
        for logical_id in deployment.of_type("AWS::Events::Rule")
    }
