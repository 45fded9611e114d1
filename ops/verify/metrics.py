"""Check: lag and queue age have data under the very metrics that the alarms read."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from handoff.clock import now_ms
from ops.polling import until
from ops.smoke_order import CheckFailed, first_events
from ops.stack import cloudwatch
from ops.stack.cloudwatch import Metric
from ops.stack.deployment import Deployment
from ops.verify.alarms import alarms
from ops.verify.check import Attempt, Check, NotAvailable, Outcome
from ops.verify.logs import placed_order

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricAlarmTypeDef

_LAG, _AGE = {"EventLagDone", "UnfinishedAge"}, {"ApproximateAgeOfOldestMessage"}
_SIBLING = "ApproximateNumberOfMessagesVisible"
# SQS needs up to 15 minutes for a queue that was idle for hours.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-monitoring-using-cloudwatch.html
_PUBLISHED_WITHIN = 1200.0  # seconds
_LOCALLY_WITHIN = 75.0  # seconds; the sweeper runs each minute
_EVERY, _LOCALLY_EVERY = 30.0, 1.0  # seconds; on AWS each look costs
_AGES = "queue ages as the alarms read them"
_AGES_PAGE = (
    "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html"
)


@dataclass(frozen=True)
class _Reading:
    """The metric that an alarm reads, and its period in seconds."""

    metric: Metric
    period: int

    @classmethod
    def of(cls, alarm: "MetricAlarmTypeDef") -> Self:
        """Return the reading of an alarm."""
        dimensions = tuple((dimension["Name"], dimension["Value"]) for dimension in alarm["Dimensions"])
        stat = alarm.get("ExtendedStatistic") or alarm["Statistic"]
        return cls(Metric(alarm["Namespace"], alarm["MetricName"], dimensions, stat), alarm["Period"])

    @property
    def sibling(self) -> Self:
        """The same of a metric that SQS publishes for an empty queue too."""
        return replace(self, metric=replace(self.metric, name=_SIBLING))

    def __str__(self) -> str:
        metric = self.metric
        return f"{metric.stat} of {metric.namespace} {metric.name} {dict(metric.dimensions)} in {self.period} s"


def _run(attempt: Attempt) -> str:
    situation, order = attempt.situation, placed_order(attempt)
    known, consumers = alarms(situation.deployment), first_events(situation.deployment)
    lags = {name: _Reading.of(alarm) for name, alarm in known.items() if _is_lag(alarm, consumers)}
    ages = {name: _Reading.of(alarm) for name, alarm in known.items() if _is_age(name, alarm, consumers)}
    wanted = lags | {f"{name} {_SIBLING}": reading.sibling for name, reading in ages.items()}
    within, every = (_LOCALLY_WITHIN, _LOCALLY_EVERY) if situation.is_local else (_PUBLISHED_WITHIN, _EVERY)
    within += float(situation.deployment.parameters.get("PackAfter", 0))  # until fulfillment gets the order's event
    points = until(
        lambda: _read(situation.deployment, wanted | ages, order.sent_at),
        lambda seen: seen.keys() >= wanted.keys(),
        within,
        every=every,
    )
    if situation.is_local and not points:
        raise NotAvailable("no metrics are published; `make run` publishes those of its stack")
    for name, reading in (lags | ages).items():
        attempt.note(f"{name}: {reading}: {points.get(name, 'no data')}")
    _judge_ages(attempt, sorted(ages), points)
    missing = sorted(lags.keys() - points.keys())
    if missing:
        raise CheckFailed(f"no data for {', '.join(missing)} in {within:.0f} s")
    return f"{len(lags)} alarms read data"


def _judge_ages(attempt: Attempt, ages: Sequence[str], points: Mapping[str, float]) -> None:
    silent = [name for name in ages if f"{name} {_SIBLING}" not in points]
    empty = [name for name in ages if name not in points]
    if silent:
        attempt.also(_AGES, Outcome.FAILED, f"no metrics of the queues of {', '.join(silent)}: check the dimensions")
    elif empty:
        why = f"SQS reports an age only while a message waits ({_AGES_PAGE})"
        others = f"{_SIBLING} of the same queues has data"
        attempt.also(_AGES, Outcome.NOT_AVAILABLE, f"no age for {', '.join(empty)}, but {others}: {why}")
    else:
        attempt.also(_AGES, Outcome.PASSED, f"{len(ages)} alarms read data")


def _read(deployment: Deployment, wanted: Mapping[str, _Reading], since: int) -> dict[str, float]:
    """Return the last value of each metric since a time in epoch milliseconds, with the alarm's period."""
    by_period: dict[int, dict[str, Metric]] = defaultdict(dict)
    for name, reading in wanted.items():
        by_period[reading.period][name] = reading.metric
    found: dict[str, float] = {}
    for period, metrics in by_period.items():
        step = period * 1000
        start, end = since // step * step, (now_ms() // step + 1) * step
        values = cloudwatch.series(deployment.cloudwatch, metrics, start=start, end=end, period=period)
        found |= {name: points[-1][1] for name, points in values.items() if points}
    return found


def _is_lag(alarm: "MetricAlarmTypeDef", consumers: Collection[str]) -> bool:
    """Return whether the smoke order makes data for it; ``consumers`` get its events. No mail of it bounces."""
    named = {dimension["Value"] for dimension in alarm["Dimensions"] if dimension["Name"] == "consumer"}
    return alarm["MetricName"] in _LAG and named <= set(consumers)


def _is_age(logical_id: str, alarm: "MetricAlarmTypeDef", consumers: Collection[str]) -> bool:
    """Return whether it is about a queue that the smoke order's events go through."""
    return alarm["MetricName"] in _AGE and logical_id.lower().startswith(tuple(consumers))


CHECK = Check(
    key="metrics",
    name="lags as the alarms read them",
    does="reads the metrics of the lag and age alarms, with their dimensions and statistics, since the smoke order",
    takes="up to 20 min",
    needs="cloudwatch:DescribeAlarms, GetMetricData; events:ListRules",
    costs={"cloudwatch_request": 600},
    run=_run,
)
