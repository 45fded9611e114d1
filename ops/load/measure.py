"""Measure one number of users: their answers, the backlog behind the queues, and how long it takes to drain."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from handoff.clock import now_ms
from ops.load import users as users_program
from ops.load.figures import percentiles
from ops.load.settings import Settings
from ops.load.stage import Stage
from ops.load.users import PLACED, Request, Run
from ops.stack import emf, observe
from ops.stack.deployment import Deployment, log_group

_EVERY = 2.0  # seconds between two looks at the queues
_LAG = "EventLagDone"


class GeneratorFailed(Exception):
    """The process that sends the orders has failed. Its error is on standard error."""


@dataclass(frozen=True)
class Lag:
    """The consumer with the longest lag, and the 95th percentile of its lags in milliseconds."""

    consumer: str
    p95: float


@dataclass(frozen=True)
class Level:
    """The figures of one number of users, after the warm-up. ``drained`` is None if it took longer than allowed."""

    users: int
    seconds: float
    answers: dict[str, list[float]]  # milliseconds by status
    backlog: int  # events that were due and not handled, at most
    drained: float | None  # seconds from the last answer until every queue was empty
    lag: Lag | None

    @property
    def rate(self) -> float:
        """Placed orders a second."""
        return len(self.placed) / self.seconds

    @property
    def placed(self) -> list[float]:
        """The answer times of placed orders in milliseconds."""
        return self.answers.get(PLACED, [])

    @property
    def counts(self) -> dict[str, int]:
        """The number of answers by status."""
        return {status: len(times) for status, times in sorted(self.answers.items())}

    @property
    def availability(self) -> float:
        """The share of orders that were placed."""
        sent = sum(self.counts.values())
        return len(self.placed) / sent if sent else float("nan")


def measure(stage: Stage, settings: Settings, users: int, sent: list[Request]) -> Level:
    """Let users order, and wait for the consumers. All requests are added to ``sent``, also after an interrupt.

    Raises
    ------
    GeneratorFailed
        If the load could not be sent.
    """
    deployment, began = stage.deployment, now_ms()
    run = Run(
        f"{deployment.api_url}/orders",
        stage.tokens(),
        stage.skus,
        users,
        settings.think,
        settings.seconds,
        settings.warm_up,
        seed=began,
        payment_token=settings.payment_token,
    )
    depths: list[int] = []
    first = len(sent)
    _send(run, sent, lambda: depths.append(backlog(deployment)))
    drained = drain(deployment, settings.within, depths)
    answers: dict[str, list[float]] = {}
    for request in sent[first:]:
        if request.at >= settings.warm_up:
            answers.setdefault(request.answer, []).append(request.milliseconds)
    return Level(users, settings.seconds, answers, max(depths), drained, _longest_lag(deployment, began))


def backlog(deployment: Deployment) -> int:
    """Return how many events are due and not handled, in all queues; SQS only approximates it."""
    urls = [deployment.queue_url(name) for name in deployment.consumers]
    return sum(observe.depth(deployment, url).backlog for url in urls)


def _send(run: Run, sent: list[Request], look: Callable[[], None]) -> None:
    """Run the users in a process of their own, which Ctrl-C does not reach; on an interrupt, let them finish."""
    command = [sys.executable, users_program.__file__]
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, text=True, start_new_session=True) as process,
    ):
        assert process.stdin is not None  # noqa: S101  # a pipe
        try:
            process.stdin.write(json.dumps(asdict(run)))
            process.stdin.close()
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_EVERY)
                look()
        finally:
            process.terminate()
            process.wait()
            output.seek(0)
            text = output.read()
            sent += [Request(**request) for request in json.loads(text or "[]")]
        if not text and process.returncode != -signal.SIGTERM:
            raise GeneratorFailed(f"The process that sends the orders ended with status {process.returncode}.")


def drain(deployment: Deployment, within: float, depths: list[int] | None = None) -> float | None:
    """Wait until no event is due; return the seconds, None if it takes longer than ``within``. Add to the depths."""
    began = time.monotonic()
    while True:
        depth = backlog(deployment)
        if depths is not None:
            depths.append(depth)
        waited = time.monotonic() - began
        if not depth:
            return waited
        if waited > within:
            return None
        time.sleep(min(_EVERY, 1.0))


def _longest_lag(deployment: Deployment, since: int) -> Lag | None:
    """Return the lag of the slowest consumer since a time in epoch milliseconds, from the metrics in the logs."""
    lags = [Lag(name, percentiles(times)[1]) for name, times in _lags(deployment, since).items() if times]
    return max(lags, key=lambda lag: lag.p95, default=None)


def _lags(deployment: Deployment, since: int) -> dict[str, Sequence[float]]:
    found: dict[str, Sequence[float]] = {}
    for name in deployment.consumers:
        group = log_group(deployment, name)
        lines = emf.events(deployment.logs, group, start=since) if group else []
        data = (datum for line in lines for datum in emf.read(line["message"]))
        found[name] = [value for datum in data if datum.name == _LAG for value in datum.values]
    return found


def all_answers(levels: Sequence[Level]) -> Counter[str]:
    """Return the number of answers by status, of all levels."""
    counts: Counter[str] = Counter()
    for level in levels:
        counts.update(level.counts)
    return counts
