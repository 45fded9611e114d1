"""A discrete-event simulation of a shop's executions, for more users than this machine can carry.

All functions share a budget of concurrent executions, as in an AWS account. A request that finds none left is refused
at once, and neither Lambda nor HTTP API queues it; a consumer that finds none left tries again later.
Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
"""

import random
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import simpy

_TRIES_AGAIN_AFTER = 1.0  # seconds, when a consumer finds no execution left
_RESOLUTION = 0.01  # of the largest number of users

Steps = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Consumer:
    """What happens behind one queue; ``times`` are seconds for one event, of which one is drawn for each.

    Each order makes so many ``events``. An execution takes a ``batch`` of them at most, one after the other, or all
    ``together`` in the time of one; ``at_once`` is its MaximumConcurrency.
    """

    name: str
    times: Sequence[float]
    events: int
    batch: int
    at_once: int
    together: bool = False


@dataclass(frozen=True)
class Scenario:
    """So many users in closed loop; ``times`` are seconds that an order's execution takes, one is drawn for each.

    ``think`` is the mean of the users' exponential think times. Orders of the first ``warm_up`` seconds do not count.
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
    """What the users saw, in seconds, and what the consumers have not got round to."""

    answered: list[float] = field(default_factory=list)
    refused: int = 0
    waiting: Counter[str] = field(default_factory=Counter)

    @property
    def errors(self) -> float:
        """The share of orders that were refused."""
        sent = len(self.answered) + self.refused
        return self.refused / sent if sent else 0.0


class _Simulation:
    def __init__(self, scenario: Scenario) -> None:
        self.outcome = Outcome()
        self._scenario = scenario
        self._chance = random.Random(scenario.seed)
        self._env = simpy.Environment()
        self._running = 0
        self._batches: Counter[str] = Counter()  # under way, by consumer
        self._trying_again: set[str] = set()

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
                self._hand_off()
            if began < self._scenario.warm_up:
                continue
            if accepted:
                self.outcome.answered.append(self._env.now - began)
            else:
                self.outcome.refused += 1

    def _hand_off(self) -> None:
        for consumer in self._scenario.consumers:
            self.outcome.waiting[consumer.name] += consumer.events
            self._poll(consumer)

    def _poll(self, consumer: Consumer) -> None:
        while self.outcome.waiting[consumer.name] and self._batches[consumer.name] < consumer.at_once:
            if self._running >= self._scenario.budget:
                if consumer.name not in self._trying_again:
                    self._env.process(self._try_again(consumer))
                return
            size = min(consumer.batch, self.outcome.waiting[consumer.name])
            self.outcome.waiting[consumer.name] -= size
            self._batches[consumer.name] += 1
            self._running += 1
            self._env.process(self._consume(consumer, size))

    def _try_again(self, consumer: Consumer) -> Steps:
        self._trying_again.add(consumer.name)
        yield self._env.timeout(_TRIES_AGAIN_AFTER)
        self._trying_again.remove(consumer.name)
        self._poll(consumer)

    def _consume(self, consumer: Consumer, size: int) -> Steps:
        yield self._env.timeout(sum(self._chance.choices(consumer.times, k=1 if consumer.together else size)))
        self._running -= 1
        self._batches[consumer.name] -= 1
        self._poll(consumer)


def simulate(scenario: Scenario) -> Outcome:
    """Run a scenario; the same one gives the same outcome."""
    simulation = _Simulation(scenario)
    simulation.run()
    return simulation.outcome


def most_users(served: Callable[[int], bool], limit: int) -> int:
    """The largest number of users, up to ``limit``, that is still ``served``, to within 1 %; 0 if not even one is."""
    if not served(1):
        return 0
    enough, too_many = 1, 2
    while too_many <= limit and served(too_many):
        enough, too_many = too_many, too_many * 2
    while too_many - enough > max(1, enough * _RESOLUTION):
        middle = (enough + too_many) // 2
        enough, too_many = (middle, too_many) if served(middle) else (enough, middle)
    return enough
