"""Control over the consumers of a local stack."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ops.stack.deployment import Deployment

if TYPE_CHECKING:
    from mypy_boto3_lambda.client import LambdaClient


def lambda_client(deployment: Deployment) -> "LambdaClient":
    """Return a Lambda client for the deployment."""
    return deployment.session.client("lambda", endpoint_url=deployment.endpoint)


@contextlib.contextmanager
def paused(deployment: Deployment, *consumers: str) -> Iterator[None]:
    """Stop these consumers from receiving messages while the context lasts."""
    client = lambda_client(deployment)
    mappings = [mapping for consumer in consumers for mapping in _mappings(deployment, consumer)]
    for mapping in mappings:
        client.update_event_source_mapping(UUID=mapping, Enabled=False)
    try:
        yield
    finally:
        for mapping in mappings:
            client.update_event_source_mapping(UUID=mapping, Enabled=True)


@contextlib.contextmanager
def packed_after(deployment: Deployment, seconds: int) -> Iterator[None]:
    """Give orders that are placed while the context lasts this cancel window."""
    sqs, queue = deployment.sqs, deployment.queue_url("fulfillment")
    window = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["DelaySeconds"])["Attributes"]["DelaySeconds"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"DelaySeconds": str(seconds)})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"DelaySeconds": window})


def limit_concurrency(deployment: Deployment, consumer: str, executions: int) -> None:
    """Let a consumer run in at most so many concurrent executions."""
    for mapping in _mappings(deployment, consumer):
        lambda_client(deployment).update_event_source_mapping(
            UUID=mapping, ScalingConfig={"MaximumConcurrency": executions}
        )


def set_batch_size(deployment: Deployment, consumer: str, messages: int) -> None:
    """Let a consumer receive at most so many messages at once."""
    for mapping in _mappings(deployment, consumer):
        lambda_client(deployment).update_event_source_mapping(UUID=mapping, BatchSize=messages)


def _mappings(deployment: Deployment, consumer: str) -> list[str]:
    """Return the ids of a consumer's event source mappings."""
    function = deployment.resource(f"{consumer.capitalize()}Function")
    found = lambda_client(deployment).list_event_source_mappings(FunctionName=function)
    return [mapping["UUID"] for mapping in found["EventSourceMappings"]]
