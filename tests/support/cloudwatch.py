"""A simulated CloudWatch: published values, and the states of alarms.

It follows AWS's documentation. That does not say how far an alarm looks back beyond its evaluation periods when data is
missing, so it is two periods here, as in the example there.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation-window.html
"""

import json
import math
import operator
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dev.template import Template

Alarm = dict[str, Any]  # the properties of an AWS::CloudWatch::Alarm
_LOOKS_BACK = 2  # periods
_MINUTE = 60_000  # ms
_FIRST = 5 * _MINUTE
_COMPARED = {"GreaterThanThreshold": operator.gt, "GreaterThanOrEqualToThreshold": operator.ge}


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's identity. The same name with other dimensions is another metric."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, namespace: str, name: str, **dimensions: str) -> "Metric":
        """Return the metric with exactly these dimensions."""
        return cls(namespace, name, frozenset(dimensions.items()))

    @classmethod
    def watched_by(cls, alarm: Alarm) -> "Metric":
        """Return the metric that an alarm watches."""
        dimensions = {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]}
        return cls.of(alarm["Namespace"], alarm["MetricName"], **dimensions)


class CloudWatch:
    """Published values; times in epoch milliseconds."""

    def __init__(self) -> None:
        self._values: dict[Metric, list[tuple[int, float]]] = defaultdict(list)
        self.units: dict[Metric, str] = {}

    def put(self, metric: Metric, at: int, value: float, unit: str = "Count") -> None:
        """Publish a value."""
        self._values[metric].append((at, value))
        self.units[metric] = unit

    def read(self, output: str) -> None:
        """Publish the metrics in a function's output, which has lines in the embedded metric format and others."""
        for line in output.splitlines():
            document = json.loads(line)
            for block in document.get("_aws", {}).get("CloudWatchMetrics", []):
                for names in block["Dimensions"]:
                    for described in block["Metrics"]:
                        dimensions = {name: document[name] for name in names}
                        metric = Metric.of(block["Namespace"], described["Name"], **dimensions)
                        for value in document[described["Name"]]:
                            self.put(metric, document["_aws"]["Timestamp"], value, described["Unit"])

    @property
    def metrics(self) -> set[Metric]:
        """All published metrics."""
        return set(self._values)

    def values(self, metric: Metric, start: int, end: int) -> list[float]:
        """Return the values from start up to, but not including, end."""
        return [value for at, value in self._values.get(metric, []) if start <= at < end]

    def states(self, alarm: Alarm, start: int, end: int) -> list[str]:
        """Return the states of an alarm from the end of its first whole period, or after five minutes of a longer one.

        It is evaluated each minute, for periods that end then; with a wall clock window, at the end of each period.
        """
        metric, period = Metric.watched_by(alarm), alarm["Period"] * 1000
        step = period if "WallClockWindow" in alarm.get("EvaluationWindow", {}) else _MINUTE
        states = ["INSUFFICIENT_DATA"]
        for now in range(start - start % step + min(period, _FIRST), end + 1, step):
            begins = range(now - (alarm["EvaluationPeriods"] + _LOOKS_BACK) * period, now, period)
            seen = [_breaches(alarm, self.values(metric, begin, begin + period)) for begin in begins]
            states.append(_state(alarm, seen, states[-1]))
        return states[1:]


def statistic(name: str, values: list[float]) -> float:
    """Return a statistic of values; p95 is the value that 95 % of them do not exceed."""
    if name.startswith("p"):
        return sorted(values)[max(0, math.ceil(len(values) * float(name[1:]) / 100) - 1)]
    found: float = {
        "Sum": math.fsum,
        "Maximum": max,
        "Minimum": min,
        "Average": lambda given: math.fsum(given) / len(given),
        "SampleCount": len,
    }[name](values)
    return found


def _breaches(alarm: Alarm, values: list[float]) -> bool | None:
    """Return whether a period breaches the threshold; None without enough data."""
    name = alarm.get("ExtendedStatistic") or alarm["Statistic"]
    if not values or (alarm.get("EvaluateLowSampleCountPercentile") == "ignore" and len(values) < _enough(name)):
        return None
    return bool(_COMPARED[alarm["ComparisonOperator"]](statistic(name, values), alarm["Threshold"]))


def _enough(percentile: str) -> float:
    """Return the number of values that CloudWatch needs for a percentile: 200 for p95, 1,000 for p99."""
    return 10 / (1 - float(percentile[1:]) / 100)


def _state(alarm: Alarm, seen: list[bool | None], before: str) -> str:
    """Return an alarm's state. The newest real data count first, and missing data only fill up the periods."""
    periods = alarm["EvaluationPeriods"]
    real = [found for found in seen if found is not None][-periods:]
    missing = alarm.get("TreatMissingData", "missing")
    if not real and missing in {"missing", "ignore"}:
        return "INSUFFICIENT_DATA" if missing == "missing" else before
    filled = periods - len(real) if missing == "breaching" else 0
    return "ALARM" if sum(real) + filled >= alarm.get("DatapointsToAlarm", periods) else "OK"


def statistic_of(alarm: Alarm) -> str:
    """Return the statistic that an alarm evaluates."""
    statistic: str = alarm.get("ExtendedStatistic") or alarm["Statistic"]
    return statistic


def widgets(template: Template) -> list[dict[str, Any]]:
    """Return the dashboard's widgets."""
    found: list[dict[str, Any]] = json.loads(template.resources["Dashboard"]["Properties"]["DashboardBody"])["widgets"]
    return found


def metrics_of(widget: dict[str, Any]) -> Iterator[tuple[Metric, str]]:
    """Yield the metrics that a dashboard's widget shows, each with its statistic."""
    for line in widget["properties"]["metrics"]:
        options = line[-1] if isinstance(line[-1], dict) else {}
        namespace, name, *pairs = [part for part in line if part is not options]
        dimensions = dict(zip(pairs[::2], pairs[1::2], strict=True))
        yield Metric.of(namespace, name, **dimensions), options.get("stat", widget["properties"]["stat"])
