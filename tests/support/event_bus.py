"""A server that accepts PutEvents as EventBridge does, and keeps the entries."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class EventBus(ThreadingHTTPServer):
    """The entries in the order of their arrival. ``accepted`` is called after each request, before its answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.entries: list[dict[str, Any]] = []
        self.accepted: Callable[[], object] = lambda: None
        self.refuses = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def details(self) -> list[dict[str, Any]]:
        return [json.loads(entry["Detail"]) for entry in self.entries]


class _Handler(BaseHTTPRequestHandler):
    server: EventBus
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        results = []
        for entry in request["Entries"]:
            if self.server.refuses:
                results.append({"ErrorCode": "InternalFailure", "ErrorMessage": "refused by the test"})
            else:
                self.server.entries.append(entry)
                results.append({"EventId": str(len(self.server.entries))})
        self.server.accepted()
        document = json.dumps({"FailedEntryCount": sum("ErrorCode" in one for one in results), "Entries": results})
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(document)))
        self.end_headers()
        self.wfile.write(document.encode())

    def log_message(self, *args: object) -> None:
        """Log nothing."""


@contextmanager
def event_bus() -> Iterator[EventBus]:
    """Serve a bus while the context lasts."""
    with EventBus() as bus:
        threading.Thread(target=bus.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield bus
        finally:
            bus.shutdown()
