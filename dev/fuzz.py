"""`make fuzz`: schemathesis against the local stack, from the API's OpenAPI document."""

import json
import os
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import click

from dev.demo import orders as demo
from dev.local.stack import ROOT, LocalStackError, running
from dev.options import local_port_option
from ops import catalog, tokens
from ops.catalog import Entry
from ops.shop_client import sign_up
from ops.stack import observe
from ops.stack.deployment import Deployment
from shop.model import MAX_LINES

_ST = ROOT / ".tools/schemathesis/bin/st"
_API = ROOT / "functions/orders/openapi.json"
_CONFIG = ROOT / "tests/fuzz/schemathesis.toml"
_PROGRAMS = {
    "REPORTS": tokens.REPORTS,
    "LOOK_UP": tokens.LOOK_UP,
    "ORDERS": tokens.ORDERS,
    "REFUNDS": tokens.REFUNDS,
    "SHIPMENTS": tokens.SHIPMENTS,
}
_LEAST = 5_000  # requests; fewer mean that max-examples is too low to find anything
_PLENTY = 10**9  # units of each product


@click.command(context_settings={"ignore_unknown_options": True})
@local_port_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[SCHEMATHESIS-ARGUMENT]...")
def fuzz(port: int, arguments: tuple[str, ...]) -> None:
    """Send generated requests to the API of a local stack."""
    try:
        with running(port) as stack:
            stack.build()
            deployment = Deployment(stack.deploy(), stack.session(), stack.endpoint)
            status, answered = _send_requests(deployment, arguments)
            demo.wait_until_quiet(deployment, lambda _: None)
            orders = deployment.scan("OrdersTable")
            letters = observe.dead_letters(deployment)
    except LocalStackError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{answered:,} requests; {len(orders):,} orders: {dict(Counter(order['status'] for order in orders))}")
    if status:
        raise click.ClickException("schemathesis found a failure: see above")
    if answered < _LEAST and not arguments:
        config = _CONFIG.relative_to(ROOT)
        raise click.ClickException(f"only {answered:,} requests, fewer than {_LEAST:,}: raise max-examples in {config}")
    if any(letters.values()):
        raise click.ClickException(f"dead letters: {letters}")


def _send_requests(deployment: Deployment, arguments: tuple[str, ...]) -> tuple[int, int]:
    """Run schemathesis as a signed-in customer and as the programs of a shop with plenty of stock.

    Return its exit status and the number of requests that were answered.
    """
    account = demo.prepare(deployment)
    skus = [f"FUZZ-{n}" for n in range(MAX_LINES)]
    entries = [
        Entry.model_validate({"sku": sku, "name": sku, "unitPrice": n, "available": _PLENTY})
        for n, sku in enumerate(skus)
    ]
    catalog.load(deployment.dynamodb, deployment.resource("ProductsTable"), entries)
    command = [str(_ST), "--config-file", str(_CONFIG), "run", str(_API), "--url", deployment.api_url]
    with tempfile.TemporaryDirectory() as folder:
        counted = Path(folder) / "answered"
        environment = {
            **os.environ,
            "FUZZ_SKUS": json.dumps(skus),
            "FUZZ_ANSWERED": str(counted),
            "TOKEN": account.token,
            "LEAVER_TOKEN": sign_up(deployment, "leaver@example.com").token,
            **{f"{name}_TOKEN": tokens.token_for(deployment, access) for name, access in _PROGRAMS.items()},
        }
        ended = subprocess.run([*command, *arguments], cwd=ROOT, env=environment, check=False)
        return ended.returncode, int(counted.read_text()) if counted.exists() else 0
