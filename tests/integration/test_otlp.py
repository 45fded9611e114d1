"""`handoff order ID --otlp FILE`: spans that OpenTelemetry's own parser accepts, with messages as links."""

import base64
import json

import pytest
from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from dev.simulated.wire import Crash, crash_before, refuse
from dev.simulated.world import body

IDS = {"traceId", "spanId", "parentSpanId"}


def parse(text):
    """Parse OTLP/JSON. It has ids in hexadecimal, which protobuf's JSON has in base64; unknown names are errors."""

    def with_base64_ids(members):
        return {
            name: base64.b64encode(bytes.fromhex(value)).decode() if name in IDS else value
            for name, value in members.items()
        }

    return json_format.ParseDict(json.loads(text, object_hook=with_base64_ids), TracesData())


@pytest.fixture
def spans_of(run_order, tmp_path):
    """Return the spans of an order, by service and in one list."""

    def read(order_id):
        done = run_order(order_id, "--otlp", str(tmp_path / "spans.json"))
        assert done.exit_code == 0, done.output
        found = parse((tmp_path / "spans.json").read_text())
        services = {value(part.resource, "service.name"): part.scope_spans[0].spans for part in found.resource_spans}
        return services, [span for spans in services.values() for span in spans]

    return read


def value(part, name):
    (found,) = [attribute.value for attribute in part.attributes if attribute.key == name]
    return getattr(found, found.WhichOneof("value"))


def test_all_hops_are_spans_of_one_trace_with_links(world, clock, api, logs, spans_of):
    # GIVEN an order that all consumers have handled, one after a retry
    order_id = api.place(body()).json["orderId"]
    world.wire.on("sesv2.SendEmail", refuse("TooManyRequestsException", 429))
    world.queues.deliver("EmailsFunction")
    clock.forward(400)
    world.queues.until_quiet()

    services, spans = spans_of(order_id)

    # THEN it is one trace, X-Ray's
    (trace,) = {span.trace_id.hex() for span in spans}
    assert trace == world.functions.traces[0][1][7:40].replace("-", "")
    assert all(len(span.trace_id) == 16 and len(span.span_id) == 8 for span in spans)
    ids = [span.span_id for span in spans]
    assert len(ids) == len(set(ids))
    # AND each parent is among the spans, and began before
    by_id = dict(zip(ids, spans, strict=True))
    parents = [by_id[span.parent_span_id] for span in spans if span.parent_span_id]
    assert len(parents) == len(spans) - 1
    assert all(span.end_time_unix_nano >= span.start_time_unix_nano > 0 for span in spans)
    # AND each consumer's span links to the one that published its event
    assert services.keys() == {"api", "analytics", "emails", "fulfillment", "settlement"}
    for service in services.keys() - {"api"}:
        worked = [span for span in services[service] if span.kind == Span.SPAN_KIND_CONSUMER]
        for span in worked:
            (link,) = span.links
            published = by_id[link.span_id]
            assert (published.kind, link.trace_id) == (Span.SPAN_KIND_PRODUCER, published.trace_id)
            assert value(published, "messaging.message.id") == value(span, "messaging.message.id")
            assert value(span, "messaging.operation.type") == "process"
            assert value(span, "messaging.system") == "aws_sqs"
            assert span.name == f"process {value(span, 'messaging.destination.name')}"
    failed = [span for span in services["emails"] if span.status.code == Status.STATUS_CODE_ERROR]
    assert [span.status.message for span in failed] == ["retried"]
    # AND the request is a server's span, and published the first event
    (request,) = [span for span in services["api"] if span.kind == Span.SPAN_KIND_SERVER]
    assert (request.name, value(request, "http.response.status_code")) == ("POST /orders", 201)
    (published,) = [span for span in services["api"] if span.kind == Span.SPAN_KIND_PRODUCER]
    assert published.parent_span_id == request.span_id
    assert value(published, "messaging.destination.name") == world.stack.resource("Bus").ref


def test_the_span_that_publishes_lasts_until_the_sweep(world, clock, api, logs, spans_of):
    world.wire.on("eventbridge.PutEvents", crash_before)
    with pytest.raises(Crash):
        api.place(body())
    (order,) = world.items("OrdersTable")
    clock.forward(61)
    world.sweep()
    world.queues.deliver("AnalyticsFunction")

    services, spans = spans_of(order["orderId"])

    (published,) = services["order"]
    assert published.end_time_unix_nano - published.start_time_unix_nano == 61 * 10**9
    assert {span.trace_id for span in spans} == {published.trace_id}


def test_another_trace_is_linked_and_not_a_child(world, api, logs, spans_of):
    order_id = api.place(body()).json["orderId"]
    api.cancel(order_id)
    world.queues.until_quiet()

    _, spans = spans_of(order_id)

    by_id = {span.span_id: span for span in spans}
    assert len({span.trace_id for span in spans}) == 2
    assert all(by_id[span.parent_span_id].trace_id == span.trace_id for span in spans if span.parent_span_id)


def test_the_spans_are_the_same_each_time(world, api, logs, spans_of):
    order_id = api.place(body()).json["orderId"]
    world.queues.until_quiet()

    assert spans_of(order_id)[1] == spans_of(order_id)[1]
