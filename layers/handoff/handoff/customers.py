"""Customers in DynamoDB."""

from typing import TYPE_CHECKING

from handoff import aws
from handoff.model import Customer

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


class CustomerStore:
    """Reads customers."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def get(self, user_id: str) -> Customer | None:
        """The customer as they are now (a consistent read)."""
        response = self._client.get_item(
            TableName=self._table, Key=aws.to_item({"userId": user_id}), ConsistentRead=True
        )
        item = response.get("Item")
        return Customer.model_validate(aws.from_item(item)) if item else None
