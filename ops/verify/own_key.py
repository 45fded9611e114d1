"""Check: with OwnKey, everything that holds data uses the stack's key."""

from collections.abc import Iterator
from typing import Any

from ops.smoke_order import CheckFailed
from ops.stack.deployment import Deployment
from ops.verify.check import Attempt, Check
from ops.verify.logs import without


def _run(attempt: Attempt) -> str:
    deployment = attempt.situation.deployment
    key = deployment.resource("DataKey")
    found = list(_keys(deployment))
    others = [f"{name} ({used or 'no key'})" for name, used in found if used.rpartition("/")[2] != key]
    if others:
        raise CheckFailed(f"not encrypted with {key}: {', '.join(others)}")
    order = attempt.situation.order
    through = f"; the events of {order.order_id} went through them" if order else ""
    return f"{len(found)} queues, tables, logs and topics use {key}{through}"


def _keys(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """Yield the logical id and the key of each queue, table, log group and topic."""
    for name in deployment.of_type("AWS::SQS::Queue"):
        url = deployment.resource(name)
        queue = deployment.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["KmsMasterKeyId"])
        yield name, queue.get("Attributes", {}).get("KmsMasterKeyId", "")
    for name in deployment.of_type("AWS::DynamoDB::Table"):
        table = deployment.dynamodb.describe_table(TableName=deployment.resource(name))["Table"]
        yield name, table.get("SSEDescription", {}).get("KMSMasterKeyArn", "")
    for name in deployment.of_type("AWS::Logs::LogGroup"):
        yield name, _key_of_log_group(deployment, deployment.resource(name))
    sns: Any = deployment.client("sns")
    for name in deployment.of_type("AWS::SNS::Topic"):
        topic = sns.get_topic_attributes(TopicArn=deployment.resource(name))["Attributes"]
        yield name, topic.get("KmsMasterKeyId", "")


def _key_of_log_group(deployment: Deployment, group: str) -> str:
    found = deployment.logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    return next((each.get("kmsKeyId", "") for each in found if each["logGroupName"] == group), "")


CHECK = Check(
    key="key",
    name="data is encrypted with the stack's key",
    does="reads the key of each queue, table, log group and topic",
    takes="1 min",
    needs="sqs:GetQueueAttributes; dynamodb:DescribeTable; logs:DescribeLogGroups; sns:GetTopicAttributes",
    costs={"sqs_request": 20},
    run=_run,
    obstacle=without("DataKey", "OwnKey"),
)
