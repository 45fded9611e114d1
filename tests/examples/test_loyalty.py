"""The loyalty example in moto: a point for each order, given once."""

import importlib
import json
import os
import sys
from pathlib import Path
from unittest.mock import patch

import boto3
import pytest
from moto import mock_aws

from dev.simulated import wire
from dev.simulated.functions import Context
from dev.simulated.messages import envelope
from dev.simulated.world import CREDENTIALS
from handoff import aws
from handoff.clock import now_ms

SOURCE = Path(__file__).parents[2] / "examples/loyalty/points"


class Loyalty:
    """The example's function, table and queues, with faults on the wire between them."""

    def __init__(self):
        self.wire = wire.Wire()
        boto3.client("dynamodb").create_table(
            TableName="points",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        sqs = boto3.client("sqs")
        self.queues = {
            name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("QUEUE_URL", "DEAD_LETTER_QUEUE_URL")
        }

    def deliver(self, *events, receives=1):
        """Deliver events in one batch to a new process."""
        records = [
            {
                "messageId": str(n),
                "receiptHandle": "handle",
                "body": json.dumps(event),
                "attributes": {"ApproximateReceiveCount": str(receives)},
                "eventSource": "aws:sqs",
            }
            for n, event in enumerate(events)
        ]
        sys.modules.pop("points", None)
        with patch.dict(os.environ, self.queues), patch("boto3.DEFAULT_SESSION", self.wire.session):
            points = importlib.import_module("points")
            return points.handler({"Records": records}, Context("points", now_ms() + 30_000, now_ms))

    def points(self):
        items = [aws.from_item(item) for item in boto3.client("dynamodb").scan(TableName="points")["Items"]]
        return {item["id"]: item["points"] for item in items if "points" in item}

    def reasons(self):
        """Return the reasons of all dead letters."""
        received = boto3.client("sqs").receive_message(
            QueueUrl=self.queues["DEAD_LETTER_QUEUE_URL"], MessageAttributeNames=["All"], MaxNumberOfMessages=10
        )
        return [letter["MessageAttributes"]["reason"]["StringValue"] for letter in received.get("Messages", [])]


@pytest.fixture
def loyalty(monkeypatch):
    monkeypatch.syspath_prepend(str(SOURCE))
    with patch.dict(os.environ, CREDENTIALS | {"POINTS_TABLE": "points", "MAX_RECEIVES": "6"}), mock_aws():
        yield Loyalty()


def test_each_order_gives_its_user_one_point(loyalty):
    placed = [
        envelope("order_placed", order_id, 1, user=user)
        for order_id, user in (("ord_1", "ada"), ("ord_2", "ada"), ("ord_3", "bob"))
    ]

    assert loyalty.deliver(*placed) == {"batchItemFailures": []}

    assert loyalty.points() == {"user#ada": 2, "user#bob": 1}


def test_an_event_that_comes_again_gives_no_second_point(loyalty):
    placed = envelope("order_placed", "ord_1", 1)

    for _ in range(2):
        assert loyalty.deliver(placed, placed) == {"batchItemFailures": []}

    assert loyalty.points() == {"user#ada": 1}


def test_a_retry_after_a_lost_answer_gives_no_second_point(loyalty):
    loyalty.wire.on("dynamodb.TransactWriteItems", wire.lose_response_and_token)

    loyalty.deliver(envelope("order_placed", "ord_1", 1))

    assert loyalty.points() == {"user#ada": 1}


def test_an_event_without_a_user_becomes_a_dead_letter_and_its_neighbor_is_handled(loyalty):
    poison = envelope("order_placed", "ord_1", 1)
    del poison["detail"]["data"]["userId"]

    assert loyalty.deliver(poison, envelope("order_placed", "ord_2", 1)) == {"batchItemFailures": []}

    assert loyalty.reasons() == ["not an event: detail.data.userId"]
    assert loyalty.points() == {"user#ada": 1}


def test_a_failure_is_retried_and_the_last_one_becomes_a_dead_letter(loyalty):
    loyalty.wire.always("dynamodb.TransactWriteItems", wire.refuse("AccessDeniedException", 400))
    placed, other = envelope("order_placed", "ord_1", 1), {"detail-type": "unknown"}

    assert loyalty.deliver(placed, other) == {"batchItemFailures": [{"itemIdentifier": "0"}]}
    assert len(loyalty.reasons()) == 1

    assert loyalty.deliver(placed, receives=6) == {"batchItemFailures": []}
    assert loyalty.reasons() == ["TransactWriteItems: AccessDeniedException"]
