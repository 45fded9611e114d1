"""A deployment in moto for each test."""

import pytest

from support import metrics
from support.world import World, body, deployed


@pytest.fixture(scope="module")
def stack():
    """The template's stack in moto."""
    with deployed() as stack:
        yield stack


@pytest.fixture
def world(stack, clock):
    """A deployment with ten mugs and one known customer."""
    world = World(stack, clock)
    world.stock()
    world.customer()
    return world


@pytest.fixture
def api(world):
    """The API with Ada's token."""
    return world.api()


@pytest.fixture
def order_id(api):
    """A placed order of one mug, whose event waits in every queue."""
    return api.place(body()).json["orderId"]


@pytest.fixture
def printed(capsys):
    """Reads the metrics that were printed since it was last called."""
    return lambda: metrics.printed(capsys.readouterr().out)
