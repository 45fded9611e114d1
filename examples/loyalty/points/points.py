"""One loyalty point for each order placed, given once however often the event comes."""

import json
import os
from typing import Any

import boto3

_dynamodb = boto3.client("dynamodb")
_TABLE = os.environ["POINTS_TABLE"]


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Consume a batch; what failed comes back, the rest does not."""
    failed = []
    for record in event["Records"]:
        try:
            give_point(json.loads(record["body"])["detail"])
        except Exception as error:  # noqa: BLE001  # one bad event must not hold up its neighbours; SQS counts its tries
            print(json.dumps({"message": "failed", "id": record["messageId"], "error": repr(error)}))  # noqa: T201
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def give_point(detail: dict[str, Any]) -> None:
    """Count the event and remember it, in one transaction: the second time, its marker is there."""
    try:
        _dynamodb.transact_write_items(
            TransactItems=[
                {
                    "Put": {
                        "TableName": _TABLE,
                        "Item": {"id": {"S": f"event#{detail['metadata']['eventId']}"}},
                        "ConditionExpression": "attribute_not_exists(id)",
                    }
                },
                {
                    "Update": {
                        "TableName": _TABLE,
                        "Key": {"id": {"S": f"user#{detail['data']['userId']}"}},
                        "UpdateExpression": "ADD points :one",
                        "ExpressionAttributeValues": {":one": {"N": "1"}},
                    }
                },
            ]
        )
    except _dynamodb.exceptions.TransactionCanceledException as error:
        if error.response["CancellationReasons"][0]["Code"] != "ConditionalCheckFailed":
            raise
