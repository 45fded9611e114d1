"""The trace context of the work in progress, as Lambda and SQS hand it down: X-Ray's header, without its SDK.

One invocation can handle messages of several traces, and Lambda gives it a trace of its own. So a message's context
comes from the message. https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# The parts that continue a trace. Others are Lambda's own, or come from a client: the API passes on X-Amzn-Trace-Id.
# https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
_PARTS = re.compile(r"(?:^|;)\s*(Root=1-[0-9a-f]{8}-[0-9a-f]{24}|Parent=[0-9a-f]{16}|Sampled=[01])(?=\s*(?:;|$))")
_of_message: ContextVar[str | None] = ContextVar("trace", default=None)


@contextmanager
def continuing(header: str | None) -> Iterator[None]:
    """Continue the trace of a message in the block, if it has one; otherwise the invocation's."""
    token = _of_message.set(context_of(header))
    try:
        yield
    finally:
        _of_message.reset(token)


def current() -> str | None:
    """Return the trace context of the message that is handled, or else of the invocation; None outside of a trace."""
    return _of_message.get() or context_of(os.environ.get("_X_AMZN_TRACE_ID"))


def context_of(header: str | None) -> str | None:
    """Return root, parent and sampling decision of a header; None without a root."""
    parts = _PARTS.findall(header or "")
    return ";".join(parts) if any(part.startswith("Root=") for part in parts) else None


def log_keys(header: str | None) -> dict[str, str]:
    """Return the key of log lines with a header's trace id, such as 1-5759e988-bd862e3fe1be46a994272793."""
    root = next((part for part in _PARTS.findall(header or "") if part.startswith("Root=")), None)
    return {"trace_id": root.removeprefix("Root=")} if root else {}
