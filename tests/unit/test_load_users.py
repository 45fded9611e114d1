"""The load generator: its process, its orders, and an interrupt while orders are under way."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ops.load import measure
from ops.load.users import PLACED, Run

TOKENS = ["token-0", "token-1"]


@pytest.fixture
def shop():
    """An API that places every second order, and keeps the requests."""
    requests = []

    class Api(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append((self.headers["Authorization"], self.headers["Idempotency-Key"], body))
            self.send_response(201 if len(requests) % 2 else 503)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        server.requests = requests
        yield server
        server.shutdown()


def run(shop, **changes):
    values = {"users": 2, "think": 0.02, "seconds": 0.5, "warm_up": 0.2}
    return Run(f"http://127.0.0.1:{shop.server_port}/orders", TOKENS, ["A", "B"], **values | changes)


def test_each_request_is_known_by_its_customer_and_key(shop):
    sent = []
    measure._send(run(shop), sent, lambda: None)

    assert len(sent) == len(shop.requests) > 2
    assert {(f"Bearer token-{one.token}", one.key) for one in sent} == {request[:2] for request in shop.requests}
    assert len({one.key for one in sent}) == len(sent)
    assert {one.answer for one in sent} == {PLACED, "503"}
    assert {line["sku"] for _, _, body in shop.requests for line in body["lines"]} == {"A", "B"}


def test_after_an_interrupt_all_requests_are_known_and_no_more_are_sent(shop):
    # GIVEN users who would order for an hour
    sent = []

    def look():
        if shop.requests:
            raise KeyboardInterrupt

    # WHEN the measurement is interrupted
    with pytest.raises(KeyboardInterrupt):
        measure._send(run(shop, seconds=3600.0), sent, look)
    # THEN every order that reached the shop is known
    assert len(sent) == len(shop.requests) > 0
    assert {one.key for one in sent} == {key for _, key, _ in shop.requests}


def test_a_generator_that_fails_is_an_error(shop):
    with pytest.raises(measure.GeneratorFailed, match="ended with status 1"):
        measure._send(run(shop, think=0), [], lambda: None)  # an exponential think time has no mean of 0
