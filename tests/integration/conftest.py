"""A deployment in moto for each test."""

import logging
from types import SimpleNamespace

import boto3
import pytest
from click.testing import CliRunner

from dev.simulated.world import MUG, TEE, body, deployed
from handoff.telemetry import logger
from ops.cli import main as cli
from ops.cli.options import Target
from tests.support import metrics
from tests.support.importer import importing_stack

OWN = {"emails", "analytics", "fulfillment", "settlement", "feedback"}


@pytest.fixture(scope="module")
def stack():
    """Deploy the template to moto."""
    with deployed() as stack:
        yield stack


@pytest.fixture
def order_id(api):
    """A placed order of one mug, whose event waits in every queue."""
    return api.place(body()).json["orderId"]


@pytest.fixture
def shipped(world, api):
    """A released order of three mugs and a tee: 5,750 are captured."""
    world.stock(TEE, unit_price=2000)
    order_id = api.place(body((MUG, 3), (TEE, 1)), key="shipped").json["orderId"]
    world.queues.until_quiet()
    assert world.order(order_id)["payment"]["captured"] == 5750
    return order_id


@pytest.fixture
def unchanged(world):
    """Check that a consumer publishes nothing, and changes no table that packing and settlement write."""

    def during(do):
        tables = ("OrdersTable", "ShipmentsTable", "SandboxTable", "ProductsTable")
        before = [world.items(table) for table in tables]
        announced = world.event_types()
        do()
        assert [world.items(table) for table in tables] == before
        assert world.event_types() == announced
        assert not any(map(world.queues.waiting, ("FulfillmentFunction", "SettlementFunction")))

    return during


@pytest.fixture
def printed(capsys):
    """Return the metrics that were printed since the last call."""
    return lambda: metrics.printed(capsys.readouterr().out)


@pytest.fixture
def sqs(world):
    """An SQS client on the wire, without long polling: moto would wait on a clock that stands still."""
    client = boto3.client("sqs")
    client.meta.events.register(
        "provide-client-params.sqs.ReceiveMessage", lambda params, **_: params.update(WaitTimeSeconds=0)
    )
    # Released messages become visible a moment later.
    client.meta.events.register("after-call.sqs.ChangeMessageVisibilityBatch", lambda **_: world.clock.forward(1))
    return client


@pytest.fixture
def importers():
    """The stacks that import the bus, by name; none unless a test has the fixture `loyalty`."""
    return {}


@pytest.fixture
def loyalty(world, importers):
    """A stack `loyalty` with a consumer `points`, which imports the bus."""
    with importing_stack(world.client, world.stack.resource("Bus").ref) as importers["loyalty"]:
        yield importers["loyalty"]


@pytest.fixture
def resources(world):
    """Physical ids of the stack's queues and rules by type and logical id."""
    kinds = ("AWS::SQS::Queue", "AWS::Events::Rule")
    return {
        kind: {name: world.stack.resource(name).ref for name in world.stack.template.of_type(kind)} for kind in kinds
    }


class IntoCloudWatch(logging.Handler):
    """Write what a function logs to its log group with the current time, as Lambda does."""

    def __init__(self, world):
        super().__init__()
        self.setFormatter(logger.registered_formatter)
        self._world = world
        self._logs = world.client("logs")

    def emit(self, record):
        if self._world.functions.running:  # imports, which log between invocations, are a property of these tests
            self.put(self._world.functions.running[-1].replace("Function", "Logs"), self.format(record))

    def put(self, group, text):
        event = {"timestamp": self._world.clock.ms, "message": text}
        self._logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=[event])


@pytest.fixture
def logs(world):
    """The functions' log groups, which receive the functions' log lines."""
    groups = list(world.stack.template.of_type("AWS::Logs::LogGroup"))
    client = world.client("logs")
    for group in groups:
        client.create_log_group(logGroupName=group)
        client.create_log_stream(logGroupName=group, logStreamName="one")
    handler = IntoCloudWatch(world)
    logger.addHandler(handler)
    yield handler
    logging.getLogger(logger.name).removeHandler(handler)
    for group in groups:
        client.delete_log_group(logGroupName=group)


@pytest.fixture
def logged_deployment(world, logs, sqs, resources, importers):
    """The stack in moto, with Handoff's own consumers only: what is pending depends on which there are."""
    kind = "AWS::Logs::LogGroup"
    resources[kind] = {group: group for group in world.stack.template.of_type(kind)}
    shops = tuple(found.name.capitalize() for found in world.stack.template.consumers() if found.name not in OWN)
    resources = {
        kind: {name: physical for name, physical in ids.items() if not name.startswith(shops)}
        for kind, ids in resources.items()
    }

    def resource(logical_id):
        found = [ids[logical_id] for ids in resources.values() if logical_id in ids]
        return found[0] if found else world.stack.resource(logical_id).ref

    return SimpleNamespace(
        stack="handoff",
        options="",
        endpoint=None,
        importers=importers,
        parameters=world.stack.parameters,
        dynamodb=boto3.client("dynamodb"),
        logs=boto3.client("logs"),
        events=boto3.client("events"),
        sqs=sqs,
        of_type=resources.__getitem__,
        has=lambda _: False,
        resource=resource,
    )


@pytest.fixture
def run_order(logged_deployment, monkeypatch):
    """Run `handoff order` against the stack in moto."""
    monkeypatch.setattr(Target, "deployment", lambda self: logged_deployment)
    return lambda *arguments: CliRunner().invoke(cli.main, ["order", *arguments])
