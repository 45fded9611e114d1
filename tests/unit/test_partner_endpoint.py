"""The partner's endpoint: which addresses are connected to, and what becomes of each kind of answer."""

import ipaddress
import socket
import threading
import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

import partner_endpoint
from handoff.errors import RetryLater
from partner_endpoint import Answer, Endpoint, is_public
from tests.support import certificates, partner_server
from tests.support.partner_server import close, drip, refusing_port, slow, status

HEADERS = {"webhook-id": "ord_a-1"}
HOST = "partner.example"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return certificates.self_signed(tmp_path_factory.mktemp("partner"), HOST)


@pytest.fixture(scope="module")
def server(certificate):
    with partner_server.running(certificate) as server:
        yield server


@pytest.fixture
def partner(server):
    server.reset()
    return server


@pytest.fixture
def lookups(monkeypatch):
    """The lookups of names, with the addresses that the next ones find: this machine's, unless a test sets others."""
    found = [["127.0.0.1"]]
    made = []

    def getaddrinfo(host, port, *_, type=0, **__):  # noqa: A002  # its name in the module
        made.append(host)
        addresses = found[0] if len(found) == 1 else found.pop(0)
        kinds = {4: socket.AF_INET, 6: socket.AF_INET6}
        return [(kinds[ipaddress.ip_address(one).version], type, 6, "", (one, port)) for one in addresses]

    real = socket.getaddrinfo
    monkeypatch.setattr(
        partner_endpoint.socket,
        "getaddrinfo",
        lambda host, *rest, **named: (getaddrinfo if host == HOST else real)(host, *rest, **named),
    )
    return found, made


@pytest.fixture
def endpoint(partner, certificate, lookups):
    return partner_endpoint.connect(f"https://{HOST}:{partner.port}/events?shop=1", str(certificate))


def post(endpoint):
    return endpoint.post('{"type":"order_placed"}', HEADERS)


def refused(endpoint):
    with pytest.raises(RetryLater) as raised:
        post(endpoint)
    return str(raised.value)


def test_a_webhook_is_posted_to_the_url_under_its_hosts_name(endpoint, partner):
    assert post(endpoint) == Answer(204, 0)

    (request,) = partner.requests
    assert (request.path, request.body) == ("/events?shop=1", b'{"type":"order_placed"}')
    assert request.headers["host"] == f"{HOST}:{partner.port}"
    assert request.headers["webhook-id"] == "ord_a-1"
    assert partner.server_names == [HOST]


def test_the_checked_address_is_the_one_that_is_connected_to(partner, certificate, lookups):
    # GIVEN a name that has another address at each lookup
    found, made = lookups
    found[:] = [["127.0.0.1"], ["127.0.0.9"]]
    # WHEN a webhook is posted
    post(partner_endpoint.connect(f"https://{HOST}:{partner.port}/events", str(certificate)))
    # THEN the name was looked up once, and the address of that lookup was used
    assert made == [HOST]
    assert len(partner.requests) == 1


@pytest.mark.parametrize("address", ["10.0.0.5", "169.254.169.254", "127.0.0.1", "::1", "fd00::1"])
def test_a_host_with_a_private_address_is_not_connected_to(partner, certificate, lookups, address):
    lookups[0][:] = [["93.184.216.34", address]]
    public = partner_endpoint.connect(f"https://{HOST}:{partner.port}/events", "")

    assert refused(public) == f"{HOST} has the address {address}, which is not public"
    assert partner.server_names == []


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("192.0.2.1", False),
        ("192.168.1.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("239.1.1.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", False),
        ("::7f00:1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b:1::7f00:1", False),
        ("2002:7f00:1::", False),
        ("2001::1", False),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
        ("ff02::1", False),
    ],
)
def test_only_public_addresses_of_one_host_are_allowed(address, is_allowed):
    assert is_public(ipaddress.ip_address(address)) is is_allowed


def test_with_a_local_ca_only_this_machine_is_allowed(certificate, lookups):
    lookups[0][:] = [["93.184.216.34"]]
    local = partner_endpoint.connect(f"https://{HOST}/events", str(certificate))

    assert refused(local) == f"{HOST} has the address 93.184.216.34, which is not public"


def test_the_next_address_is_tried_if_one_cannot_be_connected_to(partner, certificate, lookups):
    lookups[0][:] = [["::1", "127.0.0.1"]]  # the server listens on the second one only

    assert post(partner_endpoint.connect(f"https://{HOST}:{partner.port}/", str(certificate))).status == 204


def test_a_redirect_is_not_followed(endpoint, partner):
    partner.usual = status(302, location=f"https://{HOST}:{partner.port}/elsewhere")

    assert post(endpoint).status == 302
    assert len(partner.requests) == 1


def test_no_proxy_is_used(endpoint, partner, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{refusing_port()}")

    assert post(endpoint).status == 204


def test_a_certificate_of_another_host_is_refused(partner, certificate, lookups):
    other = partner_endpoint.connect(f"https://localhost:{partner.port}/events", str(certificate))

    assert refused(other).startswith("TLS with localhost failed: ")
    assert "mismatch" in refused(other)
    assert partner.requests == []


def test_a_certificate_of_an_unknown_ca_is_refused(partner, tmp_path, lookups):
    another = certificates.self_signed(tmp_path, HOST)

    assert refused(partner_endpoint.connect(f"https://{HOST}:{partner.port}/", str(another))).startswith(
        f"TLS with {HOST} failed: self-signed certificate"
    )
    assert partner.requests == []


def test_an_attempt_ends_in_time_if_the_answer_does_not_come(endpoint, partner, monkeypatch):
    monkeypatch.setattr(partner_endpoint, "LONGEST_ATTEMPT", 0.3)
    partner.usual = slow(1.5)
    began = time.monotonic()

    assert refused(endpoint) == "no answer within 15 s"
    assert time.monotonic() - began < 1


def test_an_attempt_ends_in_time_if_the_answer_arrives_byte_by_byte(endpoint, partner, monkeypatch):
    monkeypatch.setattr(partner_endpoint, "LONGEST_ATTEMPT", 0.4)
    partner.usual = drip
    began = time.monotonic()

    assert refused(endpoint) == "no answer within 15 s"
    assert time.monotonic() - began < 1
    # AND its connection is ended, so that no thread is left behind
    for _ in range(40):
        if partner.ended:
            return
        time.sleep(0.05)
    raise AssertionError("the connection is still open")


def test_a_name_that_is_looked_up_for_too_long_ends_in_time(endpoint, monkeypatch):
    monkeypatch.setattr(partner_endpoint, "LONGEST_ATTEMPT", 0.2)
    done = threading.Event()
    monkeypatch.setattr(partner_endpoint.socket, "getaddrinfo", lambda *_, **__: [done.wait(2)][:0])
    began = time.monotonic()

    assert refused(endpoint) == "no answer within 15 s"
    assert time.monotonic() - began < 1
    done.set()


def test_a_closed_connection_is_no_answer(endpoint, partner):
    partner.usual = close

    assert refused(endpoint) == f"{HOST} closed the connection without a valid answer"


def test_an_endpoint_that_refuses_connections_has_a_reason(certificate, lookups):
    silent = partner_endpoint.connect(f"https://{HOST}:{refusing_port()}/secret-path", str(certificate))

    assert refused(silent) == f"no connection to {HOST}"


def test_an_unknown_name_has_a_reason(certificate, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(partner_endpoint.socket, "getaddrinfo", unknown)

    assert refused(partner_endpoint.connect(f"https://{HOST}/x", str(certificate))) == f"{HOST} cannot be resolved"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120), ("0", 0), ("-5", 0), ("soon", 0), ("", 0), ("1.5", 0), ("٣", 0), ("9" * 5000, 999_999_999)],
)
def test_a_pause_in_seconds_is_read(endpoint, partner, value, seconds):
    partner.usual = status(503, retry_after=value.encode("utf-8").decode("latin-1"))

    assert post(endpoint) == Answer(503, seconds)


def test_a_pause_until_a_date_is_read(endpoint, partner, clock):
    partner.usual = status(
        503, retry_after=format_datetime(datetime.fromtimestamp(clock.ms // 1000 + 100, UTC), usegmt=True)
    )

    assert post(endpoint).retry_after == pytest.approx(100, abs=1)


def test_a_pause_until_a_date_in_the_past_is_none(endpoint, partner):
    partner.usual = status(429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT")

    assert post(endpoint) == Answer(429, 0)


def test_no_body_of_an_answer_is_read(partner, certificate, lookups):
    # GIVEN an answer that announces a body that never comes
    partner.usual = status(200, content_length="1000000")

    assert post(partner_endpoint.connect(f"https://{HOST}:{partner.port}/", str(certificate))).status == 200


def test_the_endpoint_is_one_url():
    endpoint = Endpoint("https://Partner.Example/a", None, is_allowed=is_public)
    assert endpoint.host == HOST
