"""A deployment on DynamoDB Local for each test: `make test-dynamodb`."""

import os
import uuid
from functools import cache
from unittest.mock import patch

import boto3
import pytest
from moto import mock_aws

from dev.simulated import sessions
from dev.simulated.clock import running
from dev.simulated.stack import SimulatedStack
from dev.simulated.world import CREDENTIALS
from tests.dynamodb_local import engine
from tests.dynamodb_local.concurrent_load import ThreadedShop
from tests.dynamodb_local.network import Network


@pytest.fixture(scope="session")
def address():
    """The address of DynamoDB Local."""
    with engine.running() as address:
        yield address


@pytest.fixture
def clock():
    """A clock that runs and can be moved forward."""
    with running() as clock:
        yield clock


@pytest.fixture
def shop(address, clock, request, tally):
    """A shop on empty tables in DynamoDB Local, which has a database for each access key. The rest is in moto.

    A parameter has environment variables of the functions.
    """
    own_database = {"AWS_ACCESS_KEY_ID": uuid.uuid4().hex, "AWS_ENDPOINT_URL_DYNAMODB": address}
    network = Network(request.config.getoption("--chaos-seed"))
    with patch.dict(os.environ, CREDENTIALS | own_database), sessions.used(network.session):
        with mock_aws(config={"core": {"reset_boto3_session": False, "mock_credentials": False}}):
            stack = SimulatedStack(cache(boto3.Session().client))
        yield ThreadedShop(stack, network, getattr(request, "param", {}))
    tally.update(network.counts)
