"""Fixtures of the unit tests."""

import boto3
import pytest
from moto import mock_aws


@pytest.fixture
def rooms():
    """A client of DynamoDB, with the empty table ``rooms``."""
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-central-1")
        client.create_table(
            TableName="rooms",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "roomId", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "roomId", "KeyType": "HASH"}],
        )
        yield client
