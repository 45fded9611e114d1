"""The functions and tables of an example in moto, with faults on the wire between them."""

import importlib
import json
import os
import sys
from pathlib import Path
from unittest.mock import patch

from moto.dynamodb.models import dynamodb_backends

from dev.simulated import clients, wire
from dev.simulated.account import ACCOUNT, REGION
from dev.simulated.functions import Context
from dev.simulated.world import direct_client, shared_wire
from handoff.attribute_values import from_item, to_item
from handoff.clock import now_ms

EXAMPLES = Path(__file__).parents[2] / "examples"
VARIABLES = {"UNFINISHED_SHARDS": "1", "MAX_RECEIVES": "6"}
_UNFINISHED = {
    "IndexName": "unfinished",
    "KeySchema": [
        {"AttributeName": "unfinished", "KeyType": "HASH"},
        {"AttributeName": "dueAt", "KeyType": "RANGE"},
    ],
    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["unfinishedSince"]},
}


class ExampleStack:
    """One deployment. ``tables`` are the keys of each table by name; ``aggregates`` is the table with the index."""

    def __init__(self, package, bus, tables, aggregates):
        self.wire = shared_wire()
        self.wire.reset()
        self._package = package
        self._aggregates = aggregates
        self._warm = {}
        for table, keys in tables.items():
            schema = _with_index(keys) if table == aggregates else _schema(keys)
            direct_client("dynamodb").create_table(TableName=table, BillingMode="PAY_PER_REQUEST", **schema)
        direct_client("events").create_event_bus(Name=bus)
        sqs = direct_client("sqs")
        self.queues = {
            name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("QUEUE_URL", "DEAD_LETTER_QUEUE_URL")
        }
        self.variables = {f"{table.upper()}_TABLE": table for table in tables} | self.queues | {"BUS_NAME": bus}

    def run(self, module, event, seconds=60):
        """Invoke the function of a module, with a timeout. After a crash, the next invocation is a cold start."""
        with patch.dict(os.environ, self.variables):
            if module not in self._warm:
                for name in [name for name in sys.modules if name.partition(".")[0] == self._package]:
                    del sys.modules[name]
                with clients.kept():
                    self._warm[module] = importlib.import_module(f"{self._package}.{module}")
            try:
                return self._warm[module].handler(event, Context(module, now_ms() + seconds * 1000, now_ms))
            except wire.Crash:
                self.stop()
                raise

    def stop(self):
        """End all processes."""
        self._warm.clear()

    def deliver_to(self, module, events, receives=1, seconds=60):
        """Invoke a consumer with a batch of events."""
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
        return self.run(module, {"Records": records}, seconds)

    def published(self):
        """Return the events that the bus accepted, as a queue delivers them."""
        return [
            {"source": entry["Source"], "detail-type": entry["DetailType"], "detail": json.loads(entry["Detail"])}
            for call in self.wire.named("eventbridge.PutEvents")
            if call.status == 200
            for entry in call.request["Entries"]
        ]

    def items(self, table):
        held = dynamodb_backends[ACCOUNT][REGION].tables[table].all_items()
        return [from_item(item.to_json()["Attributes"]) for item in held]

    def put(self, table, item):
        dynamodb_backends[ACCOUNT][REGION].put_item(table, to_item(item))

    def overdue(self):
        """Make all pending work due."""
        for item in self.items(self._aggregates):
            if "dueAt" in item:
                self.put(self._aggregates, item | {"dueAt": 1})

    def dead_letters(self):
        queue = self.queues["DEAD_LETTER_QUEUE_URL"]
        return direct_client("sqs").receive_message(QueueUrl=queue, MessageAttributeNames=["All"]).get("Messages", [])


def _schema(keys):
    kinds = zip(keys, ("HASH", "RANGE"), strict=False)
    return {
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"} for key in keys],
        "KeySchema": [{"AttributeName": key, "KeyType": kind} for key, kind in kinds],
    }


def _with_index(keys):
    schema = _schema(keys)
    schema["AttributeDefinitions"] += [
        {"AttributeName": name, "AttributeType": "N"} for name in ("unfinished", "dueAt")
    ]
    return schema | {"GlobalSecondaryIndexes": [_UNFINISHED]}
