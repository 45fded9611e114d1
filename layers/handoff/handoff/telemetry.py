"""The logger and the metrics of a function. Powertools reads their names from the environment (POWERTOOLS_*)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

__all__ = ["MetricUnit", "logger", "metrics"]

logger = Logger()
metrics = Metrics()


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
