"""The trace context on its way through AWS: a new one for each invocation, and from an event into its messages.

Moto ignores the ``TraceHeader`` of an event, and the ``AWSTraceHeader`` of a message in a batch. EventBridge passes the
first to a queue as the message's ``AWSTraceHeader``:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-related-service-xray.html
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any
from unittest.mock import patch

from moto.events.models import EventsBackend
from moto.sqs.models import Message, SQSBackend

from handoff.bus import ENTRIES_PER_CALL

_header: ContextVar[str | None] = ContextVar("header", default=None)  # of the event that is being delivered
_headers: ContextVar[dict[str, str]] = ContextVar("headers")  # of a batch of messages, by their bodies


def of_invocation(number: int, seconds: int) -> str:
    """Return the value of ``_X_AMZN_TRACE_ID`` for the nth invocation, at this time; the last part is Lambda's own."""
    return f"Root=1-{seconds:08x}-{number:024x};Parent={number:016x};Sampled=1;Lineage=1:{number:08x}:0"


@contextmanager
def delivered() -> Iterator[None]:
    """Let moto pass the trace of each event into its messages while the context lasts."""
    put_events, send_message = EventsBackend.put_events, SQSBackend.send_message
    send_message_batch = SQSBackend.send_message_batch

    def put_each(self: EventsBackend, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if 1 < len(events) <= ENTRIES_PER_CALL:  # moto rejects longer calls
            return [put_each(self, [event])[0] for event in events]
        token = _header.set(events[0].get("TraceHeader") if events else None)
        try:
            return put_events(self, events)
        finally:
            _header.reset(token)

    def send(self: SQSBackend, queue_name: str, message_body: str, *arguments: Any, **members: Any) -> Message:
        header = _header.get() or _headers.get({}).get(message_body)
        if header:
            members["system_attributes"] = {"AWSTraceHeader": {"StringValue": header}}
        return send_message(self, queue_name, message_body, *arguments, **members)

    def send_batch(self: SQSBackend, queue_name: str, entries: dict[str, Any]) -> Any:
        sent = [(entry["MessageBody"], entry.get("MessageSystemAttributes", {})) for entry in entries.values()]
        traced = {body: system["AWSTraceHeader"]["StringValue"] for body, system in sent if "AWSTraceHeader" in system}
        token = _headers.set(traced)
        try:
            return send_message_batch(self, queue_name, entries)
        finally:
            _headers.reset(token)

    with ExitStack() as stack:
        stack.enter_context(patch.object(EventsBackend, "put_events", put_each))
        stack.enter_context(patch.object(SQSBackend, "send_message", send))
        stack.enter_context(patch.object(SQSBackend, "send_message_batch", send_batch))
        yield
