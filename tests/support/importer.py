"""Another team's stack, which imports the bus of a Handoff in moto."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

_PATTERN = json.dumps({"source": ["handoff.orders"], "detail-type": ["order_placed"]})


@contextmanager
def importing_stack(client: Callable[[str], Any], bus: str) -> Iterator[SimpleNamespace]:
    """Create a stack `loyalty` with a consumer `points` and a queue without a rule; it is like `Deployment`."""
    sqs, events, logs = client("sqs"), client("events"), client("logs")
    names = ("PointsQueue", "PointsDeadLetters", "JobsQueue")
    queues = {name: sqs.create_queue(QueueName=f"loyalty-{name}")["QueueUrl"] for name in names}
    events.put_rule(Name="loyalty-PointsRule", EventBusName=bus, EventPattern=_PATTERN)
    logs.create_log_group(logGroupName="loyalty-PointsLogs")
    logs.create_log_stream(logGroupName="loyalty-PointsLogs", logStreamName="one")
    kinds: dict[str, dict[str, str]] = {
        "AWS::SQS::Queue": queues,
        "AWS::Events::Rule": {"PointsRule": f"{bus}|loyalty-PointsRule"},
        "AWS::Logs::LogGroup": {"PointsLogs": "loyalty-PointsLogs"},
    }
    resources = {name: found for kind in kinds.values() for name, found in kind.items()}
    yield SimpleNamespace(of_type=kinds.__getitem__, resource=resources.__getitem__, has=resources.__contains__)
    for url in queues.values():
        sqs.delete_queue(QueueUrl=url)
    events.delete_rule(Name="loyalty-PointsRule", EventBusName=bus)
    logs.delete_log_group(logGroupName="loyalty-PointsLogs")
