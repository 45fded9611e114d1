"""Measure how far the consumers of a stack are behind."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from handoff.clock import now_ms
from ops.dlq.directory import Directory, directory
from ops.stack import cloudwatch, observe
from ops.stack.cloudwatch import MINUTE, Metric
from ops.stack.deployment import Deployment
from ops.stack.observe import Depth

# Minutes that AWS may take to publish a queue's metrics. An older value is not used as the current one.
_LATE = 3
_LONGEST_DELAY = 15  # minutes: the maximum of SQS
_IN_PROGRESS = 60.0  # seconds; younger events are not a backlog
# Minutes over which failing events are searched for: an event waits for its next try for an hour at most.
BETWEEN_TRIES = 65

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Lag:
    """One consumer, now and over the last minutes. None: CloudWatch has no data."""

    consumer: str
    waiting: int
    in_flight: int  # in progress, or waiting for their next try
    oldest: float | None  # age in seconds of the oldest event that waits, is in progress, or keeps failing
    p50: float | None  # ms from an event to its effect
    p99: float | None
    rate_in: float | None  # events a second
    rate_out: float | None  # events a second that were done or became dead letters
    drain: float | None  # seconds until the backlog is drained; infinite if it does not shrink
    dead_letters: int
    delayed: int = 0  # not due yet, because the queue delays each message: no backlog
    delay: int = 0  # seconds of that delay, which is in no lag and no age

    @property
    def backlog(self) -> int:
        """Events that are not handled yet."""
        return self.waiting + self.in_flight


def measure(deployment: Deployment, *, minutes: int = 5) -> list[Lag]:
    """Return the lag of every consumer with a queue: counts as they are now, rates and lag over the last minutes.

    If a queue delays its messages, an event counts from the end of its delay.

    Raises
    ------
    ops.stack.cloudwatch.MetricsError
        If CloudWatch returned incomplete data.
    botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError
        If a request failed.
    """
    known = directory(deployment)
    depths = {consumer: observe.depth(deployment, url) for consumer, url in sorted(known.queues.items())}
    metrics = _read_metrics(deployment, known, minutes, {name: depth.delay for name, depth in depths.items()})
    dead_letter_queues = {owner: url for url, owner in known.dead.items()}
    return [
        metrics.lag(consumer, depth, _count(deployment, dead_letter_queues.get(consumer)))
        for consumer, depth in depths.items()
    ]


@dataclass(frozen=True)
class _Metrics:
    """The metrics of all consumers: lags by statistic, and series by the minute; times in epoch milliseconds."""

    lags: Mapping[str, float]
    flows: Mapping[str, Points]  # of the minutes that rates are measured over
    tries: Mapping[str, Points]  # of the minutes that failing events are searched for
    minutes: int
    now: int

    def lag(self, consumer: str, depth: Depth, dead_letters: int) -> Lag:
        """Return the lag of one consumer."""
        sent, finished, failed = (self.flows[f"{name} {consumer}"] for name in ("in", "finished", "failed"))
        rate_in = rate(self.flows[f"due {consumer}"], self.minutes, self.now)
        rate_out = rate(departures(sent, finished, failed), self.minutes, self.now)
        in_queue = _latest(self.flows[f"oldest {consumer}"], self.now)
        since_due = None if in_queue is None else max(0.0, in_queue - depth.delay)
        ages = (since_due, keeps_failing(Tries.of(self.tries, consumer), self.now))
        oldest = max((age for age in ages if age is not None), default=None) if depth.backlog else 0.0
        return Lag(
            consumer,
            depth.waiting,
            depth.in_flight,
            oldest=oldest,
            p50=self.lags.get(f"p50 {consumer}"),
            p99=self.lags.get(f"p99 {consumer}"),
            rate_in=rate_in,
            rate_out=rate_out,
            drain=drain(depth.backlog, oldest, rate_in, rate_out),
            dead_letters=dead_letters,
            delayed=depth.delayed,
            delay=depth.delay,
        )


def _read_metrics(deployment: Deployment, known: Directory, minutes: int, delays: Mapping[str, int]) -> _Metrics:
    now = now_ms()
    lags = cloudwatch.lately(deployment.cloudwatch, _lag_metrics(deployment.stack, known), minutes=minutes, now=now)
    wanted = _queue_metrics(known) | _try_metrics(deployment.stack, known)
    start = _minutes_before(now, max(minutes + _LATE + _LONGEST_DELAY, BETWEEN_TRIES))
    series: dict[str, Points] = {**cloudwatch.series(deployment.cloudwatch, wanted, start=start, end=now, period=60)}
    series |= {f"due {name}": due(series[f"in {name}"], delay, now) for name, delay in delays.items()}
    flows = _since(_minutes_before(now, minutes + _LATE), series)
    return _Metrics(lags, flows, _since(_minutes_before(now, BETWEEN_TRIES), series), minutes, now)


def other_dead_letters(deployment: Deployment) -> dict[str, int]:
    """Return the number of dead letters by owner, of owners without a queue; ``unowned`` were not delivered."""
    known = directory(deployment)
    others = {owner: url for url, owner in known.dead.items() if owner not in known.queues}
    return {owner: _count(deployment, url) for owner, url in others.items()}


@dataclass(frozen=True)
class Tries:
    """A consumer's metrics of its tries, by minute: the age (ms) of the oldest event that it received, and has done."""

    received: Points
    done: Points
    retried: Points  # number of failures that are retried
    failed: Points  # number of permanent failures

    @classmethod
    def of(cls, series: Mapping[str, Points], consumer: str) -> "Tries":
        """Return the tries of one consumer."""
        return cls(**{name: series[f"{name} {consumer}"] for name in ("received", "done", "retried", "failed")})


def keeps_failing(tries: Tries, now: int) -> float | None:
    """Return the age in seconds, at least, of the oldest event whose last try failed; None without one.

    SQS excludes messages that were received three times from a queue's age, so this uses the consumer's metrics. An
    event as old that was done or became a dead letter in the same minute or later is assumed to be the failed one.
    """
    ages, born = dict(tries.received), []
    ended = [*tries.done, *((minute, ages[minute]) for minute, count in tries.failed if count and minute in ages)]
    for minute, _ in (point for point in tries.retried if point[1] and point[0] in ages):
        latest = minute + MINUTE - ages[minute]
        if not any(later >= minute and later - age <= latest for later, age in ended):
            born.append(latest)
    return max(0.0, now - min(born)) / 1000 if born else None


def due(sent: Points, delay: int, now: int) -> Points:
    """Return how many events came due in each minute, with the queue's delay in seconds, to the minute.

    Minutes that are not over are left out, unless the delay is shorter than half a minute.
    """
    minutes = round(delay * 1000 / MINUTE)
    moved = [(minute + minutes * MINUTE, value) for minute, value in sent]
    return [point for point in moved if point[0] + MINUTE <= now] if minutes else moved


def departures(sent: Points, finished: Points, failed: Points) -> Points:
    """Return how many events left a queue in each minute for which SQS has published arrivals.

    They are counted by the consumer's metrics. SQS's NumberOfMessagesDeleted counts an event that was received more
    than once twice, because the consumer deletes it too.
    """
    counts = Counter(dict(finished))
    counts.update(dict(failed))
    return [(minute, counts[minute]) for minute, _ in sent]


def rate(points: Points, minutes: int, now: int) -> float | None:
    """Return events a second over the last minutes with data: minutes that are not published yet are not zeros."""
    if not points:
        return None
    last = points[-1][0]
    counted = [point for point in points if point[0] > last - minutes * MINUTE]
    seconds = (min(last + MINUTE, now) - counted[0][0]) / 1000
    return sum(value for _, value in counted) / seconds if seconds > 0 else None


def drain(backlog: int, oldest: float | None, rate_in: float | None, rate_out: float | None) -> float | None:
    """Return the seconds until the backlog is drained at the current rates; infinite if it does not shrink.

    Events that are handled within a minute are not a backlog but in progress. None if the rates are unknown, or if
    nothing was handled and ``oldest`` (seconds) does not show that something should have been.
    """
    if not backlog:
        return 0.0
    if rate_in is None or rate_out is None:
        return None
    if backlog <= rate_out * _IN_PROGRESS:
        return backlog / rate_out
    if rate_out > rate_in:
        return backlog / (rate_out - rate_in)
    return math.inf if rate_out or (oldest or 0) > _IN_PROGRESS else None


def _minutes_before(now: int, minutes: int) -> int:
    return (now // MINUTE - minutes) * MINUTE


def _since(start: int, series: Mapping[str, Points]) -> dict[str, Points]:
    return {key: [point for point in points if point[0] >= start] for key, points in series.items()}


def _latest(points: Points, now: int) -> float | None:
    """Return the last value if it is recent enough."""
    return points[-1][1] if points and points[-1][0] >= now - (_LATE + 1) * MINUTE else None


def _lag_metrics(stack: str, known: Directory) -> dict[str, Metric]:
    return {
        f"{stat} {consumer}": Metric.of_consumer(stack, consumer, "EventLagDone", stat)
        for consumer in known.queues
        for stat in ("p50", "p99")
    }


def _try_metrics(stack: str, known: Directory) -> dict[str, Metric]:
    wanted = {
        "received": ("EventLagReceived", "Maximum"),
        "done": ("EventLagDone", "Maximum"),
        "finished": ("EventLagDone", "SampleCount"),
        "retried": ("EventsRetried", "Sum"),
        "failed": ("EventsFailed", "Sum"),
    }
    return {
        f"{key} {consumer}": Metric.of_consumer(stack, consumer, name, stat)
        for consumer in known.queues
        for key, (name, stat) in wanted.items()
    }


def _queue_metrics(known: Directory) -> dict[str, Metric]:
    wanted = {
        "in": ("NumberOfMessagesSent", "Sum"),
        "oldest": ("ApproximateAgeOfOldestMessage", "Maximum"),
    }
    return {
        f"{key} {consumer}": Metric("AWS/SQS", name, (("QueueName", url.rpartition("/")[2]),), stat)
        for consumer, url in known.queues.items()
        for key, (name, stat) in wanted.items()
    }


def _count(deployment: Deployment, queue_url: str | None) -> int:
    """Return the number of messages in a queue, including those that a receiver holds."""
    return observe.depth(deployment, queue_url).total if queue_url else 0
