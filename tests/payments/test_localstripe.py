"""The happy path against a third-party double of Stripe: localstripe, in a separate process and environment.

It shows that requests and answers have the form that others know, and no more: localstripe ignores idempotency keys,
captures after a cancel, holds and captures money on cards that decline, refunds more than was captured, has no search,
and knows neither `error_on_requires_action` nor `allowed_payment_method_types`, which are therefore taken out on the
way. The `amount_received` and `amount_capturable` of an intent, which it does not know either, are added.
"""

import http.client
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pytest

from handoff.clock import now_ms
from shop.payments import Authorized, Captured, Failed, ProviderError, Refunded, Voided
from shop.payments.stripe_intents import Stripe
from tests.support.payment_providers import PaymentsCaller

LOCALSTRIPE = Path(__file__).parents[2] / ".tools/localstripe/bin/localstripe"
STATE = Path("/tmp/localstripe.pickle")  # fixed in its source
NOT_KNOWN = ("error_on_requires_action", "allowed_payment_method_types[0]")


class Key:
    """An API key that is not secret."""

    def text(self) -> str:
        return "sk_test_localstripe"

    read = text


class Passing(BaseHTTPRequestHandler):
    """Forward requests without the fields that localstripe does not support, and add those that it does not return."""

    port: int

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        known = urlencode([(name, value) for name, value in parse_qsl(body) if name not in NOT_KNOWN])
        headers = {name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers}
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(self.command, self.path, known, headers)
        response = connection.getresponse()
        document = json.load(response)
        connection.close()
        if document.get("object") == "payment_intent":
            document["amount_received"] = document["amount"] if document["status"] == "succeeded" else 0
            document["amount_capturable"] = document["amount"] if document["status"] == "requires_capture" else 0
        answer = json.dumps(document).encode()
        self.send_response(response.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def localstripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Start an empty localstripe; yield its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("localstripe")
    command = [LOCALSTRIPE, "--from-scratch", "--port", str(port)]
    log = (folder / "log").open("wb")
    with (
        log,
        subprocess.Popen(command, cwd=folder, env={"PATH": os.environ["PATH"]}, stdout=log, stderr=log) as process,
    ):
        try:
            while not _answers(port):
                assert process.poll() is None, (folder / "log").read_text()
            yield port
        finally:
            process.terminate()
            STATE.unlink(missing_ok=True)


@pytest.fixture
def shop(localstripe: int) -> Iterator[PaymentsCaller]:
    """A caller of the payment port with localstripe."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Passing", (Passing,), {"port": localstripe}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    provider = type("Localstripe", (), {"payments": Stripe(Key(), f"http://127.0.0.1:{server.server_port}")})
    yield PaymentsCaller(provider)
    server.shutdown()
    server.server_close()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _hold(shop: PaymentsCaller) -> str:
    held = shop.authorize("pm_card_visa", since=now_ms())
    assert isinstance(held, Authorized)
    return held.reference


def test_a_hold_is_captured(shop: PaymentsCaller) -> None:
    reference = _hold(shop)

    assert [shop.end("capture", reference) for _ in range(2)] == [Captured(4500), Captured(4500)]
    assert shop.end("void", reference) == Captured(4500)


def test_a_hold_is_voided(shop: PaymentsCaller) -> None:
    reference = _hold(shop)

    assert [shop.end("void", reference) for _ in range(2)] == [Voided(), Voided()]
    assert isinstance(shop.end("capture", reference), Failed)


def test_a_captured_payment_is_refunded_in_parts(shop: PaymentsCaller) -> None:
    reference = _hold(shop)
    shop.end("capture", reference)

    first, again, second = (shop.refund(reference, 1000, key) for key in ("a", "a", "b"))

    assert isinstance(first, Refunded)
    assert isinstance(second, Refunded)
    assert first == again != second


def test_an_unknown_payment_method_is_not_held(shop: PaymentsCaller) -> None:
    with pytest.raises(ProviderError):
        shop.authorize("pm_of_nobody", since=now_ms())
