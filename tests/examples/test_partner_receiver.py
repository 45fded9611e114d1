"""The sample receiver: it accepts signed, current webhooks, and stores each event once."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
import receiver
from standardwebhooks import Webhook

from tests.support.partner_server import refusing_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_AfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = 1_795_428_000
BODY = b'{"type":"order_placed","timestamp":"2026-11-23T10:00:00.123Z","data":{"orderId":"ord_1"}}'


def signed(*secrets, webhook_id="ord_1-1", at=NOW, body=BODY):
    """Return the headers of a webhook, signed by the library of the specification and not by the receiver's code."""
    moment = datetime.fromtimestamp(at, UTC)
    signatures = [Webhook(secret).sign(webhook_id, moment, body.decode()) for secret in secrets or [SECRET]]
    return {"webhook-id": webhook_id, "webhook-timestamp": str(at), "webhook-signature": " ".join(signatures)}


@pytest.fixture
def events(tmp_path):
    return receiver.Events(tmp_path / "events.sqlite")


@pytest.fixture
def receive(events):
    """Give a request to the receiver; return its answer."""
    return lambda headers, body=BODY, now=NOW, secrets=(SECRET,): receiver.receive(
        list(secrets), events, headers, body, now
    )


def test_a_webhook_is_stored(receive, events):
    assert receive(signed()) == (202, "received")
    assert events.all() == [("ord_1-1", json.loads(BODY))]


def test_the_example_of_the_specification_is_accepted():
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert receiver.check([SECRET], headers, b'{"test": 2432232314}', 1614265330) == "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_a_webhook_that_is_sent_again_is_acknowledged_and_not_stored_again(receive, events):
    receive(signed())

    assert receive(signed(at=NOW + 10), now=NOW + 10) == (200, "received before")
    assert len(events.all()) == 1


def test_ids_are_known_after_a_restart(tmp_path):
    for expected in (True, False):
        assert receiver.Events(tmp_path / "events.sqlite").add("ord_1-1", {}, NOW) is expected


def test_ids_are_forgotten_only_after_thirty_days(events):
    events.add("ord_1-1", {}, NOW)
    assert not events.add("ord_1-1", {}, NOW + 30 * 86_400)
    assert events.add("ord_1-1", {}, NOW + 30 * 86_400 + 1)


@pytest.mark.parametrize("late", [301, -301, 86_400])
def test_an_old_or_future_time_is_refused(receive, events, late):
    assert receive(signed(), now=NOW + late) == (400, "too old, or from the future")
    assert events.all() == []


@pytest.mark.parametrize("late", [300, -300])
def test_clocks_may_differ_by_five_minutes(receive, late):
    assert receive(signed(), now=NOW + late)[0] == 202


def test_a_changed_time_is_refused(receive):
    assert receive(signed() | {"webhook-timestamp": str(NOW + 1)}) == (400, "no valid signature")


def test_a_changed_id_is_refused(receive):
    assert receive(signed() | {"webhook-id": "ord_1-2"}) == (400, "no valid signature")


def test_a_changed_body_is_refused(receive):
    assert receive(signed(), BODY.replace(b"placed", b"closed")) == (400, "no valid signature")


def test_a_signature_with_an_unknown_secret_is_refused(receive):
    assert receive(signed(OTHER)) == (400, "no valid signature")


def test_while_a_secret_is_rotated_either_signature_is_enough(receive):
    assert receive(signed(SECRET, OTHER, webhook_id="ord_1-1"), secrets=[OTHER])[0] == 202
    assert receive(signed(SECRET, webhook_id="ord_1-2"), secrets=[SECRET, OTHER])[0] == 202


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-id": ""},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "\u0661"},
        {"webhook-timestamp": "9" * 400},
        {"webhook-signature": ""},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,ä v1,!! ,"},
        {"webhook-signature": "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
    ],
)
def test_malformed_headers_are_refused(receive, headers):
    assert receive(signed() | headers if headers else {})[0] == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'"text"'])
def test_a_signed_body_that_is_no_event_is_refused(receive, body):
    signable = body if body != b"\xff" else b"?"
    assert receive(signed(body=signable), body)[0] == 400


def test_the_program_serves_the_endpoint(tmp_path):
    # GIVEN the program, without TLS as behind a proxy
    port = refusing_port()
    (tmp_path / "secrets.txt").write_text(f"{SECRET}\n{OTHER}\n")
    options = ["--secrets", "secrets.txt", "--database", "events.sqlite", "--port", str(port)]
    program = subprocess.Popen([sys.executable, Path(receiver.__file__), *options], cwd=tmp_path)
    try:
        now = int(datetime.now(UTC).timestamp())
        # WHEN it gets a webhook, one that is forged and one that is too long
        answers = [
            send(port, BODY, signed(OTHER, at=now)),
            send(port, BODY, signed("whsec_" + "A" * 32, at=now)),
            send(port, b" " * 20_001, signed(at=now)),
        ]
    finally:
        program.terminate()
        program.wait()
    assert answers == [202, 400, 413]
    assert [webhook_id for webhook_id, _ in receiver.Events(tmp_path / "events.sqlite").all()] == ["ord_1-1"]


def send(port, body, headers):
    """Post a body once the server is there; return the status."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/events", body, headers)
    for _ in range(100):
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError("the program does not answer")
