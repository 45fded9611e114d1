"""The check of the stack's own key."""

import pytest

from ops.verify import own_key
from ops.verify.check import Outcome


@pytest.fixture
def deployment(make_deployment, client):
    """A queue, a table, a log group and a topic, all with the key."""
    key = client("kms").create_key()["KeyMetadata"]
    arn, key_id = key["Arn"], key["KeyId"]
    queue = client("sqs").create_queue(QueueName="emails", Attributes={"KmsMasterKeyId": arn})["QueueUrl"]
    client("dynamodb").create_table(
        TableName="orders",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": arn},
    )
    client("logs").create_log_group(logGroupName="logs-1", kmsKeyId=arn)
    client("logs").create_log_group(logGroupName="logs-10")
    topic = client("sns").create_topic(Name="alarms", Attributes={"KmsMasterKeyId": arn})["TopicArn"]
    resources = {
        "DataKey": ("AWS::KMS::Key", key_id),
        "EmailsQueue": ("AWS::SQS::Queue", queue),
        "OrdersTable": ("AWS::DynamoDB::Table", "orders"),
        "EmailsLogs": ("AWS::Logs::LogGroup", "logs-1"),
        "AlarmTopic": ("AWS::SNS::Topic", topic),
    }
    return make_deployment(resources, parameters={"OwnKey": "true"})


def test_everything_uses_the_key(deployment, perform, order):
    (result,) = perform(own_key.CHECK, deployment, order=order)
    assert result.outcome == Outcome.PASSED, result.seen
    assert result.seen.startswith("4 queues, tables, logs and topics use ")
    assert result.seen.endswith("; the events of ord_smoke went through them")


@pytest.mark.parametrize("logical_id", ["EmailsQueue", "EmailsLogs", "AlarmTopic", "OrdersTable"])
def test_what_has_another_key_is_named(deployment, perform, client, logical_id):
    other = {
        "EmailsQueue": lambda: client("sqs").create_queue(QueueName="plain")["QueueUrl"],
        "EmailsLogs": lambda: "logs-10",
        "AlarmTopic": lambda: client("sns").create_topic(Name="p", Attributes={"KmsMasterKeyId": "alias/aws/sns"})[
            "TopicArn"
        ],
        "OrdersTable": lambda: plain_table(client),
    }[logical_id]()
    deployment._resources[logical_id]["PhysicalResourceId"] = other
    (result,) = perform(own_key.CHECK, deployment)
    assert result.outcome == Outcome.FAILED
    assert f": {logical_id} (" in result.seen


def test_a_stack_without_a_key_is_not_available(make_deployment, perform):
    (result,) = perform(own_key.CHECK, make_deployment({}))
    assert (result.outcome, result.seen) == (Outcome.NOT_AVAILABLE, "the stack has no DataKey (OwnKey=false)")


def plain_table(client):
    client("dynamodb").create_table(
        TableName="plain",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return "plain"
