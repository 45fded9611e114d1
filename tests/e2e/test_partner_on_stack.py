"""Webhooks to a partner on the deployed stack, whose functions run under their own roles.

The partner's server runs the sample receiver, which checks each signature itself.
"""

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import receiver
from click.testing import CliRunner

from dev.demo import orders as demo
from dev.local.consumers import lambda_client
from dev.local.stack import LocalStack
from dev.simulated.messages import message
from ops.cli.main import main
from ops.shop_client import ShopClient
from ops.stack import observe
from ops.stack.deployment import Deployment
from tests.e2e.support import eventually, invoke, place, until_quiet
from tests.support import certificates, partner_server
from tests.support.partner_server import PartnerServer, Request, slow, status
from tests.support.partners import SECRET

STACK, NAME = "with-partner", "shop/partner"
HOST = "localhost"
OTHER = "whsec_AfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("partner")


@pytest.fixture(scope="module")
def certificate(folder: Path) -> Path:
    return certificates.self_signed(folder, HOST)


@pytest.fixture(scope="module")
def events(folder: Path) -> Any:
    return receiver.Events(folder / "events.sqlite")


@pytest.fixture(scope="module")
def server(certificate: Path) -> Iterator[PartnerServer]:
    with partner_server.running(certificate) as partner:
        yield partner


@pytest.fixture(scope="module")
def with_partner(
    local_stack: LocalStack, deployment: Deployment, server: PartnerServer, certificate: Path
) -> Deployment:
    """A second stack of the same build, with a partner on this machine."""
    deployment.client("secretsmanager").create_secret(Name=NAME, SecretString=SECRET)
    local_stack.deploy_again(
        STACK,
        PartnerEndpoint=f"https://{HOST}:{server.port}/events",
        PartnerSecret=NAME,
        PartnerLocalCa=str(certificate),
        ApiId="0a1b2c3f",
    )
    return Deployment(STACK, local_stack.session(), local_stack.endpoint)


@pytest.fixture
def partner(with_partner: Deployment, server: PartnerServer, events: Any) -> PartnerServer:
    """The partner's server, to which no event is on its way. It runs the sample receiver unless told otherwise."""
    until_quiet(with_partner)

    def received(request: Request) -> tuple[int, dict[str, str]]:
        code, _ = receiver.receive([SECRET, OTHER], events, request.headers, request.body, time.time())
        return code, {}

    server.reset()
    server.usual = received
    return server


@pytest.fixture(scope="module")
def customer(with_partner: Deployment) -> Iterator[ShopClient]:
    account = demo.prepare(with_partner)
    with contextlib.closing(ShopClient(with_partner.api_url, account.token)) as client:
        yield client


@pytest.fixture
def handoff(local_stack: LocalStack) -> Callable[..., str]:
    """Run a `handoff` command on the stack; return its output."""

    def run(*arguments: str) -> str:
        done = CliRunner(env={"PORT": str(local_stack.port)}).invoke(main, [*arguments, "--local", "--stack", STACK])
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def of_order(events: Any, order_id: str) -> list[str]:
    """Return the types of the events of an order that the receiver has stored, oldest first."""
    return [event["type"] for _, event in events.all() if event["data"]["orderId"] == order_id]


def try_last(deployment: Deployment, order_id: str) -> str:
    """Deliver an event on its last receive; return the reason of its dead letter, or nothing."""
    record = {
        "messageId": str(uuid.uuid4()),
        "receiptHandle": "made-up",
        "body": message("order_placed", order_id, 1),
        "attributes": {"ApproximateReceiveCount": "6"},
        "eventSource": "aws:sqs",
    }
    before = reasons(deployment)
    invoke(deployment, "partners", {"Records": [record]})
    return reasons(deployment).get(order_id, "") if before != reasons(deployment) else ""


def reasons(deployment: Deployment) -> dict[str, str]:
    """Return the reasons of all dead letters by their order."""
    url = deployment.queue_url("partners", dead_letters=True)
    found = deployment.sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageAttributeNames=["All"]
    )
    return {
        json.loads(letter["Body"])["detail"]["data"]["orderId"]: letter["MessageAttributes"]["reason"]["StringValue"]
        for letter in found.get("Messages", [])
    }


@contextlib.contextmanager
def settings(deployment: Deployment, **values: str) -> Iterator[None]:
    """Change environment variables of the function while the context lasts; each change starts it again."""
    client: Any = lambda_client(deployment)
    function = deployment.resource("PartnersFunction")
    usual = client.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    client.update_function_configuration(FunctionName=function, Environment={"Variables": usual | values})
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=function, Environment={"Variables": usual})


def test_the_events_of_an_order_reach_the_partner_signed(
    with_partner: Deployment, customer: ShopClient, partner: PartnerServer, events: Any, handoff: Callable[..., str]
) -> None:
    # GIVEN a partner that fails once
    partner.answers = [status(500)]
    answer = place(customer)
    assert answer.status == 201, answer.body
    order_id = answer.body["orderId"]
    # THEN all events arrive, each stored once, with valid signatures
    wanted = {"order_placed", "shipment_prepared", "shipment_released"}
    eventually(lambda: set(of_order(events, order_id)), lambda seen: seen == wanted)
    assert len(of_order(events, order_id)) == 3
    # AND each has its own id, and the refused one the same at both attempts
    ids = [request.headers["webhook-id"] for request in partner.requests]
    assert len(ids) == 4
    assert set(ids) == {f"{order_id}-{n}" for n in (1, 2, 3)}
    assert {request.headers["host"] for request in partner.requests} == {f"{HOST}:{partner.port}"}
    # AND the delivery log shows the answers
    text = eventually(lambda: handoff("order", order_id), lambda seen: seen.count("partner answered") >= 4)
    assert "status 500" in text
    assert "delivered" in text
    assert observe.depth(with_partner, with_partner.queue_url("partners")).in_flight == 0


def test_a_refused_event_is_redriven(
    with_partner: Deployment, partner: PartnerServer, events: Any, handoff: Callable[..., str]
) -> None:
    order_id = f"ord_{uuid.uuid4().hex[:26]}"
    partner.answers = [status(403)]
    assert try_last(with_partner, order_id) == "the partner answered 403"
    assert "the partner answered 403" in handoff("dlq", "list", "partners")
    # WHEN the partner accepts events again
    handoff("dlq", "redrive", "partners", "--yes")
    # THEN the event arrives
    eventually(lambda: of_order(events, order_id), bool)
    assert reasons(with_partner) == {}


def test_a_replayed_or_forged_webhook_is_refused(partner: PartnerServer, events: Any, with_partner: Deployment) -> None:
    order_id = f"ord_{uuid.uuid4().hex[:26]}"
    assert try_last(with_partner, order_id) == ""
    (request,) = partner.requests

    def answer(now: float, body: bytes = request.body) -> tuple[int, str]:
        return receiver.receive([SECRET], events, request.headers, body, now)

    assert answer(time.time()) == (200, "received before")
    assert answer(time.time() + 301) == (400, "too old, or from the future")
    assert answer(time.time(), request.body.replace(b"placed", b"closed")) == (400, "no valid signature")
    assert of_order(events, order_id) == ["order_placed"]


def test_failures_become_dead_letters_with_reasons(
    with_partner: Deployment, partner: PartnerServer, tmp_path: Path
) -> None:
    def reason(*answers: partner_server.Answer) -> str:
        partner.answers = list(answers)
        return try_last(with_partner, f"ord_{uuid.uuid4().hex[:26]}")

    # a redirect is not followed
    assert reason(status(307, location=f"https://{HOST}:{partner.port}/elsewhere")).startswith(
        "the partner answered 307: a redirect, which is not followed"
    )
    # a slow partner
    assert reason(slow(17)) == "no answer within 15 s"
    assert {request.path for request in partner.requests} == {"/events"}
    # a certificate of another authority
    with partner_server.running(certificates.self_signed(tmp_path, HOST)) as impostor:
        with settings(with_partner, PARTNER_ENDPOINT=f"https://{HOST}:{impostor.port}/events"):
            assert reason().startswith(f"TLS with {HOST} failed: self-signed certificate")
        assert impostor.requests == []
    # a certificate of another host
    other = certificates.self_signed(tmp_path, "other.example")
    with partner_server.running(other) as impostor:
        with settings(with_partner, PARTNER_ENDPOINT=f"https://{HOST}:{impostor.port}/", PARTNER_LOCAL_CA=str(other)):
            assert reason().startswith(f"TLS with {HOST} failed: Hostname mismatch")
        assert impostor.requests == []
    # as on AWS, a private address is refused
    with settings(with_partner, PARTNER_LOCAL_CA=""):
        assert "which is not public" in reason()
    # 410 Gone, and what follows it
    assert reason(status(410)) == "the partner answered 410 Gone: it wants no more events at this endpoint"
    sent = len(partner.requests)
    assert reason().startswith("not sent: the partner answered 410 Gone")
    assert len(partner.requests) == sent
    with_partner.sqs.purge_queue(QueueUrl=with_partner.queue_url("partners", dead_letters=True))


def test_a_secret_is_rotated_without_a_gap(
    with_partner: Deployment, partner: PartnerServer, events: Any, deployment: Deployment
) -> None:
    secrets = deployment.client("secretsmanager")
    for text, signatures in ((f"{SECRET}\n{OTHER}", 2), (OTHER, 1)):
        secrets.put_secret_value(SecretId=NAME, SecretString=text)
        with settings(with_partner):  # a new process, because a running one keeps the secret for five minutes
            assert try_last(with_partner, f"ord_{uuid.uuid4().hex[:26]}") == ""
        assert len(partner.requests[-1].headers["webhook-signature"].split()) == signatures
    secrets.put_secret_value(SecretId=NAME, SecretString=SECRET)
