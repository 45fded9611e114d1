"""Events of a stack that are stored in outboxes and not published yet."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from handoff import aws
from handoff.attribute_values import from_item, to_item
from handoff.clock import from_iso, now_ms
from handoff.unfinished import INDEX

if TYPE_CHECKING:
    from ops.stack.deployment import Deployment

_MOST = 500  # items of one table that are read; a bus that is down for long leaves thousands


@dataclass(frozen=True)
class Waiting:
    """Events in outboxes: how many, and the age of the oldest in seconds. ``is_partial``: there may be more."""

    events: int = 0
    oldest: float = 0.0
    is_partial: bool = False


@dataclass
class Outboxes:
    """The outboxes of a stack: those of all its tables with the index of unfinished work."""

    deployment: "Deployment"
    _tables: dict[str, str] = field(default_factory=dict)  # the key's name by table; read once

    def read(self) -> Waiting:
        """Return the events that wait to be published.

        Raises
        ------
        botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError
            If a request failed.
        """
        now, shards = now_ms(), range(int(self.deployment.parameters["UnfinishedShards"]))
        self._tables = self._tables or dict(self._find_tables())
        times: list[int] = []
        is_partial = False
        for table, key in self._tables.items():
            keys = [value for shard in shards for value in self._keys(table, key, shard)]
            is_partial = is_partial or len(keys) > _MOST
            for start in range(0, min(len(keys), _MOST), aws.KEYS_PER_READ):
                times += self._times(table, key, keys[start : min(start + aws.KEYS_PER_READ, _MOST)])
        return Waiting(len(times), max(0, now - min(times)) / 1000 if times else 0.0, is_partial)

    def _find_tables(self) -> Iterator[tuple[str, str]]:
        """Yield the tables with the index, and the name of their key."""
        for logical_id in self.deployment.of_type("AWS::DynamoDB::Table"):
            table = self.deployment.dynamodb.describe_table(TableName=self.deployment.resource(logical_id))["Table"]
            if any(index["IndexName"] == INDEX for index in table.get("GlobalSecondaryIndexes", ())):
                yield table["TableName"], table["KeySchema"][0]["AttributeName"]

    def _keys(self, table: str, key: str, shard: int) -> list[str]:
        """Return the keys of one shard of the index, one more than are read at most."""
        found = self.deployment.dynamodb.query(
            TableName=table,
            IndexName=INDEX,
            KeyConditionExpression="unfinished = :shard",
            ExpressionAttributeValues=to_item({":shard": shard}),
            ProjectionExpression="#key",
            ExpressionAttributeNames={"#key": key},
            Limit=_MOST + 1,
        )
        return [from_item(item)[key] for item in found["Items"]]

    def _times(self, table: str, key: str, keys: Sequence[str]) -> list[int]:
        """Return when each event in the outboxes of these items happened, in epoch milliseconds.

        Keys that DynamoDB leaves unprocessed under load are read the next time.
        """
        found = self.deployment.dynamodb.batch_get_item(
            RequestItems={
                table: {
                    "Keys": [to_item({key: value}) for value in keys],
                    "ProjectionExpression": "outbox",
                    "ConsistentRead": True,
                }
            }
        )
        items = [from_item(item) for item in found["Responses"][table]]
        return [_happened_at(entry) for item in items for entry in item.get("outbox", {}).values()]


def _happened_at(entry: Mapping[str, Any]) -> int:
    return from_iso(json.loads(entry["detail"])["metadata"]["timestamp"])
