"""Errors that reading a deployment can end with, and how the page shows them."""

import httpx

from handoff import aws
from ops.dlq.directory import NoSuchConsumer
from ops.stack.cloudwatch import MetricsError

ERRORS = (*aws.ERRORS, MetricsError, NoSuchConsumer, httpx.HTTPError)


def describe(error: Exception) -> str:
    """Return the error's message on one line."""
    return " ".join(str(error).split()) or type(error).__name__
