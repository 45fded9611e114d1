"""A deployment in moto for each test."""

import boto3
import pytest

from dev.simulated.world import MUG, TEE, body, deployed
from tests.support import metrics
from tests.support.importer import importing_stack


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
