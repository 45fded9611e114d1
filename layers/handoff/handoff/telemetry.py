"""The logger and the metrics of a function. Powertools reads their names from the environment (POWERTOOLS_*)."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

__all__ = ["MetricUnit", "logger", "metrics"]

# Logs are billed by size. A line of normal operation leaves out what `function_name` and Lambda's REPORT line say, and
# where it was written: its message says that.
_LEFT_OUT = {"location", "cold_start", "function_memory_size", "function_arn"}


def _serialize(line: dict[str, Any]) -> str:
    if line["level"] == "INFO":
        line = {name: value for name, value in line.items() if name not in _LEFT_OUT}
    return json.dumps(line, default=str, separators=(",", ":"), ensure_ascii=False)


logger = Logger(json_serializer=_serialize)
metrics = Metrics()


@contextmanager
def log_context(**keys: str) -> Iterator[None]:
    """Add keys to the log lines of this thread while the context lasts.

    Powertools' ``append_context_keys`` adds them to the lines of all threads, and removes a key of the same name that
    was there before.
    """
    before = logger.thread_safe_get_current_keys()
    logger.thread_safe_append_keys(**keys)
    try:
        yield
    finally:
        logger.thread_safe_clear_keys()
        logger.thread_safe_append_keys(**before)


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Record the duration of the block in milliseconds as this metric, also if it raises."""
    start = time.monotonic()  # within one invocation, so no freeze is part of it
    try:
        yield
    finally:
        metrics.add_metric(name, MetricUnit.Milliseconds, round(1000 * (time.monotonic() - start), 1))


def flush_metrics() -> None:
    """Flush the metrics, if there are any."""
    if metrics.metric_set:
        metrics.flush_metrics()
