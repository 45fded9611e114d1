"""Metrics in the functions' logs, in CloudWatch's embedded metric format (EMF).

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_logs.client import CloudWatchLogsClient
    from mypy_boto3_logs.type_defs import FilteredLogEventTypeDef

_BEGIN = '{"_aws"'
_PATTERN = '"_aws"'  # a quoted term matches lines that contain it
_PAGE = 10_000  # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html


@dataclass(frozen=True)
class Datum:
    """The values of one metric in one line, for one set of dimensions. The time is in epoch milliseconds."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    unit: str
    at: int
    values: tuple[float, ...]


def read(line: str) -> list[Datum]:
    """Return the metrics in a log line; empty for other lines."""
    begin = line.find(_BEGIN)
    if begin < 0:
        return []
    try:
        return list(_data(json.loads(line[begin:])))
    except (ValueError, KeyError, TypeError):
        return []  # truncated or malformed: AWS finds no metric in it either


def _data(document: dict[str, Any]) -> Iterator[Datum]:
    for directive in document["_aws"]["CloudWatchMetrics"]:
        for metric in directive["Metrics"]:
            values = document[metric["Name"]]
            for names in directive["Dimensions"]:
                yield Datum(
                    namespace=directive["Namespace"],
                    name=metric["Name"],
                    dimensions=tuple((name, str(document[name])) for name in names),
                    unit=metric.get("Unit", "None"),
                    at=document["_aws"]["Timestamp"],
                    values=tuple(map(float, values if isinstance(values, list) else [values])),
                )


def events(client: "CloudWatchLogsClient", group: str, *, start: int = 0) -> "list[FilteredLogEventTypeDef]":
    """Return the events of a log group with EMF, from ``start`` (epoch milliseconds) on, oldest first."""
    found: list[FilteredLogEventTypeDef] = []
    while True:
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=group, startTime=start, filterPattern=_PATTERN
        )
        more = [event for page in pages for event in page["events"]]
        found = [event for event in found if event["timestamp"] < start] + more
        # The local stack returns one page and no token, so read again from the time of that page's last event.
        if len(more) < _PAGE or more[-1]["timestamp"] == start:
            return found
        start = more[-1]["timestamp"]
