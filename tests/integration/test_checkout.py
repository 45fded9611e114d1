"""The development server of the checkout example: which requests it answers, and what it passes on to the API."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from dev import checkout
from dev.checkout import FOLDER, CheckoutServer
from tests.integration.test_console import FOREIGN

PREFIX = "/api-of-the-stack"


class Api(BaseHTTPRequestHandler):
    """An API that answers with the request that it got."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        got = {"method": self.command, "path": self.path, "body": body}
        answer = json.dumps(got | {"headers": {name.lower(): value for name, value in self.headers.items()}}).encode()
        self.send_response(409 if "refused" in self.path else 202)
        headers = {"Content-Type": "application/json", "Retry-After": "7", "Location": "/orders/ord_1", "X-Other": "1"}
        for name, value in {**headers, "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as api, running(api):
        page = CheckoutServer(0, f"http://127.0.0.1:{api.server_port}{PREFIX}", lambda: "the-customers")
        with running(page):
            yield page.url


@pytest.fixture
def direct_url() -> Iterator[str]:
    """The page that calls the API itself."""
    page = CheckoutServer(0, f"http://127.0.0.1:1{PREFIX}", lambda: "the-customers", direct=True)
    with running(page):
        yield page.url


def get(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, trust_env=False)


def raw(url: str, path: str, method: str = "GET") -> int:
    """Send a path as it is; return the status. httpx would clean it up."""
    with contextlib.closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=120)) as connection:
        connection.request(method, path)
        return connection.getresponse().status


def test_the_page_and_its_parts_are_served(url: str) -> None:
    page = get(url)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.text == (FOLDER / "index.html").read_text()
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    for name in ("checkout.js", "api.js", "payment.js", "sandbox.js"):
        assert get(f"{url}/{name}").headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert get(f"{url}/checkout.css").headers["Content-Type"] == "text/css; charset=utf-8"


def test_the_customers_address_reaches_the_api(url: str) -> None:
    got = httpx.put(f"{url}/api/me", json={"name": "Mira", "email": "mira@example.com"}, trust_env=False).json()

    assert (got["method"], got["path"]) == ("PUT", f"{PREFIX}/me")
    assert json.loads(got["body"])["email"] == "mira@example.com"


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/../../dev/checkout.py", "/%2e%2e/%2e%2e/README.md", "//etc/passwd", "/checkout.js/", "/.", "/api"],
)
def test_nothing_else_is_served(url: str, path: str) -> None:
    assert raw(url, path) == 404


def test_requests_below_api_reach_the_api_as_the_customer(url: str) -> None:
    # WHEN the page sends a request, with a token of its own
    sent = {"Idempotency-Key": "key-1", "Authorization": "Bearer other", "Cookie": "a=b", "X-Other": "1"}
    answer = httpx.post(f"{url}/api/orders/ord_1/confirm?limit=5", json={"a": 1}, headers=sent, trust_env=False)
    # THEN the API gets it with the customer's token, and only the headers that it needs
    got = answer.json()
    assert (got["method"], got["path"]) == ("POST", f"{PREFIX}/orders/ord_1/confirm?limit=5")
    assert json.loads(got["body"]) == {"a": 1}
    headers = got["headers"]
    assert headers["authorization"] == "Bearer the-customers"
    assert (headers["idempotency-key"], headers["content-type"]) == ("key-1", "application/json")
    assert not headers.keys() & {"cookie", "x-other"}
    # AND the page gets the API's answer
    assert answer.status_code == 202
    assert (answer.headers["Retry-After"], answer.headers["Location"]) == ("7", "/orders/ord_1")
    assert "X-Other" not in answer.headers
    assert get(f"{url}/api/refused").status_code == 409


@pytest.mark.parametrize(
    "path", ["/api/", "/api/../admin", "/api/%2e%2e/admin", "/api//orders", "/api/orders/", "/api/a.b"]
)
def test_no_path_leads_out_of_the_api(url: str, path: str) -> None:
    assert raw(url, path) == 404


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("path", ["/", "/api/orders"])
def test_requests_of_other_sites_are_rejected(url: str, path: str, headers: dict[str, str]) -> None:
    sent = {name: value.format(port=url.rpartition(":")[2]) for name, value in headers.items()}
    assert get(url + path, **sent).status_code == 403
    assert httpx.post(url + path, headers=sent, trust_env=False).status_code == 403


def test_a_page_that_calls_the_api_itself_knows_its_address_and_gets_the_token(direct_url: str, url: str) -> None:
    page = get(direct_url).text
    assert f'<meta name="api" content="http://127.0.0.1:1{PREFIX}">' in page
    assert '<meta name="token" content="/token">' in page
    assert "connect-src 'self' http://127.0.0.1:1 " in page
    assert get(f"{direct_url}/token").text == "the-customers"
    # AND this server forwards nothing for it
    assert get(f"{direct_url}/api/orders").status_code == 404
    # AND a page whose requests are forwarded gets no token
    assert get(f"{url}/token").status_code == 404


def test_pages_of_other_sites_get_no_token(direct_url: str) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
        assert get(f"{direct_url}/token", **headers).status_code == 403


def test_only_get_and_post_are_supported(url: str) -> None:
    assert [raw(url, "/api/orders", method) for method in ("DELETE", "PATCH")] == [501] * 2
    assert raw(url, "/", "POST") == 404


def test_a_large_body_is_not_read(url: str) -> None:
    assert httpx.post(f"{url}/api/orders", content=b"x" * 70_000, trust_env=False).status_code == 413
    assert httpx.post(f"{url}/api/orders", content=iter([b"x"]), trust_env=False).status_code == 413


def test_a_taken_port_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = SimpleNamespace(api_url="http://127.0.0.1:1")
    monkeypatch.setattr(checkout, "Target", lambda *_: SimpleNamespace(deployment=lambda: stack))
    monkeypatch.setattr(checkout, "Customer", lambda _: SimpleNamespace(token=str))
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        done = CliRunner().invoke(checkout.checkout, ["--port", str(taken)])
    assert done.exit_code == 1
    assert f"cannot listen on port {taken}" in done.stderr


def test_a_token_is_renewed_before_it_expires(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = []
    monkeypatch.setattr(checkout, "sign_in", lambda _, email: issued.append(email) or f"token-{len(issued)}")
    customer = checkout.Customer(None)
    assert [customer.token(), customer.token()] == ["token-1"] * 2
    clock.forward(3_001)
    assert customer.token() == "token-2"
    assert set(issued) == {"mira@example.com"}


def test_an_api_that_does_not_answer_is_a_problem_document() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        unused = probe.getsockname()[1]
    page = CheckoutServer(0, f"http://127.0.0.1:{unused}", lambda: "the-customers")
    with running(page):
        answer = get(f"{page.url}/api/catalog")
    assert (answer.status_code, answer.headers["Content-Type"]) == (502, "application/problem+json")
    assert answer.json() == {"title": "No answer", "detail": "The local stack did not answer: ConnectError."}
