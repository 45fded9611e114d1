"""`python -m dev checkout`: the page of examples/checkout for the local stack's API.

The first sample customer stands for the customer that is signed in to a shop. The server forwards the page's requests
to the API with this customer's token, so that page and API have one origin. With ``--direct``, the page gets the token
and calls the API itself, which is another origin: CORS lets it, if `CorsOrigins` has the page's address.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import httpx

from dev.demo import orders as demo
from ops.browser_guard import is_loopback, rejection
from ops.cli.options import LOCAL_DEFAULT, Port, StackCommand, Target, local_option
from ops.shop_client import sign_in
from ops.stack.deployment import DEFAULT_STACK, Deployment

PORT = 8081
FOLDER = Path(__file__).resolve().parents[1] / "examples/checkout"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_API, _TOKEN = "/api", "/token"
# The tag in the page's head that names an API on the same origin.
_SAME_ORIGIN = {
    "api": f'name="api" content="{_API}"',
    "token": 'name="token" content=""',
    "policy": "connect-src 'self'",
}
_ROUTE = re.compile(r"(/\w+)+")  # paths of the API: no dots, so that none leads elsewhere
_LONGEST_BODY = 64 * 1024
_RENEWED_AFTER = 3000.0  # seconds; a token is valid for 3,600
_PASSED_ON = ("content-type", "idempotency-key", "accept")
_PASSED_BACK = ("content-type", "location", "retry-after", "cache-control")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the page's own policy is in its head
}


class Customer:
    """The first sample customer of a local stack, signed in."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._email = json.loads((demo.EVENTS / "customers.json").read_text())[0]["email"]
        self._lock = threading.Lock()
        self._token, self._since = "", 0.0

    def token(self) -> str:
        """Return a token that is valid for ten minutes at least."""
        with self._lock:
            if not self._token or time.monotonic() > self._since + _RENEWED_AFTER:
                self._token, self._since = sign_in(self._deployment, self._email), time.monotonic()
            return self._token


class CheckoutServer(ThreadingHTTPServer):
    """Serves the page's files, and forwards requests below /api to an API. Listens on loopback only."""

    daemon_threads = True

    def __init__(self, port: int, api_url: str, token: Callable[[], str], *, direct: bool = False) -> None:
        self.token = token  # returns the customer's
        self.direct = direct  # whether the page calls the API itself
        self.api = httpx.Client(base_url=api_url, timeout=35, trust_env=False)
        super().__init__(("127.0.0.1", port), _Handler)  # closes the server if the port is taken
        self.files = {f"/{file.name}": file for file in FOLDER.iterdir() if file.suffix in _TYPES}
        self.files["/"] = FOLDER / "index.html"

    def page(self) -> bytes:
        """Return the page. If it calls the API itself, its head has the API's address, and where it gets a token."""
        text = self.files["/"].read_text()
        if self.direct:
            address = str(self.api.base_url).rstrip("/")
            text = text.replace(_SAME_ORIGIN["api"], f'name="api" content="{address}"')
            text = text.replace(_SAME_ORIGIN["token"], f'name="token" content="{_TOKEN}"')
            origin = f"{self.api.base_url.scheme}://{self.api.base_url.netloc.decode()}"
            text = text.replace(_SAME_ORIGIN["policy"], f"{_SAME_ORIGIN['policy']} {origin}")
        return text.encode()

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self.server_port}"

    def server_close(self) -> None:
        """Close all connections."""
        super().server_close()
        self.api.close()


class _Handler(BaseHTTPRequestHandler):
    server: CheckoutServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, *args: object) -> None:
        """Log nothing: the page shows its problems."""

    def _answer(self) -> None:
        body = self._body()
        path, _, query = self.path.partition("?")
        reason = rejection(self.headers.items(), is_loopback, allows_links=self.command == "GET")
        if body is None:
            self._send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"Too large.\n", {})
        elif reason:
            self._send(HTTPStatus.FORBIDDEN, f"Forbidden: {reason}.\n".encode(), {})
        elif path.startswith(f"{_API}/") and not self.server.direct:
            self._pass_on(path.removeprefix(_API), query, body)
        elif path == _TOKEN and self.server.direct and self.command == "GET":
            self._send(HTTPStatus.OK, self.server.token().encode(), {"cache-control": "no-store"})
        elif path in self.server.files and self.command == "GET":
            file = self.server.files[path]
            found = {"content-type": f"{_TYPES[file.suffix]}; charset=utf-8", "cache-control": "no-store"}
            content = self.server.page() if file.suffix == ".html" else file.read_bytes()
            self._send(HTTPStatus.OK, content, found)
        else:
            self._send(HTTPStatus.NOT_FOUND, b"Not found.\n", {})

    def _body(self) -> bytes | None:
        """Return the request's body; None if it is too large. The connection then ends: the rest of it is not read."""
        length = self.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > _LONGEST_BODY or "transfer-encoding" in self.headers:
            self.close_connection = True
            return None
        return self.rfile.read(int(length))

    def _pass_on(self, path: str, query: str, body: bytes) -> None:
        """Send the request to the API as the customer; send the API's answer to the page."""
        if not _ROUTE.fullmatch(path):
            self._send(HTTPStatus.NOT_FOUND, b"Not found.\n", {})
            return
        headers = {name: self.headers[name] for name in _PASSED_ON if name in self.headers}
        headers["authorization"] = f"Bearer {self.server.token()}"
        try:
            answer = self.server.api.request(
                self.command, f"{path}?{query}" if query else path, content=body, headers=headers
            )
        except httpx.HTTPError as error:
            problem = {"title": "No answer", "detail": f"The local stack did not answer: {type(error).__name__}."}
            content = {"content-type": "application/problem+json"}
            self._send(HTTPStatus.BAD_GATEWAY, json.dumps(problem).encode(), content)
        else:
            back = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
            self._send(answer.status_code, answer.content, back)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-type": "text/plain", **headers, **_HEADERS}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@click.command(cls=StackCommand)
@click.option(
    "--port", default=PORT, type=Port(least=0), show_default=True, help="Port of the page; 0 picks a free one."
)
@click.option("--direct", is_flag=True, help="Let the page call the API itself, which is another origin.")
@local_option("The local stack on PORT.", default=LOCAL_DEFAULT)
def checkout(*, port: int, direct: bool, local: int) -> None:
    """Serve the checkout example for a running local stack."""
    deployment = Target(DEFAULT_STACK, local).deployment()
    try:
        server = CheckoutServer(port, deployment.api_url, Customer(deployment).token, direct=direct)
    except OSError as error:
        raise click.ClickException(
            f"The page cannot listen on port {port}: {error.strerror}. Choose another one with --port."
        ) from error
    with server:
        click.echo(f"Checkout: {server.url}")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("Stopped.")
