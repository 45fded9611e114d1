"""Every client of every function, on real sockets, after Lambda has frozen its environment."""

import importlib
import sys
from types import SimpleNamespace

import botocore.session
import pytest

from dev.simulated.world import CREDENTIALS
from dev.template import WITH_STRIPE, template_with, variables_of
from handoff import aws, bus, connections, sdk_data
from shop import payments, settings
from shop.payments import sandbox
from tests.support import resetting_server

# Every function, and those that ask for payments also with the other provider: module and environment variables.
FUNCTIONS = [(name, variables_of(function)) for name, function in template_with().functions().items()]
FUNCTIONS += [
    (name, variables_of(function))
    for name, function in template_with(**WITH_STRIPE).functions().items()
    if variables_of(function).get("STRIPE_SECRET_ID")
]
# A request of each service that a function calls. A test fails for a client of a service that is not listed here.
REQUESTS = {
    "dynamodb": lambda client: client.get_item(TableName="table", Key={"id": {"S": "1"}}),
    "events": lambda client: client.put_events(Entries=[{}]),
    "secretsmanager": lambda client: client.get_secret_value(SecretId="secret"),
    "sesv2": lambda client: client.send_email(Content={}),
    "sqs": lambda client: client.delete_message(QueueUrl=client.meta.endpoint_url, ReceiptHandle="receipt"),
}
EVENT = SimpleNamespace(source="handoff.orders", detail_type="order_placed", detail="{}", trace=None)


@pytest.fixture(scope="module")
def session():
    """A session without the wire of other tests. It parses the model of each service only once."""
    return botocore.session.Session()


@pytest.fixture
def service(clock, session, certificate, monkeypatch):
    """A server in place of all AWS services, reached by TLS like them."""
    monkeypatch.setattr(sdk_data, "session", lambda: session)
    with resetting_server.running(certificate) as service:
        environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": service.base, "AWS_CA_BUNDLE": str(certificate)}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield service


@pytest.fixture(params=FUNCTIONS, ids=lambda param: f"{param[0]}-{param[1].get('PAYMENT_PROVIDER', 'no provider')}")
def clients(request, service, monkeypatch):
    """All AWS clients that a function creates when it starts, however it creates them."""
    function, variables = request.param
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    created = []

    def create_client(*args, create=botocore.session.Session.create_client, **values):
        created.append(create(*args, **values))
        return created[-1]

    monkeypatch.setattr(botocore.session.Session, "create_client", create_client)
    monkeypatch.delitem(sys.modules, function, raising=False)
    settings.load.cache_clear()
    importlib.import_module(function)
    yield created
    settings.load.cache_clear()


def send(client):
    REQUESTS[client.meta.service_model.service_name](client)


def test_no_client_uses_a_connection_that_died_during_a_freeze(clients, service, frozen_for):
    assert clients
    for number, client in enumerate(clients):
        # GIVEN a client that keeps its connection
        send(client)
        send(client)
        assert service.connections.opened == 2 * number + 1

        # WHEN the environment was frozen, and the connection has died
        frozen_for(connections.TRUSTED_FOR + 1)
        service.connections.kill()

        # THEN the next request uses another one
        send(client)
        assert service.connections.resets == 0


def test_every_client_survives_the_reset_of_a_connection_in_use(clients, service):
    for number, client in enumerate(clients):
        send(client)
        service.connections.kill()

        send(client)

        assert service.connections.resets == number + 1


def test_a_connection_is_kept_while_it_is_trusted(clients, service, clock):
    for client in clients:
        send(client)
        clock.forward(connections.TRUSTED_FOR)
        send(client)

    assert service.connections.opened == len(clients)


# --- clients with one try ---------------------------------------------------------------------------------------------


@pytest.fixture
def client(service):
    """A client with one try, whose connection is in use."""
    client = aws.client("events", config=aws.config(tries=1))
    send(client)
    return client


def test_a_reset_in_place_of_a_late_answer_is_not_retried(client, service, clock):
    # GIVEN a request that may have been slow, because its connection is reset later than a dead one is
    service.connections.kill()
    service.connections.before_reset = lambda: clock.forward(connections.RESET_WITHIN + 0.1)

    with pytest.raises(connections.CLOSED):
        send(client)
    assert service.connections.resets == 1


def test_a_reset_is_retried_once(client, service):
    service.connections.kill(new_too=True)

    with pytest.raises(connections.CLOSED):
        send(client)
    assert service.connections.resets == 2


def test_a_reset_of_a_new_connection_is_not_retried(service):
    service.connections.kill(new_too=True)

    with pytest.raises(connections.CLOSED):
        send(aws.client("events", config=aws.config(tries=1)))
    assert service.connections.resets == 1


# --- adapters ---------------------------------------------------------------------------------------------------------


def test_a_reset_delays_no_event_and_pauses_no_publishing(service):
    service.answer = {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}
    events = bus.connect("bus")
    published = []
    for _ in range(4):
        published += events.publish([EVENT])
        service.connections.kill()

    assert published == [True] * 4
    assert service.connections.resets == 3


def test_a_reset_fails_no_payment_of_the_sandbox(service):
    provider = sandbox.connect("ledger")
    for step in "first", "second":
        held = provider.authorize(
            step, order_id=step, amount=1, currency="EUR", token="tok_approve", can_act=False, since=0
        )
        assert held == payments.Authorized(step, 1)
        service.connections.kill()

    assert service.connections.resets == 1
