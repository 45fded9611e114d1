"""The checks that place orders, against an API that answers what a test wants."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from handoff.clock import now_ms, to_iso
from ops.stack.deployment import CONSUMERS
from ops.verify import orders
from ops.verify.check import Outcome

TOKEN = "a.b.c"
ORDER = {"orderId": "ord_smoke", "status": "PREPARED", "payment": "captured"}


class Api(ThreadingHTTPServer):
    """An API that records each request with its time, and writes the consumers' log lines of an order."""

    daemon_threads = True

    def __init__(self, log):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.log, self.requests, self.answers = log, [], {"POST /orders": 201}
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, method, path, authorized):
        self.requests.append((f"{method} {path}", now_ms()))
        if path in ("/orders", "/me", "/reports/sales") and not authorized:
            return 401, {}
        if path == "/health":
            return 200, {"status": "ok"}
        if path == "/catalog":
            return 200, {"products": []}
        if (method, path) == ("POST", "/orders"):
            status = self.answers["POST /orders"]
            if status == 201:
                self.log()
            return status, ORDER if status == 201 else {"type": "urn:handoff:problem:unavailable"}
        return 200, ORDER


class _Handler(BaseHTTPRequestHandler):
    def _answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, body = self.server.answer(self.command, self.path, "Authorization" in self.headers)
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Correlation-Id", self.headers.get("X-Correlation-Id", ""))
        self.send_header("Apigw-Requestid", f"request-{len(self.server.requests)}")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = _answer  # noqa: N815  # http.server calls them

    def log_message(self, *_):
        pass


@pytest.fixture
def handled():
    """The consumers that handle the order."""
    return list(CONSUMERS)


@pytest.fixture
def api(client, handled):
    """An API, and the log groups of a stack."""
    logs = client("logs")
    for name in (*CONSUMERS, "sweeper"):
        logs.create_log_group(logGroupName=name)
        logs.create_log_stream(logGroupName=name, logStreamName="1")

    def write(group, **line):
        event = {"timestamp": now_ms(), "message": json.dumps({"timestamp": to_iso(now_ms()), **line})}
        logs.put_log_events(logGroupName=group, logStreamName="1", logEvents=[event])

    def log():
        write("sweeper", UnfinishedAge=[0])
        keys = {"level": "INFO", "message": "event handled", "order_id": "ord_smoke", "event_id": "ord_smoke-1"}
        for name in handled:
            write(name, **keys, outcome="done")

    server = Api(log)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def deployment(api, make_deployment, client):
    client("dynamodb").create_table(
        TableName="products",
        AttributeDefinitions=[{"AttributeName": "sku", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "sku", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    groups = {f"{name.capitalize()}Logs": ("AWS::Logs::LogGroup", name) for name in (*CONSUMERS, "sweeper")}
    resources = {**groups, "ProductsTable": ("AWS::DynamoDB::Table", "products")}
    return make_deployment(resources, outputs={"ApiUrl": f"http://127.0.0.1:{api.server_port}"})


def test_a_smoke_order_is_followed_to_its_consumers(deployment, perform, api):
    (result,) = perform(orders.ORDER, deployment, token=TOKEN)
    assert result.outcome == Outcome.PASSED, result.notes
    assert result.seen.startswith("ord_smoke was placed")
    # AND the answers of the API are kept, with their ids
    (placed, *_) = [answer for answer in result.answers if answer.operation == "POST /orders"]
    assert (placed.status, placed.count, placed.request_id[:8]) == (201, 2, "request-")


def test_an_order_that_is_refused_fails_with_the_answer(deployment, perform, api):
    api.answers["POST /orders"] = 503
    (result,) = perform(orders.ORDER, deployment, token=TOKEN)
    assert result.outcome == Outcome.FAILED
    assert "an order is placed: answered 503" in result.seen
    assert [answer.status for answer in result.answers if answer.operation == "POST /orders"] == [503]


def test_a_consumer_that_does_not_handle_the_order_fails(deployment, perform, handled):
    handled.remove("analytics")
    (result,) = perform(orders.ORDER, deployment, token=TOKEN)
    assert result.outcome == Outcome.FAILED
    assert "analytics logged no outcome for ord_smoke in 120 s" in result.seen


@pytest.mark.parametrize("check", [orders.ORDER, orders.IDLE])
def test_no_order_is_placed_if_it_would_charge_someone(deployment, perform, api, check):
    deployment.__dict__["parameters"] |= {"PaymentProvider": "stripe"}
    (result,) = perform(check, deployment, token=TOKEN)
    assert result.outcome == Outcome.NOT_AVAILABLE
    assert "would charge a customer" in result.seen
    assert api.requests == []


@pytest.mark.parametrize("check", [orders.ORDER, orders.IDLE])
def test_the_plan_says_that_a_partner_gets_the_order(make_deployment, attempt, check):
    without, partner = make_deployment({}), make_deployment({"PartnerRule": ("AWS::Events::Rule", "bus|partner")})
    assert check.warning(attempt(without).situation) == ""
    assert check.warning(attempt(partner).situation) == "the partner gets the events of the order"


def test_the_order_is_the_first_request_after_the_pause(deployment, perform, api, clock):
    # WHEN the customer signs in with the given token, so nothing is sent before the pause
    began = clock.ms
    (result,) = perform(orders.IDLE, deployment, token=TOKEN, idle_minutes=10.0)
    assert result.outcome == Outcome.PASSED, result.notes
    assert result.seen == "ord_smoke was placed by the first request after 10 min, and handled by every consumer"
    first, at = api.requests[0]
    assert (first, at - began >= 600_000) == ("POST /orders", True)


def test_an_order_that_fails_after_the_pause_fails_the_check(deployment, perform, api):
    api.answers["POST /orders"] = 503
    (result,) = perform(orders.IDLE, deployment, token=TOKEN)
    assert result.outcome == Outcome.FAILED
    assert result.seen.startswith("an order is placed: answered 503")


def test_without_idle_minutes_it_is_skipped_and_has_not_passed(deployment, perform, api):
    (result,) = perform(orders.IDLE, deployment, token=TOKEN, idle_minutes=0.0)
    assert (result.outcome, result.seen) == (Outcome.SKIPPED, "--idle 0")
    assert api.requests == []
