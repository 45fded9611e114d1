"""Figures of a deployment that the console shows: the present, and its history."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from botocore.exceptions import ClientError

from handoff.clock import now_ms
from ops.console.recent import FaultPeriod, Recent
from ops.dlq.directory import directory
from ops.lag import measure as lag
from ops.lag.measure import Lag
from ops.stack import cloudwatch
from ops.stack.cloudwatch import Metric
from ops.stack.deployment import Deployment
from ops.stack.outboxes import Outboxes, Waiting

Points = list[tuple[int, float]]  # start of a period in epoch milliseconds, and its value

# Outcomes of order requests as the plots name them, and the metrics that they are the sums of.
OUTCOMES = {
    "placed": ("OrdersPlaced",),
    "repeated": ("OrdersRepeated",),
    "rejected": ("OrdersDeclined", "OrdersOutOfStock", "OrdersRefused", "OrdersLimited"),
    "waiting": ("OrdersActionRequired",),
    "failed": ("OrdersUnavailable", "OrdersFailed"),
}
PERCENTILES = ("p50", "p99")  # of response times
_RECENT = 300_000  # ms; older points are not shown as current. CloudWatch is a minute or two late.
_QUEUE = {"visible": "ApproximateNumberOfMessagesVisible", "in flight": "ApproximateNumberOfMessagesNotVisible"}
_OLDEST = "ApproximateAgeOfOldestMessage"


@dataclass(frozen=True)
class Polling:
    """The interval between two reads, the time span that a read covers, and the length of its periods, in seconds."""

    interval: float
    span: int
    period: int


LOCAL = Polling(interval=2, span=600, period=10)
# Metrics have a resolution of a minute. A read requests about 71, with those of `ops.lag.measure`: 9 cents an hour.
# https://aws.amazon.com/cloudwatch/pricing/
AWS = Polling(interval=30, span=10_800, period=60)


@dataclass(frozen=True)
class Figures:
    """The result of one read. Times in epoch milliseconds, lags in milliseconds, ages in seconds."""

    at: int
    begin: int
    period: int
    lags: list[Lag]
    other_dead_letters: int  # of targets without a queue, and of rules that no longer exist
    points: Mapping[str, Points]
    faults: frozenset[str]  # names of the fault switches that are on
    waiting: Waiting | None  # in outboxes; None without permission to read them
    growing: frozenset[str]  # consumers whose backlog grows
    fault_periods: tuple[FaultPeriod, ...]

    @property
    def consumers(self) -> list[str]:
        """The consumers that have a queue."""
        return [each.consumer for each in self.lags]

    @property
    def dead_letters(self) -> int:
        """The number of all dead letters."""
        return sum(each.dead_letters for each in self.lags) + self.other_dead_letters

    @property
    def is_empty(self) -> bool:
        """Whether no order was requested in the whole time span."""
        return not any(value for outcome in OUTCOMES for _, value in self.requests(outcome))

    def requests(self, outcome: str) -> Points:
        """Return the number of order requests with this outcome, by period."""
        return sum_series(self.points[name] for name in OUTCOMES[outcome])

    def response_time(self, percentile: str) -> Points:
        """Return a percentile of the response times in milliseconds, by period."""
        return self.points[percentile]

    def queued(self, consumer: str) -> Points:
        """Return the number of a consumer's waiting and in-flight messages, by period."""
        return sum_series(self.points[f"{consumer} {kind}"] for kind in _QUEUE)

    def oldest(self, consumer: str) -> Points:
        """Return the age of a consumer's oldest message in seconds, by period, without the delay of its queue."""
        delay = next((each.delay for each in self.lags if each.consumer == consumer), 0)
        return [(at, max(0.0, age - delay)) for at, age in self.points[f"{consumer} oldest"]]

    def lag(self, consumer: str) -> Points:
        """Return a consumer's p99 lag in milliseconds, by period."""
        return self.points[f"{consumer} lag"]

    def failures(self, consumer: str) -> Points:
        """Return the number of a consumer's failed attempts, to be retried or not, by period."""
        return sum_series(self.points[f"{consumer} {kind}"] for kind in ("retried", "failed"))

    def done(self, consumer: str) -> int:
        """Return how many events a consumer has handled in the whole time span."""
        return round(sum(count for _, count in self.points[f"{consumer} done"]))

    def last_minute(self) -> tuple[int, float]:
        """Return the end of the last minute with complete figures, and the number of responses in it.

        The period that has just ended is left out: its metrics arrive late.
        """
        period = self.period * 1000
        end = (self.at // period - 1) * period
        known = (point for outcome in OUTCOMES for point in self.requests(outcome))
        return end, sum(value for at, value in known if end - 60_000 <= at < end)

    def newest(self, points: Points) -> tuple[int, float] | None:
        """Return the last point if it is recent."""
        return points[-1] if points and points[-1][0] >= self.at - _RECENT else None

    @property
    def unfinished(self) -> float | None:
        """Age of the oldest unfinished work as the sweeper reported it; None if it has not reported lately."""
        point = self.newest(self.points["unfinished"])
        return point[1] if point else None


class Reader:
    """Reads a deployment's figures, and the fault switches that are on, again and again."""

    def __init__(
        self, deployment: Deployment, polling: Polling, active_faults: Callable[[], frozenset[str]] = frozenset
    ) -> None:
        self._deployment = deployment
        self._polling = polling
        self._active_faults = active_faults
        self._outboxes = Outboxes(deployment)
        self._recent = Recent(polling.interval)

    def read(self) -> Figures:
        """Return the present figures.

        Raises
        ------
        ops.stack.cloudwatch.MetricsError, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError
            If AWS rejects a request or does not respond.
        httpx.HTTPError
            If ``active_faults`` gets no response.
        """
        deployment, at, period = self._deployment, now_ms(), self._polling.period
        end = (at // 1000 // period + 1) * period * 1000
        begin = end - self._polling.span * 1000
        lags, faults = lag.measure(deployment), self._active_faults()
        wanted = metrics(deployment.stack, directory(deployment).queues)
        points = cloudwatch.series(deployment.cloudwatch, wanted, start=begin, end=end, period=period)
        self._recent.add(at, lags, faults)
        return Figures(
            at=at,
            begin=begin,
            period=period,
            lags=lags,
            other_dead_letters=sum(lag.other_dead_letters(deployment).values()),
            points={key: points.get(key, []) for key in wanted},
            faults=faults,
            waiting=self._read_outboxes(),
            growing=self._recent.growing,
            fault_periods=self._recent.fault_periods(begin),
        )

    def _read_outboxes(self) -> Waiting | None:
        """Return the events in outboxes; None for an operator whose role may not read the tables."""
        try:
            return self._outboxes.read()
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDeniedException":
                raise
            return None


def metrics(stack: str, queues: Mapping[str, str]) -> dict[str, Metric]:
    """Return all metrics of a stack's plots by their names in `Figures`. ``queues``: queue URLs by consumer."""
    ours = partial(Metric, "Handoff")
    service = (("service", stack),)
    found = {name: ours(name, service, "Sum") for names in OUTCOMES.values() for name in names}
    found |= {percentile: ours("OrderTime", service, percentile) for percentile in PERCENTILES}
    found["unfinished"] = ours("UnfinishedAge", service, "Maximum")
    for consumer, url in queues.items():
        own = partial(Metric.of_consumer, stack, consumer)
        queue = (("QueueName", url.rpartition("/")[2]),)
        found |= {f"{consumer} {kind}": Metric("AWS/SQS", name, queue, "Maximum") for kind, name in _QUEUE.items()}
        found[f"{consumer} oldest"] = Metric("AWS/SQS", _OLDEST, queue, "Maximum")
        found[f"{consumer} lag"] = own("EventLagDone", "p99")
        found[f"{consumer} done"] = own("EventLagDone", "SampleCount")
        found[f"{consumer} retried"] = own("EventsRetried", "Sum")
        found[f"{consumer} failed"] = own("EventsFailed", "Sum")
    return found


def sum_series(series: Iterable[Points]) -> Points:
    """Return the sum of several series, period by period."""
    total: Counter[int] = Counter()
    for points in series:
        for at, value in points:
            total[at] += value  # type: ignore[assignment]
    return sorted(total.items())
