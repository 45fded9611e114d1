"""The check of web pages, against a server that answers their requests well or badly."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ops.verify import pages
from ops.verify.check import Outcome

SHOP = "https://shop.example"
HEADERS = "authorization,content-type,idempotency-key,x-correlation-id"


class Api(ThreadingHTTPServer):
    """An API with CORS; ``changes`` are other statuses and headers for some of its requests."""

    daemon_threads = True

    def __init__(self, **changes):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.changes = changes
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    def do_OPTIONS(self):
        self._answer("other" if self.headers["Origin"] != SHOP else "preflight", 204)

    def do_GET(self):
        self._answer("unauthorized" if self.path == "/orders" else "health", 401 if self.path == "/orders" else 200)

    def _answer(self, what, status):
        allowed = {} if what == "other" else {"Access-Control-Allow-Origin": SHOP}
        allowed |= {"Access-Control-Allow-Headers": HEADERS} if what == "preflight" else {}
        status, headers = self.server.changes.get(what, (status, allowed))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            if status != 204 or name != "Content-Length":
                self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def check(make_deployment, perform):
    """Run the check against a server that answers with these changes."""
    servers = []

    def check(origins=f"{SHOP},https://www.shop.example", **changes):
        servers.append(Api(**changes))
        outputs = {"ApiUrl": f"http://127.0.0.1:{servers[-1].server_port}"}
        (result,) = perform(pages.CHECK, make_deployment({}, parameters={"CorsOrigins": origins}, outputs=outputs))
        return result

    yield check
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_page_that_may_call_the_api_passes(check):
    result = check()
    assert result.outcome == Outcome.PASSED, result.seen
    assert result.seen == f"pages of {SHOP} may; they can read the gateway's own 401"
    assert [(answer.operation, answer.status) for answer in result.answers] == [
        ("OPTIONS /orders", 204),
        ("GET /health", 200),
        ("GET /orders", 401),
    ]


def test_the_report_says_if_pages_cannot_read_the_gateways_own_answers(check):
    result = check(unauthorized=(401, {}))
    assert result.outcome == Outcome.PASSED
    assert result.seen.endswith("they cannot read the gateway's own 401")


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"preflight": (404, {"Access-Control-Allow-Origin": SHOP})}, "got 404: a browser sends no request"),
        ({"preflight": (204, {})}, "does not allow an order"),
        ({"preflight": (204, {"Access-Control-Allow-Origin": SHOP})}, "does not allow an order"),
        ({"health": (200, {})}, "cannot read it"),
        ({"other": (204, {"Access-Control-Allow-Origin": "*"})}, "which CorsOrigins does not list"),
    ],
)
def test_what_a_browser_would_refuse_fails(check, changes, seen):
    result = check(**changes)
    assert result.outcome == Outcome.FAILED
    assert seen in result.seen


def test_without_listed_origins_it_is_not_available(check):
    result = check(origins="")
    assert (result.outcome, result.seen) == (Outcome.NOT_AVAILABLE, "CorsOrigins is empty")
