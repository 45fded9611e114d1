"""How far behind the consumers of a stack are."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from handoff.clock import now_ms
from ops.dlq.directory import Directory, directory
from ops.stack import cloudwatch, observe
from ops.stack.cloudwatch import MINUTE, Metric
from ops.stack.deployment import Deployment

# How many minutes AWS may take to tell of a queue. A figure that is older is not taken for the present.
_LATE = 3
_ON_ITS_WAY = 60.0  # seconds
# Over how many minutes a failing event is looked for: it waits for its next try for an hour at most.
BETWEEN_TRIES = 65

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Lag:
    """One consumer, now and over the last minutes. None is what CloudWatch does not know."""

    consumer: str
    waiting: int
    in_flight: int  # being worked on, or waiting for their next try
    oldest: float | None  # seconds; of what waits, is being worked on, or keeps failing
    p50: float | None  # ms from an event to its effect
    p99: float | None
    rate_in: float | None  # events a second
    rate_out: float | None  # done, or given up
    drain: float | None  # seconds until nothing waits; infinite if it does not shrink
    dead_letters: int

    @property
    def backlog(self) -> int:
        """Events that are not done yet."""
        return self.waiting + self.in_flight


def measure(deployment: Deployment, *, minutes: int = 5) -> list[Lag]:
    """The lag of every consumer that has a queue in the stack: counts as they are now, rates and lag over some minutes.

    Raises
    ------
    ops.cloudwatch.MetricsError
        If CloudWatch had no whole answer.
    botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError
        If AWS refused, or did not answer.
    """
    known, now = directory(deployment), now_ms()
    lags = cloudwatch.lately(deployment.cloudwatch, _lag_metrics(deployment.stack, known), minutes=minutes, now=now)
    asked = _queue_metrics(known) | _try_metrics(deployment.stack, known)
    start = _minutes_before(now, max(minutes + _LATE, BETWEEN_TRIES))
    series = cloudwatch.series(deployment.cloudwatch, asked, start=start, end=now, period=60)
    flows = _since(_minutes_before(now, minutes + _LATE), series)
    tries = _since(_minutes_before(now, BETWEEN_TRIES), series)
    letters = {owner: url for url, owner in known.dead.items()}
    found = []
    for consumer, url in sorted(known.queues.items()):
        depth = observe.depth(deployment, url)
        sent = flows[f"in {consumer}"]
        rate_in = rate(sent, minutes, now)
        rate_out = rate(left(sent, flows[f"finished {consumer}"], flows[f"failed {consumer}"]), minutes, now)
        ages = (_latest(flows[f"oldest {consumer}"], now), keeps_failing(Tries.of(tries, consumer), now))
        oldest = max((age for age in ages if age is not None), default=None) if depth.total else 0.0
        found.append(
            Lag(
                consumer,
                depth.waiting,
                depth.in_flight,
                oldest=oldest,
                p50=lags.get(f"p50 {consumer}"),
                p99=lags.get(f"p99 {consumer}"),
                rate_in=rate_in,
                rate_out=rate_out,
                drain=drain(depth.total, oldest, rate_in, rate_out),
                dead_letters=_letters(deployment, letters.get(consumer)),
            )
        )
    return found


def elsewhere(deployment: Deployment) -> dict[str, int]:
    """Dead letters by owner, of those that have no queue and are not measured; ``nobody``'s were not delivered."""
    known = directory(deployment)
    others = {owner: url for url, owner in known.dead.items() if owner not in known.queues}
    return {owner: _letters(deployment, url) for owner, url in others.items()}


@dataclass(frozen=True)
class Tries:
    """What a consumer says of its tries, by the minute: the age (ms) of the oldest event it received, and has done."""

    received: Points
    done: Points
    retried: Points  # how many failed
    failed: Points  # how many failed for good

    @classmethod
    def of(cls, series: Mapping[str, Points], consumer: str) -> "Tries":
        """A consumer's."""
        return cls(**{name: series[f"{name} {consumer}"] for name in ("received", "done", "retried", "failed")})


def keeps_failing(tries: Tries, now: int) -> float | None:
    """The age in seconds, at least, of the oldest event whose last try failed; None if there is none.

    SQS leaves out of a queue's age what was received three times, so this goes by what the consumer says. An event that
    was done or given up at the same time or later, and is as old, is taken for the one that failed.
    """
    ages, born = dict(tries.received), []
    ended = [*tries.done, *((minute, ages[minute]) for minute, count in tries.failed if count and minute in ages)]
    for minute, _ in (point for point in tries.retried if point[1] and point[0] in ages):
        latest = minute + MINUTE - ages[minute]
        if not any(later >= minute and later - age <= latest for later, age in ended):
            born.append(latest)
    return max(0.0, now - min(born)) / 1000 if born else None


def left(sent: Points, finished: Points, failed: Points) -> Points:
    """What left a queue in each minute of which SQS tells what came, by what its consumer says.

    SQS's own NumberOfMessagesDeleted counts what came back and was done twice: its consumer deletes it as well.
    """
    counts = Counter(dict(finished))
    counts.update(dict(failed))
    return [(minute, counts[minute]) for minute, _ in sent]


def rate(points: Points, minutes: int, now: int) -> float | None:
    """Events a second over the last minutes that CloudWatch knows of: what is late does not count as nothing."""
    if not points:
        return None
    last = points[-1][0]
    counted = [point for point in points if point[0] > last - minutes * MINUTE]
    seconds = (min(last + MINUTE, now) - counted[0][0]) / 1000
    return sum(value for _, value in counted) / seconds if seconds > 0 else None


def drain(backlog: int, oldest: float | None, rate_in: float | None, rate_out: float | None) -> float | None:
    """Seconds until nothing waits, if all goes on as it is; infinite if the backlog does not shrink.

    What is done within a minute is no backlog: it is on its way, and comes and goes as fast as the rates tell. None if
    the rates are not known, or if nothing was done and ``oldest`` (seconds) does not tell that it should have been.
    """
    if not backlog:
        return 0.0
    if rate_in is None or rate_out is None:
        return None
    if backlog <= rate_out * _ON_ITS_WAY:
        return backlog / rate_out
    if rate_out > rate_in:
        return backlog / (rate_out - rate_in)
    return math.inf if rate_out or (oldest or 0) > _ON_ITS_WAY else None


def _minutes_before(now: int, minutes: int) -> int:
    return (now // MINUTE - minutes) * MINUTE


def _since(start: int, series: Mapping[str, Points]) -> dict[str, Points]:
    return {key: [point for point in points if point[0] >= start] for key, points in series.items()}


def _latest(points: Points, now: int) -> float | None:
    """The last value, if it is of the present."""
    return points[-1][1] if points and points[-1][0] >= now - (_LATE + 1) * MINUTE else None


def _lag_metrics(stack: str, known: Directory) -> dict[str, Metric]:
    return {
        f"{stat} {consumer}": Metric("Handoff", "EventLagDone", (("service", stack), ("consumer", consumer)), stat)
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
        f"{key} {consumer}": Metric("Handoff", name, (("service", stack), ("consumer", consumer)), stat)
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


def _letters(deployment: Deployment, queue_url: str | None) -> int:
    """Dead letters in a queue, those that somebody looks at as well."""
    return observe.depth(deployment, queue_url).total if queue_url else 0
