"""The hops of an order as OTLP/JSON, for a viewer of traces.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids in hexadecimal, 64-bit numbers as text. Names and
attributes are those of https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/: a message links to the
span that published it, because a batch can hold messages of several traces.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ops.dlq.directory import directory
from ops.stack.deployment import Deployment
from ops.trace.hops import Hop, Kind
from ops.trace.timeline import Timeline

_SCHEMA = "https://opentelemetry.io/schemas/1.37.0"
_INTERNAL, _SERVER, _PRODUCER, _CONSUMER = 1, 2, 4, 5  # SpanKind of trace.proto
_ERROR = 2  # StatusCode of trace.proto
_KINDS = {Kind.REQUEST: _SERVER, Kind.CONSUMER: _CONSUMER}
_NOT_SPANS = {Kind.WRITE, Kind.OUTBOX}  # no work is known of the first; the other is the span that publishes


@dataclass(frozen=True)
class Destinations:
    """The physical names of the bus, and of the consumers' queues."""

    bus: str
    queues: Mapping[str, str]


def destinations(deployment: Deployment) -> Destinations:
    """Return the names in a stack, and in those that import its bus."""
    queues = {consumer: url.rpartition("/")[2] for consumer, url in directory(deployment).queues.items()}
    return Destinations(deployment.resource("Bus"), queues)


def document(timeline: Timeline, stack: str, destinations: Destinations, now: int) -> dict[str, Any]:
    """Return the spans, one resource for each function; what is not over lasts until ``now`` (epoch milliseconds)."""
    by_service: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for service, span in _Spans(timeline, destinations, now).all():
        by_service[service].append(span)
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes({"service.name": service, "service.namespace": stack})},
                "scopeSpans": [{"scope": {"name": "handoff order"}, "spans": spans, "schemaUrl": _SCHEMA}],
            }
            for service, spans in by_service.items()
        ]
    }


class _Spans:
    """The spans of one order: one for each hop with work or a wait, and one that publishes each event."""

    def __init__(self, timeline: Timeline, destinations: Destinations, now: int) -> None:
        self._order_id = timeline.order_id
        self._hops = timeline.hops
        self._destinations = destinations
        self._now = now
        self._published: dict[str, list[Hop]] = defaultdict(list)
        for hop in self._hops:
            if hop.event_id.startswith(f"{self._order_id}-"):
                self._published[hop.event_id].append(hop)

    def all(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each span with the name of its service."""
        for event_id, hops in self._published.items():
            cause = self._cause(hops[0])
            yield cause.who if cause else "order", self._producer(event_id, hops, cause)
        for hop in self._hops:
            if hop.kind not in _NOT_SPANS:
                yield hop.who, self._span(hop)

    def _cause(self, hop: Hop) -> Hop | None:
        """Return the work that published the event of a hop."""
        position = hop.parent
        while position is not None and self._hops[position].event_id == hop.event_id:
            position = self._hops[position].parent
        return None if position is None else self._hops[position]

    def _producer(self, event_id: str, hops: list[Hop], cause: Hop | None) -> dict[str, Any]:
        """Return the span that publishes an event: from the write of the order until the bus has it."""
        ends = [self._end(hop) for hop in hops if hop.kind is Kind.OUTBOX]
        trace_id = self._event_trace(event_id)
        in_trace = cause and self._trace_id(cause) == trace_id
        return {
            **_timed(trace_id, self._producer_id(event_id), hops[0].start, max(ends, default=hops[0].start)),
            **({"parentSpanId": self._span_id(cause)} if cause and in_trace else {}),
            "name": f"PutEvents {self._destinations.bus}",
            "kind": _PRODUCER,
            "attributes": _attributes(
                {
                    **_message("aws.eventbridge", "PutEvents", "send", self._destinations.bus, event_id),
                    "handoff.event_type": hops[0].what,
                }
            ),
        }

    def _span(self, hop: Hop) -> dict[str, Any]:
        span = {
            **_timed(self._trace_id(hop), self._span_id(hop), hop.start, self._end(hop)),
            "name": self._name(hop),
            "kind": _KINDS.get(hop.kind, _INTERNAL),
            "attributes": _attributes(self._facts(hop)),
        }
        if hop.trouble:
            span["status"] = {"code": _ERROR, "message": hop.outcome}
        if hop.event_id in self._published:
            producer = {"traceId": self._event_trace(hop.event_id), "spanId": self._producer_id(hop.event_id)}
            span["links"] = [producer]
            if producer["traceId"] == span["traceId"]:
                span["parentSpanId"] = producer["spanId"]
        return span

    def _name(self, hop: Hop) -> str:
        if hop.kind is Kind.CONSUMER:
            return f"process {self._queue(hop)}"
        return f"{hop.kind} {self._queue(hop)}" if hop.is_wait else hop.what

    def _facts(self, hop: Hop) -> dict[str, str | int]:
        facts: dict[str, str | int] = {"handoff.order_id": self._order_id}
        if hop.outcome:
            facts["handoff.outcome"] = hop.outcome
        if hop.kind is Kind.REQUEST:
            method, _, route = hop.what.partition(" ")
            facts |= {"http.request.method": method, "http.route": route, "faas.trigger": "http"}
            facts["http.response.status_code"] = int(hop.outcome.removeprefix("status "))
        elif hop.kind is Kind.CONSUMER:
            facts |= _message("aws_sqs", "process", "process", self._queue(hop), hop.event_id)
            facts |= {
                "messaging.consumer.group.name": hop.who,
                "faas.trigger": "pubsub",
                "handoff.event_type": hop.what,
            }
        return facts

    def _queue(self, hop: Hop) -> str:
        return self._destinations.queues.get(hop.who, hop.who)

    def _end(self, hop: Hop) -> int:
        return self._now if hop.end is None else hop.end

    def _event_trace(self, event_id: str) -> str:
        traced = (self._trace_id(hop) for hop in self._published[event_id] if hop.trace_id)
        return next(traced, self._digest("trace", size=16))

    def _trace_id(self, hop: Hop) -> str:
        """Return X-Ray's trace id as OpenTelemetry writes it; one made of the order's id if the logs have none."""
        if hop.trace_id:
            return hop.trace_id.removeprefix("1-").replace("-", "")
        return self._event_trace(hop.event_id) if hop.event_id in self._published else self._digest("trace", size=16)

    def _producer_id(self, event_id: str) -> str:
        return self._digest("publish", event_id)

    def _span_id(self, hop: Hop) -> str:
        """Return an id that is the same each time, so that a viewer recognizes a span that it has already."""
        return self._digest(hop.kind, hop.who, hop.what, hop.event_id, hop.start)

    def _digest(self, *parts: object, size: int = 8) -> str:
        return hashlib.sha256("\n".join(map(str, (self._order_id, *parts))).encode()).hexdigest()[: 2 * size]


def _timed(trace_id: str, span_id: str, start: int, end: int) -> dict[str, Any]:
    times = {"startTimeUnixNano": f"{start}000000", "endTimeUnixNano": f"{max(start, end)}000000"}
    return {"traceId": trace_id, "spanId": span_id, **times}


def _message(system: str, name: str, kind: str, destination: str, event_id: str) -> dict[str, str | int]:
    return {
        "messaging.system": system,
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": destination,
        "messaging.message.id": event_id,
    }


def _attributes(values: Mapping[str, str | int]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for key, value in values.items()
    ]
