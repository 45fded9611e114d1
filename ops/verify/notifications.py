"""A temporary queue that is subscribed to the alarm topic."""

import json
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from ops.stack.deployment import Deployment
from ops.verify.check import Attempt

_KEPT_SECONDS = 3600  # of messages, if the queue stays behind


class Notifications:
    """The notifications of alarms since it was created. The attempt removes the queue and the subscription."""

    def __init__(self, attempt: Attempt, topic: str) -> None:
        deployment = attempt.situation.deployment
        self._sqs = deployment.sqs
        self._url = _create_queue(attempt, topic)
        arn, sns = _arn(deployment, self._url), deployment.client("sns")
        # Registered before, and found by its endpoint: the answer may be lost.
        attempt.undo(f"the subscription of {arn}", lambda: _unsubscribe(deployment, topic, arn))
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True)

    def receive(self) -> Iterator[str]:
        """Yield the alarms that have notified, for up to a second; each notification is deleted.

        CloudWatch may raise an alarm by itself meanwhile. Its own notification shows the same.

        A sample of one, from AWS: https://github.com/aws/aws-lambda-go/tree/main/events/testdata
        """
        answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in answer.get("Messages", []):
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
            with suppress(ValueError, TypeError, KeyError):  # other publishers send other texts
                notification = json.loads(json.loads(message["Body"])["Message"])
                if notification["NewStateValue"] == "ALARM":
                    yield notification["AlarmName"]


def subscribers(deployment: Deployment) -> list[str]:
    """Return the protocol and endpoint of each subscriber of the alarm topic."""
    found = _subscriptions(deployment, deployment.outputs["AlarmTopicArn"])
    return [f"{subscription['Protocol']} {subscription['Endpoint']}" for subscription in found]


def _subscriptions(deployment: Deployment, topic: str) -> list[dict[str, str]]:
    pages = deployment.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    return [subscription for page in pages for subscription in page["Subscriptions"]]


def _unsubscribe(deployment: Deployment, topic: str, endpoint: str) -> None:
    for subscription in _subscriptions(deployment, topic):
        if subscription["Endpoint"] == endpoint:
            deployment.client("sns").unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])


def _create_queue(attempt: Attempt, topic: str) -> str:
    """Create a queue to which only this topic may send.

    SNS needs no permission for the queue's own encryption (SSE-SQS). The topic's key is used by CloudWatch alone.
    https://docs.aws.amazon.com/sns/latest/dg/subscribe-sqs-queue-to-sns-topic.html
    """
    deployment, sqs = attempt.situation.deployment, attempt.situation.deployment.sqs
    name = f"{deployment.stack[:60]}-verify-{uuid.uuid4().hex[:8]}"
    attempt.undo(f"the queue {name}", lambda: _delete_queue(deployment, name))
    settings: Any = {"SqsManagedSseEnabled": "true", "MessageRetentionPeriod": str(_KEPT_SECONDS)}
    url = sqs.create_queue(QueueName=name, Attributes=settings)["QueueUrl"]
    arn = _arn(deployment, url)
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return url


def _delete_queue(deployment: Deployment, name: str) -> None:
    with suppress(deployment.sqs.exceptions.QueueDoesNotExist):
        deployment.sqs.delete_queue(QueueUrl=deployment.sqs.get_queue_url(QueueName=name)["QueueUrl"])


def _arn(deployment: Deployment, queue_url: str) -> str:
    answer = deployment.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    return answer["Attributes"]["QueueArn"]
