"""The durable functions as ways to place an order, on AWS's local test runner."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from aws_durable_execution_sdk_python_testing.executor import Executor

from bench.rivals import durable, local_runner
from bench.rivals.durable import Handler
from bench.rivals.experiments import Way
from bench.rivals.shop import Parts, connect, process, request
from dev.simulated.clock import running
from dev.simulated.world import World

if TYPE_CHECKING:
    from bench.rivals.local_runner import Execution

# Seconds that the runner waits before it invokes a function again whose process died. Lambda's own are not published.
BACKOFF = Executor.RETRY_BACKOFF_SECONDS


class Durable:
    """A durable function. Its caller waits until the execution ends."""

    def __init__(self, make: Callable[[Parts], Handler], world: World, token: str, lines: int) -> None:
        self._world = world
        self._make = make
        self._parts = connect(world.stack)
        self._request = request(lines, token)
        self.execution: Execution | None = None

    def place(self) -> dict[str, Any]:
        """Start the execution under the order's key, or attach to it."""
        if self.execution is None:
            with process(self._world.stack):
                self.execution = local_runner.run(self._make(self._parts), self._world.wire, self._request)
        return self.execution.answer or {"status": 503}

    def publish(self) -> None:
        """Do nothing: the execution has ended."""

    def recover(self) -> None:
        """Do nothing: the execution has ended."""


SAMPLE = Way("durable function, as in the sample", partial(Durable, durable.as_sampled), running, waits=True)
CAREFUL = Way("durable function, with every care", partial(Durable, durable.with_care), running, waits=True)


@contextmanager
def without_backoff() -> Iterator[None]:
    """Let the runner invoke a crashed function again at once: it would wait in real time."""
    with patch.object(Executor, "RETRY_BACKOFF_SECONDS", 0):
        yield
