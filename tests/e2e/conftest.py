"""The whole system as `make run` deploys it, with each function under its own IAM role."""

import contextlib
import fcntl
import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dev.demo import orders as demo
from dev.local.consumers import packed_after
from dev.local.metrics import publishing_metrics
from dev.local.stack import ROOT, LocalStack, running
from handoff.clock import now_ms
from ops import smoke_order
from ops.cli.main import main
from ops.shop_client import ShopClient
from ops.stack.deployment import Deployment
from tests.e2e.support import invoke, until_quiet

# Each worker has a stack of its own and takes one file after another, so the longest come first. Before them comes the
# file that needs a shop without sales.
FIRST = ("test_deployed", "test_first_workflow", "test_privacy", "test_smoke", "test_load_command", "test_order_life")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files of this folder."""
    items.sort(key=lambda item: FIRST.index(item.path.stem) if item.path.stem in FIRST else len(FIRST))


@pytest.fixture(scope="session")
def local_stack() -> Iterator[LocalStack]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running(port, enforce_iam=True) as stack:
        yield stack


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, testrun_uid: str) -> Path:
    """A folder of all workers of this run."""
    folder = tmp_path_factory.getbasetemp().parent / f"shared-{testrun_uid}"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def deployment(local_stack: LocalStack, shared: Path) -> Iterator[Deployment]:
    """The stack, which packs orders at once: few tests need the cancel window, and the others do not wait for it."""
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first worker builds for all
        if not (shared / "build").exists():
            local_stack.build()
            shutil.move(local_stack.built, shared / "build")
    local_stack.built.symlink_to(shared / "build")
    deployment = Deployment(local_stack.deploy(), local_stack.session(), local_stack.endpoint)
    with packed_after(deployment, 0):
        yield deployment


@pytest.fixture
def window(deployment: Deployment) -> Iterator[None]:
    """The cancel window of the stack's parameters."""
    with packed_after(deployment, smoke_order.window(deployment)):
        yield


@pytest.fixture
def sweeping(deployment: Deployment) -> Iterator[None]:
    """Run the sweeper every two seconds, so that nothing waits for its minute."""
    stopped = threading.Event()

    def sweep() -> None:
        while not stopped.wait(2.0):
            invoke(deployment, "sweeper", {})

    thread = threading.Thread(target=sweep)
    thread.start()
    yield
    stopped.set()
    thread.join()


@pytest.fixture(scope="session")
def client(deployment: Deployment) -> Iterator[ShopClient]:
    account = demo.prepare(deployment)
    with contextlib.closing(ShopClient(deployment.api_url, account.token)) as client:
        yield client


@pytest.fixture(scope="session")
def loyalty(local_stack: LocalStack, deployment: Deployment) -> Deployment:
    """Another team's stack, deployed beside Handoff as docs/how-to/add-a-consumer.md says."""
    layers = {name: deployment.outputs[name] for name in ("HandoffLayerArn", "DependenciesLayerArn")}
    urls = {"ApiUrl": deployment.api_url, "TokenUrl": f"{deployment.endpoint}/oauth2/token"}
    client_id, pool = deployment.outputs["OrdersReadClientId"], deployment.outputs["UserPoolId"]
    described = deployment.cognito.describe_user_pool_client(UserPoolId=pool, ClientId=client_id)
    secret = {"clientId": client_id, "clientSecret": described["UserPoolClient"]["ClientSecret"]}
    deployment.client("secretsmanager").create_secret(Name="loyalty/handoff", SecretString=json.dumps(secret))
    local_stack.deploy_beside(
        ROOT / "examples/loyalty",
        "loyalty",
        HandoffStack=deployment.stack,
        ClientSecret="loyalty/handoff",  # its name
        RequireTls="false",
        **urls,
        **layers,
    )
    return Deployment("loyalty", local_stack.session(), local_stack.endpoint)


@pytest.fixture
def handoff(local_stack: LocalStack) -> Callable[..., Any]:
    """Run a `handoff` command on the stack, as a script does, and return its JSON."""

    def run(*arguments: str) -> Any:
        done = CliRunner(env={"PORT": str(local_stack.port)}).invoke(main, [*arguments, "--local", "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="session")
def metrics_since(deployment: Deployment, loyalty: Deployment) -> Iterator[int]:
    """Publish the metrics of the stacks from the returned time on. One bridge per session: two would count twice.

    The bridge ignores what a stack logged before it found that stack, so ``loyalty`` is deployed first.
    """
    until_quiet(deployment)
    began = now_ms()
    with publishing_metrics(deployment):
        yield began
