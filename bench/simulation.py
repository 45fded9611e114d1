"""Discrete-event simulation of concurrent executions, for more users than one machine can serve.

All functions share a budget of concurrent executions, as in an AWS account. A request over the budget is throttled at
once; neither Lambda nor HTTP API queues it. A consumer over the budget retries later.
Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
"""

import random
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import simpy

_RETRY_AFTER = 1.0  # seconds, for a throttled consumer
_RESOLUTION = 0.01  # of the largest number of users

Steps = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Consumer:
    """The consumer of one queue; ``times`` are measured seconds per event, drawn at random.

    Each order causes ``events`` events. An execution handles at most ``batch`` of them, one after the other, or the
    ``whole_batch`` in the time of one event. ``concurrency`` is MaximumConcurrency.
    """

    name: str
    times: Sequence[float]
    events: int
    batch: int
    concurrency: int
    whole_batch: bool = False


@dataclass(frozen=True)
class Scenario:
    """Users in a closed loop; ``times`` are measured seconds of an order's execution, drawn at random.

    ``think`` is the mean of the exponential think times in seconds. The first ``warm_up`` seconds are ignored.
    """

    users: int
    think: float
    budget: int
    times: Sequence[float]
    consumers: tuple[Consumer, ...] = ()
    warm_up: float = 30.0
    seconds: float = 120.0
    seed: int = 1


@dataclass
class Outcome:
    """Latencies of orders in seconds, throttled orders, and the backlog of each consumer."""

    latencies: list[float] = field(default_factory=list)
    throttled: int = 0
    backlog: Counter[str] = field(default_factory=Counter)

    @property
    def errors(self) -> float:
        """Share of throttled orders."""
        sent = len(self.latencies) + self.throttled
        return self.throttled / sent if sent else 0.0


class _Simulation:
    def __init__(self, scenario: Scenario) -> None:
        self.outcome = Outcome()
        self._scenario = scenario
        self._chance = random.Random(scenario.seed)
        self._env = simpy.Environment()
        self._running = 0
        self._batches: Counter[str] = Counter()  # in progress, by consumer
        self._retrying: set[str] = set()

    def run(self) -> None:
        for _ in range(self._scenario.users):
            self._env.process(self._user())
        self._env.run(self._scenario.warm_up + self._scenario.seconds)

    def _user(self) -> Steps:
        while True:
            yield self._env.timeout(self._chance.expovariate(1 / self._scenario.think))
            began = self._env.now
            accepted = self._running < self._scenario.budget
            if accepted:
                self._running += 1
                yield self._env.timeout(self._chance.choice(self._scenario.times))
                self._running -= 1
                self._send_events()
            if began < self._scenario.warm_up:
                continue
            if accepted:
                self.outcome.latencies.append(self._env.now - began)
            else:
                self.outcome.throttled += 1

    def _send_events(self) -> None:
        for consumer in self._scenario.consumers:
            self.outcome.backlog[consumer.name] += consumer.events
            self._poll(consumer)

    def _poll(self, consumer: Consumer) -> None:
        while self.outcome.backlog[consumer.name] and self._batches[consumer.name] < consumer.concurrency:
            if self._running >= self._scenario.budget:
                if consumer.name not in self._retrying:
                    self._env.process(self._retry_later(consumer))
                return
            size = min(consumer.batch, self.outcome.backlog[consumer.name])
            self.outcome.backlog[consumer.name] -= size
            self._batches[consumer.name] += 1
            self._running += 1
            self._env.process(self._consume(consumer, size))

    def _retry_later(self, consumer: Consumer) -> Steps:
        self._retrying.add(consumer.name)
        yield self._env.timeout(_RETRY_AFTER)
        self._retrying.remove(consumer.name)
        self._poll(consumer)

    def _consume(self, consumer: Consumer, size: int) -> Steps:
        yield self._env.timeout(sum(self._chance.choices(consumer.times, k=1 if consumer.whole_batch else size)))
        self._running -= 1
        self._batches[consumer.name] -= 1
        self._poll(consumer)


def simulate(scenario: Scenario) -> Outcome:
    """Run a scenario. Deterministic: the same scenario has the same outcome."""
    simulation = _Simulation(scenario)
    simulation.run()
    return simulation.outcome


def max_users(served: Callable[[int], bool], limit: int) -> int:
    """Return the largest number of users up to ``limit`` that is ``served``, within 1 %; 0 if not even one is."""
    if not served(1):
        return 0
    enough, too_many = 1, 2
    while too_many <= limit and served(too_many):
        enough, too_many = too_many, too_many * 2
    while too_many - enough > max(1, enough * _RESOLUTION):
        middle = (enough + too_many) // 2
        enough, too_many = (middle, too_many) if served(middle) else (enough, middle)
    return enough
