"""A partner's HTTPS server on loopback: it records requests, and answers as a test tells it."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Answer = Callable[["Request"], tuple[int, dict[str, str]]]


@dataclass(frozen=True)
class Request:
    """A request as it arrived; the names of its headers in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class PartnerServer:
    """The server: its port, its requests, the server names of its TLS connections, and its answers.

    ``answers`` are used one after another, then ``usual`` for each request. ``ended`` counts the answers that
    dripped until the client ended the connection.
    """

    port: int = 0
    ended: int = 0
    requests: list[Request] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    usual: Answer = field(default_factory=lambda: status(204))

    def reset(self) -> None:
        """Forget all requests and answers."""
        self.ended = 0
        self.requests.clear()
        self.server_names.clear()
        self.answers.clear()
        self.usual = status(204)


def status(code: int, **headers: str) -> Answer:
    """Return an answer with this status; underscores in the names of headers stand for hyphens."""
    return lambda _: (code, {name.replace("_", "-"): value for name, value in headers.items()})


def slow(seconds: float) -> Answer:
    """Return an answer that takes so long."""

    def answer(_: Request) -> tuple[int, dict[str, str]]:
        time.sleep(seconds)
        return 204, {}

    return answer


class Dripping(Exception):
    """Sends header lines without end, each within the time for a read."""


def drip(_: Request) -> tuple[int, dict[str, str]]:
    """Answer with headers that never end."""
    raise Dripping


class Closing(Exception):
    """Closes the connection in place of an answer."""


def close(_: Request) -> tuple[int, dict[str, str]]:
    """Close the connection in place of an answer."""
    raise Closing


@contextmanager
def running(certificate: Path, port: int = 0) -> Iterator[PartnerServer]:
    """Run a server with this certificate and key while the context lasts."""
    partner = PartnerServer()
    server = _server(partner, certificate, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield partner
    finally:
        server.shutdown()
        server.server_close()


def _server(partner: PartnerServer, certificate: Path, port: int) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            request = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            partner.requests.append(request)
            answer = partner.answers.pop(0) if partner.answers else partner.usual
            try:
                code, headers = answer(request)
            except Closing:
                return
            except Dripping:
                self._drip()
                return
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def _drip(self) -> None:
            self.wfile.write(b"HTTP/1.1 204 No Content\r\n")
            try:
                while True:
                    self.wfile.write(b"x")
                    time.sleep(0.05)
            except OSError:
                partner.ended += 1

        def log_message(self, *args: object) -> None:
            """Log nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Ignore clients that end connections, and failed handshakes."""

    server = Server(("127.0.0.1", port), Handler)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    tls.sni_callback = lambda connection, name, context: partner.server_names.append(name)
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    partner.port = server.server_port
    return server


def refusing_port() -> int:
    """Return a port of loopback on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
