"""Read metrics from CloudWatch, with the same queries on AWS and on the local stack."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.client import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import (
        DimensionTypeDef,
        MetricDataQueryTypeDef,
        MetricDataResultTypeDef,
        MetricTypeDef,
    )

MINUTE = 60_000  # ms; the resolution of all metrics here
_QUERIES = 500  # in a call: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html


class MetricsError(Exception):
    """CloudWatch returned incomplete data; the text says for which metric and why."""


@dataclass(frozen=True)
class Metric:
    """A metric with its dimensions, and a statistic of it, such as ``Sum``, ``Maximum`` or ``p99``."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    stat: str

    @classmethod
    def of_consumer(cls, stack: str, consumer: str, name: str, stat: str) -> "Metric":
        """Return a metric that a consumer publishes; ``STACK/CONSUMER`` is in another stack than ``stack``."""
        other, _, consumer = consumer.rpartition("/")
        return cls("Handoff", name, (("service", other or stack), ("consumer", consumer)), stat)


@dataclass
class _Answer:
    """The data received for one query so far."""

    points: dict[int, float] = field(default_factory=dict)
    status: str = "nothing"
    messages: list[str] = field(default_factory=list)

    def take(self, result: "MetricDataResultTypeDef") -> None:
        """Add a page of it; the last page's status is the one that counts."""
        times = [round(moment.timestamp() * 1000) for moment in result["Timestamps"]]
        self.points.update(zip(times, result["Values"], strict=True))
        self.status = result["StatusCode"]
        self.messages = [f"{message['Code']}: {message['Value']}" for message in result.get("Messages", [])]


def series(
    client: "CloudWatchClient", metrics: Mapping[str, Metric], *, start: int, end: int, period: int
) -> dict[str, list[tuple[int, float]]]:
    """Return the values of metrics by the caller's keys: the start of each period and its value, oldest first.

    ``start`` and ``end`` are in epoch milliseconds, ``period`` is in seconds; on AWS, all three are whole minutes.
    Periods without data are left out. AWS aligns periods to ``start``, the local stack to the epoch. Both agree if
    ``start`` is a multiple of the period.

    Raises
    ------
    MetricsError
        If CloudWatch returned incomplete data.
    botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError
        If the request failed.
    """
    found: dict[str, list[tuple[int, float]]] = {}
    keys = list(metrics)
    for first in range(0, len(keys), _QUERIES):
        some = {key: metrics[key] for key in keys[first : first + _QUERIES]}
        found |= _ask(client, some, start, end, period)
    return found


def lately(client: "CloudWatchClient", metrics: Mapping[str, Metric], *, minutes: int, now: int) -> dict[str, float]:
    """Return one value for each metric over the last minutes and the current one; omit metrics without data.

    Each value is of one period, because a percentile cannot be computed from percentiles of shorter periods. Raises the
    exceptions of `series`.
    """
    end = now // MINUTE + 1
    start = end - 1 - minutes
    found = series(client, metrics, start=start * MINUTE, end=end * MINUTE, period=_covering_period(start, end) * 60)
    return {key: points[-1][1] for key, points in found.items() if points}


def _covering_period(start: int, end: int) -> int:
    """Return the shortest period in minutes that covers start to end however CloudWatch aligns periods."""
    return next(period for period in count(end - start) if start // period == (end - 1) // period)


def _ask(
    client: "CloudWatchClient", metrics: Mapping[str, Metric], start: int, end: int, period: int
) -> dict[str, list[tuple[int, float]]]:
    ids = {f"m{n}": key for n, key in enumerate(metrics)}
    answers: dict[str, _Answer] = defaultdict(_Answer)
    pages = client.get_paginator("get_metric_data").paginate(
        MetricDataQueries=[_query(id_, metrics[key], period) for id_, key in ids.items()],
        StartTime=datetime.fromtimestamp(start // 1000, UTC),
        EndTime=datetime.fromtimestamp(-(-end // 1000), UTC),
        ScanBy="TimestampAscending",
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            answers[result["Id"]].take(result)
    for id_, key in ids.items():
        _check(metrics[key], answers[id_])
    return {key: sorted(answers[id_].points.items()) for id_, key in ids.items()}


def _check(metric: Metric, answer: _Answer) -> None:
    if answer.status != "Complete":
        why: Sequence[str] = answer.messages or ["no reason given"]
        raise MetricsError(
            f"CloudWatch returned incomplete data for {metric.namespace} {metric.name} "
            f"({answer.status}): {'; '.join(why)}"
        )


def _query(id_: str, metric: Metric, period: int) -> "MetricDataQueryTypeDef":
    dimensions: list[DimensionTypeDef] = [{"Name": name, "Value": value} for name, value in metric.dimensions]
    named: MetricTypeDef = {"Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": dimensions}
    return {"Id": id_, "MetricStat": {"Metric": named, "Period": period, "Stat": metric.stat}}
