"""The whole system as `make run` deploys it, with every function under its own IAM role."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from dev.demo import orders as demo
from dev.local.metrics import publishing_metrics
from dev.local.stack import LocalStack, running
from handoff.clock import now_ms
from ops.shop_client import ShopClient
from ops.stack.deployment import Deployment


@pytest.fixture(scope="session")
def local_stack() -> Iterator[LocalStack]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running(port, enforce_iam=True) as stack:
        yield stack


@pytest.fixture(scope="session")
def deployment(local_stack: LocalStack) -> Deployment:
    local_stack.build()
    return Deployment(local_stack.deploy(), local_stack.session(), local_stack.endpoint)


@pytest.fixture(scope="session")
def client(deployment: Deployment) -> Iterator[ShopClient]:
    account = demo.prepare(deployment)
    with contextlib.closing(ShopClient(deployment.api_url, account.token)) as client:
        yield client


@pytest.fixture(scope="session")
def metrics_since(deployment: Deployment) -> Iterator[int]:
    """Publish the stack's metrics, from the time returned; once only, as two bridges would count everything twice."""
    demo.wait_until_quiet(deployment, lambda _: None)
    began = now_ms()
    with publishing_metrics(deployment):
        yield began
