"""The checks that place orders, against an API that answers what a test wants."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.exceptions import ClientError

from handoff.clock import now_ms, to_iso
from ops.smoke_order import SmokeOrder
from ops.verify import orders
from ops.verify.check import Outcome

TOKEN = "a.b.c"
PREPARED = {"status": "PREPARED", "payment": "captured"}
CANCELLED = {"status": "CANCELLED", "payment": "voided"}
WINDOW = 600  # seconds
TYPES = {
    "emails": ["order_placed", "order_cancelled", "shipment_released"],
    "analytics": ["order_placed", "order_cancelled"],
    "fulfillment": ["order_placed"],
    "settlement": ["order_cancelled", "shipment_prepared"],
    "loyalty": [
        "shipment_released",
        "order_refunded",
    ],  # a shop's own consumer, which gets nothing of a cancelled order
    "disputes": ["payment_disputed"],  # and one that gets nothing at all
}
FIRST = {"emails": 1, "analytics": 1, "fulfillment": 1, "settlement": 2, "loyalty": 3}


class Api(ThreadingHTTPServer):
    """An API that records each request with its time, and writes the consumers' log lines of its orders.

    Orders that are not cancelled are packed ``window`` seconds after they were placed.
    """

    daemon_threads = True

    def __init__(self, log):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.log, self.requests, self.answers = log, [], {"POST /orders": 201}
        self.window, self.placed, self.cancelled = 0, {}, set()  # orders by key, with the time
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, method, path, authorized, key):
        self.requests.append((f"{method} {path}", now_ms()))
        if path in ("/orders", "/me", "/reports/sales") and not authorized:
            return 401, {}
        if path == "/health":
            return 200, {"status": "ok"}
        if path == "/catalog":
            return 200, {"products": []}
        if (method, path) == ("POST", "/orders"):
            status = self.answers["POST /orders"]
            return status, self.place(key) if status == 201 else {"type": "urn:handoff:problem:unavailable"}
        order_id = path.split("/")[-1].replace("cancel", path.split("/")[-2])
        if path.endswith("/cancel"):
            self.cancelled.add(order_id)
        return 200, self.shown(order_id)

    def place(self, key):
        if key not in self.placed:
            self.placed[key] = (f"ord_smoke{len(self.placed)}", now_ms())
            self.log(self.placed[key][0])
        return {"orderId": self.placed[key][0], "status": "PLACED", "payment": "authorised"}

    def shown(self, order_id):
        at = dict(self.placed.values()).get(order_id, 0)
        if order_id in self.cancelled:
            return {"orderId": order_id, **CANCELLED}
        waits = {"status": "PLACED", "payment": "authorised"}
        return {"orderId": order_id, **(PREPARED if now_ms() >= at + self.window * 1000 else waits)}


class _Handler(BaseHTTPRequestHandler):
    def _answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, body = self.server.answer(
            self.command, self.path, "Authorization" in self.headers, self.headers.get("Idempotency-Key")
        )
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
    return list(FIRST)


@pytest.fixture
def api(client, handled):
    """An API, and the log groups of a stack."""
    logs = client("logs")
    for name in (*TYPES, "sweeper"):
        logs.create_log_group(logGroupName=name)
        logs.create_log_stream(logGroupName=name, logStreamName="1")

    def write(group, **line):
        event = {"timestamp": now_ms(), "message": json.dumps({"timestamp": to_iso(now_ms()), **line})}
        logs.put_log_events(logGroupName=group, logStreamName="1", logEvents=[event])

    def log(order_id):
        write("sweeper", UnfinishedAge=[0])
        for name in handled:
            event_id = f"{order_id}-{FIRST[name]}"
            keys = {"level": "INFO", "message": "event handled", "order_id": order_id, "event_id": event_id}
            write(name, **keys, outcome="done")

    server = Api(log)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def deployment(api, make_deployment, client, subscribe):
    client("dynamodb").create_table(
        TableName="products",
        AttributeDefinitions=[{"AttributeName": "sku", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "sku", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    groups = {f"{name.capitalize()}Logs": ("AWS::Logs::LogGroup", name) for name in (*TYPES, "sweeper")}
    resources = {**groups, **subscribe(TYPES), "ProductsTable": ("AWS::DynamoDB::Table", "products")}
    return make_deployment(resources, outputs={"ApiUrl": f"http://127.0.0.1:{api.server_port}"})


@pytest.fixture
def windowed(deployment, api):
    """The deployment, with a cancel window of ten minutes."""
    deployment.__dict__["parameters"] |= {"PackAfter": str(WINDOW)}
    api.window = WINDOW
    return deployment


@pytest.fixture
def smoke_order(deployment, api):
    """An order as an earlier check has placed it."""
    order = SmokeOrder(deployment, TOKEN, 120.0)
    order.place()
    yield order
    order.close()


def test_without_a_window_an_order_is_placed_and_left_to_be_packed(deployment, perform, api):
    (result,) = perform(orders.ORDER, deployment, token=TOKEN)
    assert result.outcome == Outcome.PASSED, result.notes
    assert result.seen == "ord_smoke0 was placed"
    # AND the answers of the API are kept, with their ids
    (placed, *_) = [answer for answer in result.answers if answer.operation == "POST /orders"]
    assert (placed.status, placed.count, placed.request_id[:8]) == (201, 2, "request-")


def test_in_the_window_an_order_is_cancelled_and_another_one_placed(windowed, perform, api, clock):
    began = clock.ms
    (result,) = perform(orders.ORDER, windowed, token=TOKEN)
    assert result.outcome == Outcome.PASSED, result.notes
    assert result.seen == "ord_smoke1 was placed, and an order was cancelled in time"
    assert api.cancelled == {"ord_smoke0"}
    # AND it has not waited for the end of the window
    assert clock.ms - began < WINDOW * 1000


def test_the_order_is_followed_until_it_is_packed_after_its_window(windowed, perform, api, smoke_order):
    (result,) = perform(orders.PACKING, windowed, token=TOKEN, order=smoke_order)
    assert result.outcome == Outcome.PASSED, result.notes
    assert result.seen == "ord_smoke0 was packed, paid, and handled by every consumer"
    assert "waiting until ord_smoke0 is packed, 10m after it was placed" in result.notes


def test_an_order_that_is_not_packed_after_its_window_is_cancelled(windowed, perform, api, smoke_order):
    api.window = 10 * WINDOW
    (result,) = perform(orders.PACKING, windowed, token=TOKEN, order=smoke_order)
    assert result.outcome == Outcome.FAILED
    assert "ord_smoke0 is PLACED, its payment authorised, after 720 s; it was cancelled now" in result.seen
    assert api.cancelled == {"ord_smoke0"}


def test_a_warehouse_is_not_waited_for(windowed, perform, api):
    windowed.__dict__["parameters"] |= {"Packing": "manual"}
    (result,) = perform(orders.PACKING, windowed, token=TOKEN)
    assert (result.outcome, result.seen) == (
        Outcome.NOT_AVAILABLE,
        "a warehouse packs the orders of this stack (Packing=manual)",
    )
    # AND the order of the check before it is cancelled
    (result,) = perform(orders.ORDER, windowed, token=TOKEN)
    assert result.outcome == Outcome.PASSED, result.notes
    assert api.cancelled == {"ord_smoke0"} == {order_id for order_id, _ in api.placed.values()}


def test_an_order_that_is_refused_fails_with_the_answer(deployment, perform, api):
    api.answers["POST /orders"] = 503
    (result,) = perform(orders.ORDER, deployment, token=TOKEN)
    assert result.outcome == Outcome.FAILED
    assert "an order is placed: answered 503" in result.seen
    assert [answer.status for answer in result.answers if answer.operation == "POST /orders"] == [503]


def test_a_consumer_that_does_not_handle_the_order_fails(deployment, perform, handled, smoke_order):
    handled.remove("analytics")
    smoke_order.place()
    (result,) = perform(orders.PACKING, deployment, token=TOKEN, order=smoke_order)
    assert result.outcome == Outcome.FAILED
    assert "analytics logged no outcome for ord_smoke1 in 120 s" in result.seen


def test_without_permission_to_list_rules_only_the_known_consumers_are_checked(
    deployment, perform, handled, smoke_order, caplog
):
    def denied(**_):
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "denied"}}, "ListRules")

    deployment.events.meta.events.register("before-call.events.ListRules", denied)
    handled.remove("loyalty")
    smoke_order.place()
    (result,) = perform(orders.PACKING, deployment, token=TOKEN, order=smoke_order)
    assert result.outcome == Outcome.PASSED, result.notes
    assert "Only Handoff's own consumers are checked, without events:ListRules" in caplog.text
    # AND with it, the shop's own consumer would be missed
    deployment.events.meta.events.unregister("before-call.events.ListRules", denied)
    (result,) = perform(orders.PACKING, deployment, token=TOKEN, order=smoke_order)
    assert "loyalty logged no outcome for ord_smoke1 in 120 s" in result.seen


@pytest.mark.parametrize("check", [orders.ORDER, orders.IDLE, orders.PACKING])
def test_no_order_is_placed_if_it_would_charge_someone(deployment, perform, api, check):
    deployment.__dict__["parameters"] |= {"PaymentProvider": "stripe"}
    (result,) = perform(check, deployment, token=TOKEN)
    assert result.outcome == Outcome.NOT_AVAILABLE
    assert "would charge a customer" in result.seen
    assert api.requests == []


@pytest.mark.parametrize("check", [orders.ORDER, orders.IDLE])
def test_the_plan_says_that_a_partner_gets_the_order(make_deployment, attempt, check):
    without, partner = make_deployment({}), make_deployment({"PartnersRule": ("AWS::Events::Rule", "bus|partners")})
    assert check.warning(attempt(without).situation) == ""
    assert check.warning(attempt(partner).situation) == "the partner gets the events of the order"


def test_the_order_is_the_first_request_after_the_pause(deployment, perform, api, clock):
    # WHEN the customer signs in with the given token, so nothing is sent before the pause
    began = clock.ms
    (result,) = perform(orders.IDLE, deployment, token=TOKEN, idle_minutes=10.0)
    assert result.outcome == Outcome.PASSED, result.notes
    assert (
        result.seen == "ord_smoke0 was placed by the first request after 10 min, packed, and handled by the consumers"
    )
    first, at = api.requests[0]
    assert (first, at - began >= 600_000) == ("POST /orders", True)


def test_the_order_after_the_pause_is_cancelled_in_its_window(windowed, perform, api):
    (result,) = perform(orders.IDLE, windowed, token=TOKEN)
    assert result.outcome == Outcome.PASSED, result.notes
    assert result.seen.endswith("after 10 min, cancelled, and handled by the consumers")
    assert api.cancelled == {"ord_smoke0"}


def test_an_order_that_fails_after_the_pause_fails_the_check(deployment, perform, api):
    api.answers["POST /orders"] = 503
    (result,) = perform(orders.IDLE, deployment, token=TOKEN)
    assert result.outcome == Outcome.FAILED
    assert result.seen.startswith("an order is placed: answered 503")


def test_without_idle_minutes_it_is_skipped_and_has_not_passed(deployment, perform, api):
    (result,) = perform(orders.IDLE, deployment, token=TOKEN, idle_minutes=0.0)
    assert (result.outcome, result.seen) == (Outcome.SKIPPED, "--idle 0")
    assert api.requests == []
