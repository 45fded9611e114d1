"""Resource types that can remain after a failed first deployment: how each is read, and how it is deleted."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ops.stack.deployment import Deployment

_GONE = {
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
    "ResourceNotFoundException",
}
_POLL_SECONDS = 2.0
_RULE_WITHIN = 60.0  # seconds until the rule that EventBridge made for a deleted archive is gone


@dataclass(frozen=True)
class Kind:
    """A type of resource.

    ``tagged`` returns the end of the ARN whose tags show the owner of a physical id; ``contents`` returns what would be
    lost, empty if nothing. Both raise a ClientError that `is_gone` recognizes if the resource does not exist.
    """

    noun: str
    tagged: Callable[[Deployment, str], str]
    contents: Callable[[Deployment, str], str]
    delete: Callable[[Deployment, str], None]


def is_gone(error: ClientError) -> bool:
    """Return whether AWS says that the resource does not exist."""
    return error.response["Error"]["Code"] in _GONE


def _archived_bus(deployment: Deployment, name: str) -> str:
    """Return the end of the ARN of an archive's bus: archives have no tags."""
    source: str = deployment.events.describe_archive(ArchiveName=name)["EventSourceArn"]
    return source[source.index(":event-bus/") :]


def _archive_contents(deployment: Deployment, name: str) -> str:
    count = deployment.events.describe_archive(ArchiveName=name)["EventCount"]
    return f"{count} events" if count else ""


def _delete_archive(deployment: Deployment, name: str) -> None:
    deployment.events.delete_archive(ArchiveName=name)


def _bus_contents(deployment: Deployment, name: str) -> str:
    """Return the rules on the bus that EventBridge did not make for an archive: they are of other stacks."""
    deployment.events.describe_event_bus(Name=name)
    pages = deployment.events.get_paginator("list_rules").paginate(EventBusName=name)
    found = [rule["Name"] for page in pages for rule in page["Rules"] if not rule.get("ManagedBy")]
    return f"rules {', '.join(found)}" if found else ""


def _delete_bus(deployment: Deployment, name: str) -> None:
    """Delete a bus. An archive's rule forbids that until some time after the archive is deleted."""
    deadline = time.monotonic() + _RULE_WITHIN
    while True:
        try:
            deployment.events.delete_event_bus(Name=name)
            return
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException" or time.monotonic() > deadline:
                raise
        time.sleep(_POLL_SECONDS)


def _queue_contents(deployment: Deployment, url: str) -> str:
    attributes: Mapping[Any, str] = deployment.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])[
        "Attributes"
    ]
    states = ("", "NotVisible", "Delayed")
    count = sum(int(attributes[f"ApproximateNumberOfMessages{state}"]) for state in states)
    return f"{count} messages" if count else ""


def _delete_queue(deployment: Deployment, url: str) -> None:
    deployment.sqs.delete_queue(QueueUrl=url)


def _table_contents(deployment: Deployment, name: str) -> str:
    found = deployment.dynamodb.scan(TableName=name, Limit=1, ConsistentRead=True)
    return "items" if found["Items"] else ""


def _delete_table(deployment: Deployment, name: str) -> None:
    """Delete a table, which DataPolicy=Retain protects. AWS keeps a backup for 35 days."""
    if deployment.dynamodb.describe_table(TableName=name)["Table"].get("DeletionProtectionEnabled"):
        deployment.dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
        active = deployment.dynamodb.get_waiter("table_exists")
        active.wait(TableName=name, WaiterConfig={"Delay": 2, "MaxAttempts": 30})
    deployment.dynamodb.delete_table(TableName=name)


def _pool_contents(deployment: Deployment, pool: str) -> str:
    return "users" if deployment.cognito.list_users(UserPoolId=pool, Limit=1)["Users"] else ""


def _delete_pool(deployment: Deployment, pool: str) -> None:
    """Delete a user pool with its domain. DataPolicy=Retain protects it."""
    described = deployment.cognito.describe_user_pool(UserPoolId=pool)["UserPool"]
    if described.get("DeletionProtection") == "ACTIVE":
        # This resets the pool's other settings, which are needed no more.
        deployment.cognito.update_user_pool(UserPoolId=pool, DeletionProtection="INACTIVE")
    if described.get("Domain"):
        deployment.cognito.delete_user_pool_domain(UserPoolId=pool, Domain=described["Domain"])
    deployment.cognito.delete_user_pool(UserPoolId=pool)


def _log_contents(deployment: Deployment, name: str) -> str:
    found = deployment.logs.describe_log_streams(logGroupName=name, limit=1)
    return "log streams" if found["logStreams"] else ""


def _delete_log_group(deployment: Deployment, name: str) -> None:
    deployment.logs.delete_log_group(logGroupName=name)


# In the order of deletion: an archive's rule forbids deleting its bus.
KINDS = {
    "AWS::Events::Archive": Kind("archive", _archived_bus, _archive_contents, _delete_archive),
    "AWS::Events::EventBus": Kind("event bus", lambda _, name: f":event-bus/{name}", _bus_contents, _delete_bus),
    "AWS::SQS::Queue": Kind("queue", lambda _, url: f":{url.rpartition('/')[2]}", _queue_contents, _delete_queue),
    "AWS::DynamoDB::Table": Kind("table", lambda _, name: f":table/{name}", _table_contents, _delete_table),
    "AWS::Cognito::UserPool": Kind("user pool", lambda _, pool: f":userpool/{pool}", _pool_contents, _delete_pool),
    "AWS::Logs::LogGroup": Kind("log group", lambda _, name: f":log-group:{name}", _log_contents, _delete_log_group),
}
