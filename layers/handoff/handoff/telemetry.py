"""The logger and the metrics of every function. Their names come from template.yaml (POWERTOOLS_* variables)."""

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

__all__ = ["MetricUnit", "logger", "metrics"]

logger = Logger()
metrics = Metrics()


def flush_metrics() -> None:
    """Print what was counted, if anything was."""
    if metrics.metric_set:
        metrics.flush_metrics()
