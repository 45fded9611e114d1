"""Peak memory of each function's process under its largest work: ``python -m bench.memory`` prints it.

The functions run on the local stack, in processes of their own. Orders of fifty products arrive while the consumers are
paused, so that their batches are full. Peaks are ``VmHWM`` of Linux.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import httpx
import psutil

from bench.load.rig import free_port, workers
from bench.scenarios import ADDRESS
from dev.local.consumers import paused
from dev.local.stack import running
from dev.template import template_with
from handoff.attribute_values import to_item
from ops import catalog
from ops.catalog import Entry
from ops.shop_client import sign_up
from ops.stack import observe
from ops.stack.deployment import Deployment

_LINES = 50
_ORDERS = 100
_PATIENCE = 120  # seconds


@click.command()
@click.option("--orders", default=_ORDERS, show_default=True)
def main(orders: int) -> None:
    """Print each function's memory in template.yaml and the peak of its process, in MiB."""
    with running(free_port(), enforce_iam=False, variables={"LAMBDA_WARM_TTL_SECONDS": "3600"}) as stack:
        stack.build()
        deployment = Deployment(stack.deploy(PackAfter="0", OrdersPerHour="0"), stack.session(), stack.endpoint)
        _place(deployment, orders)
        if not _is_quiet(deployment):
            click.echo(f"still waiting: {observe.waiting(deployment)}", err=True)
        for name, function in sorted(template_with().of_type("AWS::Lambda::Function").items()):
            peaks = [_peak(process) for process in workers(deployment.resource(name))]
            click.echo(f"{name:22} {function['MemorySize']:>5} MB   {max(peaks, default=0):6.0f} MiB   {len(peaks)}")


def _place(deployment: Deployment, orders: int) -> None:
    token = _customer(deployment)
    entries = [
        Entry.model_validate(
            {"sku": f"SKU-{n:04}", "name": f"Stoneware coffee mug, blue {n:03}", "unitPrice": 1250, "available": 10**6}
        )
        for n in range(_LINES)
    ]
    catalog.load(deployment.dynamodb, deployment.resource("ProductsTable"), entries)
    basket = {
        "lines": [{"sku": entry.sku, "quantity": 1} for entry in entries],
        "shippingAddress": ADDRESS,
        "paymentToken": "tok_approve",
    }

    def place(n: int) -> None:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"memory-{n:08}"}
        url = f"{deployment.api_url}/orders"
        httpx.post(url, json=basket, headers=headers, timeout=60, trust_env=False).raise_for_status()

    with paused(deployment, *deployment.queued), ThreadPoolExecutor(4) as users:
        list(users.map(place, range(orders)))


def _customer(deployment: Deployment) -> str:
    account = sign_up(deployment, "memory@example.com")
    item = to_item({"userId": account.user_id, "name": ADDRESS["name"], "email": "memory@example.com"})
    deployment.dynamodb.put_item(TableName=deployment.resource("CustomersTable"), Item=item)
    return account.token


def _is_quiet(deployment: Deployment) -> bool:
    """Return whether all messages are handled in time."""
    end = time.monotonic() + _PATIENCE
    while any(observe.waiting(deployment).values()):
        if time.monotonic() > end:
            return False
        time.sleep(2)
    return True


def _peak(process: psutil.Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main()
