"""A server whose kept-alive connections die, as those of a Lambda function do while its environment is frozen.

Peers and gateways close connections that are idle. A running process notices: the end of the connection waits in its
socket. A frozen one may miss it, so its first request after the thaw goes into a connection that is dead, and all it
gets is a TCP reset.

`Connections.kill` brings that about: the next request on each connection that is open now is reset, and not read any
further. `MortalConnection` gives the same behavior to any HTTP server of the tests.
"""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar


class Connections:
    """The connections of one server: how many were opened, and how many requests were reset."""

    def __init__(self) -> None:
        self.opened = 0
        self.resets = 0
        self.before_reset: Callable[[], object] = lambda: None
        self._dead_up_to = 0.0
        self._lock = threading.Lock()

    def kill(self, *, new_too: bool = False) -> None:
        """Let the connections die that are open now, and with ``new_too`` all that follow."""
        self._dead_up_to = float("inf") if new_too else self.opened

    def open(self) -> int:
        """Count a new connection; return its number."""
        with self._lock:
            self.opened += 1
            return self.opened

    def reset(self, number: int) -> bool:
        """Return whether the connection is dead, and count the reset if it is."""
        if number > self._dead_up_to:
            return False
        with self._lock:
            self.resets += 1
        self.before_reset()
        return True


class MortalConnection(BaseHTTPRequestHandler):
    """One connection. If it is dead, its next request is reset."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # it would delay every answer on a kept connection by 40 ms
    connections: ClassVar[Connections]

    def setup(self) -> None:
        super().setup()
        self._number = self.connections.open()

    def parse_request(self) -> bool:
        if self.connections.reset(self._number):
            self.close_with_reset()
            return False
        return super().parse_request()

    def close_with_reset(self) -> None:
        """Close the connection by a reset, as a crashed machine or a gateway without state does, not by an end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()  # it shares the socket, which is closed once both are
        self.connection.close()

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


class MortalServer(ThreadingHTTPServer):
    """Serves connections in threads that end with the process; by TLS if it has a certificate with its key."""

    daemon_threads = True

    def __init__(self, connection: type[MortalConnection], certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), connection)
        self.scheme = "https" if certificate else "http"
        if certificate:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(certificate)
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that closed the connection; show any other error."""
        import sys  # noqa: PLC0415

        if not isinstance(sys.exception(), (ConnectionError, ssl.SSLError)):
            super().handle_error(request, client_address)


@dataclass
class AnyService:
    """A server that gives every request of every AWS service the same answer, an empty one by default."""

    base: str = ""
    answer: dict[str, Any] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    connections: Connections = field(default_factory=Connections)


class _Answering(MortalConnection):
    service: ClassVar[AnyService]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.service.requests.append(self.path)
        body = json.dumps(self.service.answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(server: MortalServer) -> Iterator[str]:
    """Run a server while the context lasts; return its address."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"{server.scheme}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def running(certificate: Path | None = None) -> Iterator[AnyService]:
    """Run `AnyService` on a free port of loopback."""
    service = AnyService()
    connection = type("_Connection", (_Answering,), {"service": service, "connections": service.connections})
    with serving(MortalServer(connection, certificate)) as service.base:
        yield service
