"""The functions, run as Lambda runs them: a cold start, then warm invocations, until a crash."""

import importlib
import json
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from dev.simulated import clients, traces
from dev.simulated.account import ACCOUNT, REGION
from dev.simulated.clock import Clock
from dev.simulated.stack import SimulatedStack
from dev.simulated.wire import Crash
from handoff.telemetry import logger, metrics
from shop import settings


@dataclass
class Context:
    """The context that Lambda passes to an invocation."""

    function_name: str
    ends_at: int
    now: Callable[[], int]
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    function_version: str = "$LATEST"
    memory_limit_in_mb: str = "512"

    @property
    def invoked_function_arn(self) -> str:
        """The function's ARN."""
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left until the timeout."""
        return max(0, self.ends_at - self.now())


class Functions:
    """The functions of one stack, by logical id. ``settings`` replace environment variables of all of them.

    ``own_clients`` are for functions that run beside others of the same name: a client has one retry quota.
    """

    def __init__(
        self,
        stack: SimulatedStack,
        clock: Clock,
        settings: Mapping[str, str] | None = None,
        *,
        own_clients: bool = False,
    ) -> None:
        self._stack = stack
        self._clients = nullcontext if own_clients else clients.kept
        self._clock = clock
        self.settings = settings or {}
        self._warm: dict[str, ModuleType] = {}
        self._last = ""
        self.running: list[str] = []  # more than one if a fault on the wire invokes another function
        self.ended: list[tuple[str, bool]] = []  # all invocations, and whether each failed
        self.traces: list[tuple[str, str]] = []  # all invocations, and the trace context that Lambda made for each

    def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """Invoke a function. Event and answer pass through JSON, as in Lambda. A crash ends the process."""
        trace = traces.of_invocation(len(self.traces) + 1, self._clock.ms // 1000)
        self.traces.append((function, trace))
        with _variables({**self._environment(function), "_X_AMZN_TRACE_ID": trace}):
            handler = getattr(self.module(function), self._stack.handler(function).split(".")[1])
            if function != self._last:
                forget_metrics()
                self._last = function
            context = Context(function, self._clock.ms + self._stack.timeout(function) * 1000, lambda: self._clock.ms)
            self.running.append(function)
            failed = True
            try:
                answer = json.loads(json.dumps(handler(json.loads(json.dumps(event)), context)))
                failed = False
                return answer
            except Crash:
                self.stop(function)
                raise
            finally:
                self.ended.append((self.running.pop(), failed))

    def module(self, function: str) -> ModuleType:
        """Return the function's module, imported again unless it is warm."""
        if function not in self._warm:
            name = self._stack.handler(function).split(".")[0]
            with _variables(self._environment(function)), self._clients():
                settings.load.cache_clear()
                sys.modules.pop(name, None)
                self._warm[function] = importlib.import_module(name)
        return self._warm[function]

    def stop(self, function: str) -> None:
        """End the function's process: its next invocation is a cold start."""
        self._warm.pop(function, None)
        self._last = ""

    def _environment(self, function: str) -> dict[str, str]:
        lambda_own = {"AWS_LAMBDA_FUNCTION_NAME": function, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
        return {**self._stack.environment(function), **self.settings, **lambda_own}


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables while the context lasts, as `patch.dict` does, but touch no others: there are many."""
    before = {name: os.environ.get(name) for name in values}
    changed = {name: value for name, value in before.items() if value != values[name]}
    os.environ.update({name: values[name] for name in changed})
    try:
        yield
    finally:
        for name, value in changed.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Process:
    """State of one Lambda process, which all threads share here. Only one may be `entered` at a time."""

    def __init__(self) -> None:
        environment, *counted, log_keys = _shared()
        self._own = [dict(environment), *({} for _ in counted), dict(log_keys)]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Swap this process's state in while the context lasts."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for n, shared in enumerate(_shared()):
            found = dict(shared)
            shared.clear()
            shared.update(self._own[n])
            self._own[n] = found


def _shared() -> list[MutableMapping[str, Any]]:
    """Return the environment variables, and Powertools' state of metrics and log keys."""
    counted = [metrics.metric_set, metrics.dimension_set, metrics.metadata_set, metrics.default_dimensions]
    return [os.environ, *counted, logger.get_current_keys()]


def forget_metrics() -> None:
    """Clear Powertools' metrics: they are kept per process, and all functions share this one."""
    metrics.clear_default_dimensions()
    metrics.clear_metrics()
