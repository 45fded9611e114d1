"""The figures of a deployment that the console shows: how things are now, and how they came to be."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from handoff.clock import now_ms
from ops.dlq.directory import directory
from ops.lag import measure as lag
from ops.lag.measure import Lag
from ops.stack import cloudwatch
from ops.stack.cloudwatch import Metric
from ops.stack.deployment import Deployment

Points = list[tuple[int, float]]  # epoch milliseconds of a period's start, and its value

# How orders are answered: what a plot calls it, and the metrics of which it is the sum.
ANSWERS = {
    "placed": ("OrdersPlaced",),
    "repeated": ("OrdersRepeated",),
    "refused": ("OrdersDeclined", "OrdersOutOfStock", "OrdersRefused"),
    "failed": ("OrdersUnavailable", "OrdersFailed"),
}
TIMES = ("p50", "p99")
_RECENT = 300_000  # ms: what is older is not shown as now. CloudWatch takes a minute or two.
_QUEUE = {"visible": "ApproximateNumberOfMessagesVisible", "hidden": "ApproximateNumberOfMessagesNotVisible"}
_OLDEST = "ApproximateAgeOfOldestMessage"


@dataclass(frozen=True)
class Pace:
    """How often to look, how far back, and in periods of what length; all in seconds."""

    every: float
    span: int
    period: int


LOCAL = Pace(every=2, span=600, period=10)
# Metrics have a resolution of a minute. A look asks for some 66, those of `ops.lag.measure` included: 8 cents an hour.
# https://aws.amazon.com/cloudwatch/pricing/
AWS = Pace(every=30, span=10_800, period=60)


@dataclass(frozen=True)
class Figures:
    """What one look has found. Times in epoch milliseconds, lags in milliseconds, ages in seconds."""

    at: int
    begin: int
    period: int
    lags: list[Lag]
    letters_elsewhere: int  # dead letters of those that have no queue: of partners, of nobody
    points: Mapping[str, Points]
    faults: frozenset[str]  # the switches that are on

    @property
    def consumers(self) -> list[str]:
        """Who has a queue."""
        return [each.consumer for each in self.lags]

    @property
    def dead_letters(self) -> int:
        """How many there are."""
        return sum(each.dead_letters for each in self.lags) + self.letters_elsewhere

    @property
    def is_empty(self) -> bool:
        """Whether there was no order in all this time."""
        return not any(value for answer in ANSWERS for _, value in self.answers(answer))

    def answers(self, answer: str) -> Points:
        """How many orders got this answer, by period."""
        return added(self.points[name] for name in ANSWERS[answer])

    def answer_time(self, percentile: str) -> Points:
        """How long answers took, by period."""
        return self.points[percentile]

    def queued(self, consumer: str) -> Points:
        """Messages waiting for a consumer, or being worked on, by period."""
        return added(self.points[f"{consumer} {kind}"] for kind in _QUEUE)

    def oldest(self, consumer: str) -> Points:
        """The age of a consumer's oldest message, by period."""
        return self.points[f"{consumer} oldest"]

    def lag(self, consumer: str) -> Points:
        """The lag that 99 of 100 events of a consumer had at most, by period."""
        return self.points[f"{consumer} lag"]

    def failures(self, consumer: str) -> Points:
        """Tries of a consumer that failed, for now or for good, by period."""
        return added(self.points[f"{consumer} {kind}"] for kind in ("retried", "failed"))

    def minute_answered(self) -> tuple[int, float]:
        """The end of the last minute whose periods are over and known, and how many orders were answered in it.

        The period that has just ended is left out: its figures are on their way.
        """
        period = self.period * 1000
        end = (self.at // period - 1) * period
        known = (point for answer in ANSWERS for point in self.answers(answer))
        return end, sum(value for at, value in known if end - 60_000 <= at < end)

    def newest(self, points: Points) -> tuple[int, float] | None:
        """The last of some points, if it is recent."""
        return points[-1] if points and points[-1][0] >= self.at - _RECENT else None

    @property
    def unfinished(self) -> float | None:
        """How long the oldest unfinished work has waited, as the sweeper saw it; None if it did not look lately."""
        found = self.newest(self.points["unfinished"])
        return None if found is None else found[1]


def look(deployment: Deployment, pace: Pace, active_faults: Callable[[], frozenset[str]]) -> Figures:
    """Look at a deployment, and at the fault switches that are on.

    Raises
    ------
    ops.cloudwatch.MetricsError, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError
        If AWS refuses, or does not answer.
    httpx.HTTPError
        If the fault proxy does not answer.
    """
    at = now_ms()
    end = (at // 1000 // pace.period + 1) * pace.period * 1000
    begin = end - pace.span * 1000
    lags = lag.measure(deployment)
    wanted = metrics(deployment.stack, directory(deployment).queues)
    points = cloudwatch.series(deployment.cloudwatch, wanted, start=begin, end=end, period=pace.period)
    return Figures(
        at=at,
        begin=begin,
        period=pace.period,
        lags=lags,
        letters_elsewhere=sum(lag.other_dead_letters(deployment).values()),
        points={key: points.get(key, []) for key in wanted},
        faults=active_faults(),
    )


def metrics(stack: str, queues: Mapping[str, str]) -> dict[str, Metric]:
    """All metrics of a stack's plots, by what `Figures` calls them. ``queues``: each consumer's queue's address."""
    ours = partial(Metric, "Handoff")
    service = (("service", stack),)
    found = {name: ours(name, service, "Sum") for names in ANSWERS.values() for name in names}
    found |= {percentile: ours("OrderTime", service, percentile) for percentile in TIMES}
    found["unfinished"] = ours("UnfinishedAge", service, "Maximum")
    for consumer, url in queues.items():
        its = (*service, ("consumer", consumer))
        queue = (("QueueName", url.rpartition("/")[2]),)
        found |= {f"{consumer} {kind}": Metric("AWS/SQS", name, queue, "Maximum") for kind, name in _QUEUE.items()}
        found[f"{consumer} oldest"] = Metric("AWS/SQS", _OLDEST, queue, "Maximum")
        found[f"{consumer} lag"] = ours("EventLagDone", its, "p99")
        found[f"{consumer} retried"] = ours("EventsRetried", its, "Sum")
        found[f"{consumer} failed"] = ours("EventsFailed", its, "Sum")
    return found


def added(series: Iterable[Points]) -> Points:
    """The sum of several series, period by period."""
    total: Counter[int] = Counter()
    for points in series:
        for at, value in points:
            total[at] += value  # type: ignore[assignment]
    return sorted(total.items())
