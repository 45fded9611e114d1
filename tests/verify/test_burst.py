"""The check of the throttle, against a server that throttles like HTTP API's token bucket, or does not."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from botocore.stub import Stubber

from dev.simulated.account import REGION
from ops.verify import burst
from ops.verify.check import Outcome


class Api(ThreadingHTTPServer):
    """An API that accepts so many requests, refuses so many with another status, and recovers."""

    daemon_threads = True

    def __init__(self, accepts, otherwise=429, refuses=10_000):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.accepts, self.otherwise, self.refuses, self.delay = accepts, otherwise, refuses, 0.0
        self.requests, self._lock = 0, threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def status(self):
        with self._lock:
            self.requests += 1
            refused = self.accepts < self.requests <= self.accepts + self.refuses
            return self.otherwise if refused else 200


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(self.server.delay)
        self.send_response(self.server.status())
        self.send_header("Content-Length", "0")
        self.send_header("Apigw-Requestid", f"r{self.server.requests}")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def clock():
    """These tests take real time."""


@pytest.fixture
def serve():
    """Start an API; it is stopped after the test."""
    servers = []

    def start(*arguments):
        servers.append(Api(*arguments))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def check(make_deployment, perform, monkeypatch):
    """Run the check against a server, by default with limits of 20/s and 40 at once."""
    monkeypatch.setattr(burst, "_RECOVERS_WITHIN", 1.0)

    def check(server, limit=40, rate=20.0):
        deployment = make_deployment({}, outputs={"ApiUrl": f"http://127.0.0.1:{server.server_port}"})
        gateway = boto3.client("apigatewayv2", region_name=REGION)
        limits = {"ThrottlingRateLimit": rate, "ThrottlingBurstLimit": limit}
        every = {"ThrottlingRateLimit": 500.0, "ThrottlingBurstLimit": 1000}
        stage = {"StageName": "$default", "DefaultRouteSettings": every, "RouteSettings": {"GET /health": limits}}
        monkeypatch.setattr(deployment.__class__, "client", lambda self, service: gateway)
        with Stubber(gateway) as stub:
            stub.add_response("get_stages", {"Items": [stage]}, {"ApiId": "a1b2c3"})
            (result,) = perform(burst.CHECK, deployment)
        return result

    return check


def test_requests_above_the_limit_get_429(serve, check, monkeypatch):
    server = serve(40, 429, 9)  # eight requests are sent at a time
    monkeypatch.setattr(burst, "_RECOVERS_WITHIN", 3.0)
    result = check(server)
    assert result.outcome == Outcome.PASSED, result.seen
    assert result.seen.startswith("429 for request 41 (40 x 200, 3 x 429)")
    assert server.requests < 60
    # AND the API's answers are kept, with their ids
    assert [(answer.status, answer.request_id[0]) for answer in result.answers[-2:]] == [(200, "r"), (429, "r")]


def test_a_route_that_does_not_throttle_fails(serve, check, monkeypatch):
    monkeypatch.setattr(burst, "_MOST", 160)
    result = check(serve(10_000), rate=1.0)  # a busy machine sends more than that, too
    assert result.outcome == Outcome.FAILED
    assert "160 x 200 at " in result.seen
    assert "none was throttled. The limit is 1/s and 40 at once" in result.seen


def test_a_connection_that_is_too_slow_to_exceed_the_limit_is_not_available(serve, check, monkeypatch):
    # GIVEN an API that takes 0.3 s to answer: eight requests at a time are 27 a second
    monkeypatch.setattr(burst, "_MOST", 60)
    server = serve(10_000)
    server.delay = 0.3
    result = check(server, limit=5)
    assert result.outcome == Outcome.NOT_AVAILABLE
    assert result.seen.endswith("Run it from a machine nearer to the region")


def test_an_api_that_answers_errors_fails(serve, check):
    result = check(serve(40, 503))
    assert result.outcome == Outcome.FAILED
    assert "Lambda throttled before the API did" in result.seen


def test_an_api_that_does_not_recover_fails(serve, check):
    result = check(serve(40))
    assert result.outcome == Outcome.FAILED
    assert result.seen == "GET /health still answers 429 1 s after the burst"


def test_a_limit_that_would_cost_too_many_requests_is_not_available(serve, check):
    server = serve(40)
    result = check(server, limit=1000)
    assert (result.outcome, server.requests) == (Outcome.NOT_AVAILABLE, 0)
