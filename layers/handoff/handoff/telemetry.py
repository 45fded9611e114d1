"""The logger and the metrics of every function. Their names come from template.yaml (POWERTOOLS_* variables)."""

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
    """Count what the block takes, in milliseconds, as this metric; also when it raises."""
    start = time.monotonic()
    try:
        yield
    finally:
        metrics.add_metric(name, MetricUnit.Milliseconds, round(1000 * (time.monotonic() - start), 1))


def flush_metrics() -> None:
    """Print what was counted, if anything was."""
    if metrics.metric_set:
        metrics.flush_metrics()
