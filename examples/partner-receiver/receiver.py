"""A partner's endpoint for Handoff's webhooks, in plain Python: checks each one, and stores each event once.

    python receiver.py --secrets secrets.txt --database events.sqlite --certificate certificate.pem --port 8443

``secrets.txt`` has the signing secret, or two while it is rotated, one per line. ``certificate.pem`` has the
certificate of this host and its private key; leave it out behind a proxy that ends TLS.

A webhook is accepted if its signature is valid and its time is within five minutes of now. The time is signed, so an
old recording is refused. Within the five minutes the id decides: an id that is stored already is acknowledged and not
stored again, because Handoff sends a webhook again if it has not seen the answer.

The rules are those of Standard Webhooks, which has libraries for most languages:
https://github.com/standard-webhooks/standard-webhooks
"""

import argparse
import base64
import binascii
import hashlib
import hmac
import json
import logging
import sqlite3
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOLERANCE = 300  # seconds
MAX_BODY = 20_000  # bytes; Handoff's webhooks have less than 1,500
# Ids are kept longer than Handoff can send an event again: 4 days in its queue, then 14 as a dead letter.
KEPT_FOR = 30 * 86_400  # seconds

_logger = logging.getLogger("receiver")


class RefusedError(Exception):
    """Not a current webhook that was signed with a known secret. The text says why."""


def check(secrets: list[str], headers: Mapping[str, str], body: bytes, now: float) -> str:
    """Return the id of a webhook if it is valid; ``headers`` by their names in lower case.

    Raises
    ------
    RefusedError
        If it is not.
    """
    webhook_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not webhook_id or not sent_at.isascii() or not sent_at.isdecimal():
        raise RefusedError("no webhook-id or webhook-timestamp")
    if abs(now - int(sent_at[:15])) > TOLERANCE:
        raise RefusedError("too old, or from the future")
    signed = b".".join([webhook_id.encode(), sent_at.encode(), body])
    expected = [hmac.new(_key(secret), signed, hashlib.sha256).digest() for secret in secrets]
    for signature in headers.get("webhook-signature", "").split():
        version, _, text = signature.partition(",")
        if version == "v1" and any(hmac.compare_digest(_decoded(text), one) for one in expected):
            return webhook_id
    raise RefusedError("no valid signature")


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


class Events:
    """The received events, each once, in an SQLite file."""

    def __init__(self, path: Path | str) -> None:
        self._path = path
        with closing(self._connect()) as database, database:
            database.execute("CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, received REAL, event TEXT)")

    def add(self, webhook_id: str, event: Mapping[str, Any], now: float) -> bool:
        """Store an event; return whether it is new. It is on disk when this returns."""
        with closing(self._connect()) as database, database:
            database.execute("DELETE FROM events WHERE received < ?", (now - KEPT_FOR,))
            added = database.execute(
                "INSERT OR IGNORE INTO events VALUES (?, ?, ?)", (webhook_id, now, json.dumps(event))
            )
            return added.rowcount == 1

    def all(self) -> list[tuple[str, dict[str, Any]]]:
        """Return all events with their ids, oldest first."""
        with closing(self._connect()) as database:
            rows = database.execute("SELECT id, event FROM events ORDER BY received").fetchall()
        return [(webhook_id, json.loads(event)) for webhook_id, event in rows]

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=10)


def receive(secrets: list[str], events: Events, headers: Mapping[str, str], body: bytes, now: float) -> tuple[int, str]:
    """Return the status and the text that answer a request. Only 2xx means that Handoff need not send it again."""
    try:
        webhook_id = check(secrets, headers, body, now)
        event = json.loads(body)
        kind, subject = event["type"], event["data"]
    except RefusedError as refused:
        return 400, str(refused)
    except (ValueError, KeyError, TypeError):
        return 400, "not an event"
    if not events.add(webhook_id, event, now):
        return 200, "received before"
    _logger.info("received %s: %s %s", webhook_id, kind, subject)
    return 202, "received"


def serve(
    secrets: list[str],
    events: Events,
    port: int,
    certificate: Path | None,
    *,
    clock: Callable[[], float] = time.time,
    host: str = "0.0.0.0",  # noqa: S104  # Handoff reaches it from elsewhere
) -> ThreadingHTTPServer:
    """Return a server for this endpoint, which ``serve_forever`` runs."""

    class Endpoint(BaseHTTPRequestHandler):
        timeout = 20  # seconds for each read

        def do_POST(self) -> None:
            length = self.headers.get("content-length", "")
            if not length.isdecimal() or int(length) > MAX_BODY:
                status, text = 413, "no length, or too long"
            else:
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, text = receive(secrets, events, headers, self.rfile.read(int(length)), clock())
            answer = json.dumps({"detail": text}).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name in the base class
            _logger.info(format, *args)

    server = ThreadingHTTPServer((host, port), Endpoint)
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--secrets", type=Path, required=True)
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--port", type=int, default=8443)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    secrets = chosen.secrets.read_text().split()
    with serve(secrets, Events(chosen.database), chosen.port, chosen.certificate) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
