"""Test rig: both wirings on one local stack, behind one fault proxy, with one budget of concurrent executions."""

import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.load.network_conditions import NetworkConditions
from dev.faults.proxy import CONTROL, routes
from dev.local.stack import ROOT, LocalStack, running
from handoff.attribute_values import to_item
from ops import catalog
from ops.catalog import Entry
from ops.shop_client import sign_up
from ops.stack import observe
from ops.stack.deployment import Deployment

# Concurrent executions of all functions: as many as two cores can run, and more than the 55 that Handoff's consumers
# and sweeper can use (the sum of their MaximumConcurrency in template.yaml).
BUDGET = 70
ACCOUNTS = 50
_PRODUCTS = 200  # enough that users rarely order the same one concurrently
_STOCK = 1_000_000
_BASELINE = Path(__file__).resolve().parent.parent / "baseline"
_CHAIN_API_ID = "0c4a1900"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class LoadRig:
    """The deployments, the users' tokens and the products."""

    handoff: Deployment
    chain: Deployment
    tokens: list[str]
    skus: list[str]
    proxy_url: str

    def set_conditions(self, conditions: NetworkConditions) -> None:
        """Replace the rules of the fault proxy."""
        httpx.delete(self.proxy_url + CONTROL, trust_env=False).raise_for_status()
        for rule in conditions.rules:
            document = rule.model_dump_json(exclude_defaults=True)
            httpx.post(self.proxy_url + CONTROL, content=document, trust_env=False).raise_for_status()

    def url(self, wiring: str) -> str:
        """Return the URL for orders of a wiring."""
        return {
            "Handoff": f"{self.handoff.api_url}/orders",
            "chain": f"{self.chain.api_url}/orders",
            "noop": f"{self.chain.api_url}/noop",
        }[wiring]

    def waiting(self) -> dict[str, int]:
        """Return the number of waiting messages by consumer."""
        return observe.waiting(self.handoff)

    def purge_queues(self) -> None:
        """Purge the queues, so that the backlog does not disturb the next measurement."""
        for name in self.handoff.queued:
            self.handoff.sqs.purge_queue(QueueUrl=self.handoff.queue_url(name))

    def processor_seconds(self, wiring: str) -> float:
        """Return the processor time that a wiring's processes have used so far."""
        deployment, logical_id = {
            "Handoff": (self.handoff, "OrdersFunction"),
            "chain": (self.chain, "ChainFunction"),
            "noop": (self.chain, "NoopFunction"),
        }[wiring]
        return sum(_processor_seconds(process) for process in workers(deployment.resource(logical_id)))


@contextlib.contextmanager
def load_rig(progress: Progress) -> Iterator[LoadRig]:
    """Start both wirings; stop them when the context ends."""
    port = free_port()
    with _proxy(f"http://127.0.0.1:{port}") as proxy_url:
        # Warm processes are kept, so that no cold starts are measured.
        variables = {"LAMBDA_ACCOUNT_CONCURRENCY": str(BUDGET), "LAMBDA_WARM_TTL_SECONDS": "3600"}
        with running(port, variables=routes(proxy_url) | variables) as stack:
            progress("sam build and deploy: Handoff")
            stack.build()
            handoff = Deployment(stack.deploy(), stack.session(), stack.endpoint)
            progress("sam build and deploy: the chain")
            chain = _deploy_chain(stack, handoff)
            progress("customers and products")
            tokens = [_customer(n, handoff, chain) for n in range(ACCOUNTS)]
            yield LoadRig(handoff, chain, tokens, _load_products(handoff, chain), proxy_url)


@contextlib.contextmanager
def _proxy(upstream: str) -> Iterator[str]:
    """Run a fault proxy in a separate process; yield its URL."""
    command = [sys.executable, "-m", "dev", "fault-proxy", "--upstream", upstream, "--seed", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.terminate()


def gather_chain(folder: Path) -> None:
    """Copy the chain's template and code into a folder, with the modules of Handoff's functions that it uses."""
    shutil.copytree(ROOT / "functions/orders", folder / "request_chain")
    shutil.copytree(ROOT / "functions/emails/locales", folder / "request_chain/locales")
    (folder / "noop").mkdir()
    for source, to in (
        (ROOT / "functions/emails/mails.py", "request_chain"),
        (ROOT / "functions/emails/languages.py", "request_chain"),
        (_BASELINE / "request_chain.py", "request_chain"),
        (_BASELINE / "noop.py", "noop"),
        (_BASELINE / "template.yaml", ""),
    ):
        shutil.copy(source, folder / to)


def _deploy_chain(stack: LocalStack, handoff: Deployment) -> Deployment:
    folder = ROOT / ".local/bench/chain"
    shutil.rmtree(folder, ignore_errors=True)
    gather_chain(folder)
    lambda_ = stack.session().client("lambda", endpoint_url=stack.endpoint)
    functions = [
        lambda_.get_function_configuration(FunctionName=handoff.resource(name))
        for name in ("OrdersFunction", "EmailsFunction")
    ]
    layers = {layer["Arn"] for function in functions for layer in function["Layers"]}
    stack.deploy_beside(
        folder,
        "chain",
        ApiId=_CHAIN_API_ID,
        UserPool=handoff.outputs["UserPoolId"],
        UserPoolClient=handoff.outputs["UserPoolClientId"],
        Layers=",".join(sorted(layers)),
    )
    return Deployment("chain", stack.session(), stack.endpoint)


def _customer(n: int, handoff: Deployment, chain: Deployment) -> str:
    """Sign up a customer in both deployments; return the token."""
    email = f"customer-{n}@example.com"
    account = sign_up(handoff, email)
    item = to_item({"userId": account.user_id, "name": f"Customer {n}", "email": email})
    for deployment in (handoff, chain):
        deployment.dynamodb.put_item(TableName=deployment.resource("CustomersTable"), Item=item)
    return account.token


def _load_products(*deployments: Deployment) -> list[str]:
    entries = [
        Entry.model_validate({"sku": f"BENCH-{n}", "name": f"Product {n}", "unitPrice": 1_000, "available": _STOCK})
        for n in range(_PRODUCTS)
    ]
    for deployment in deployments:
        catalog.load(deployment.dynamodb, deployment.resource("ProductsTable"), entries)
    return [entry.sku for entry in entries]


def free_port() -> int:
    """Return a port that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def workers(function: str) -> list[psutil.Process]:
    """Return the processes that run a function."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("AWS_LAMBDA_FUNCTION_NAME") == function:
                found.append(process)
    return found


def _processor_seconds(process: psutil.Process) -> float:
    times: Any = process.cpu_times()
    return float(times.user + times.system)
