"""`make fuzz`: schemathesis against the local stack, by the API's own description."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from dev.contracts import openapi
from dev.demo import orders as demo
from dev.local.stack import DEFAULT_PORT, ROOT, LocalStackError, running
from ops import catalog, tokens
from ops.catalog import Entry
from ops.stack import observe
from ops.stack.deployment import Deployment
from shop.model import MAX_LINES

_ST = ROOT / ".tools/schemathesis/bin/st"
_CONFIG = ROOT / "tests/fuzz/schemathesis.toml"
_LEAST = 5_000  # requests; so few examples that there are fewer are no fuzzing
_PLENTY = 10**9  # units of each product


def main(port: int, arguments: list[str]) -> str | None:
    """Deploy and fuzz; returns what was wrong, if anything was."""
    with running(port) as stack:
        stack.build()
        deployment = Deployment(stack.deploy(), stack.session(), stack.endpoint)
        found, answered = fuzz(deployment, arguments)
        demo.wait_until_quiet(deployment, lambda _: None)
        orders = deployment.scan("OrdersTable")
        letters = observe.dead_letters(deployment)
    print(f"{answered:,} requests; {len(orders):,} orders: {dict(Counter(order['status'] for order in orders))}")  # noqa: T201
    if found:
        return "schemathesis has found something: see above"
    if answered < _LEAST and not arguments:
        return f"only {answered:,} requests, not {_LEAST:,}: raise max-examples in {_CONFIG.relative_to(ROOT)}"
    return f"dead letters: {letters}" if any(letters.values()) else None


def fuzz(deployment: Deployment, arguments: list[str]) -> tuple[int, int]:
    """Run schemathesis as a signed-in customer of a shop that has plenty of everything.

    Returns its exit status, and how many requests were answered.
    """
    account = demo.prepare(deployment)
    skus = [f"FUZZ-{n}" for n in range(MAX_LINES)]
    entries = [
        Entry.model_validate({"sku": sku, "name": sku, "unitPrice": n, "available": _PLENTY})
        for n, sku in enumerate(skus)
    ]
    catalog.load(deployment.dynamodb, deployment.resource("ProductsTable"), entries)
    command = [str(_ST), "--config-file", str(_CONFIG), "run", str(openapi.FILE), "--url", deployment.api_url]
    with tempfile.TemporaryDirectory() as folder:
        counted = Path(folder) / "answered"
        environment = {
            **os.environ,
            "FUZZ_SKUS": json.dumps(skus),
            "FUZZ_ANSWERED": str(counted),
            "TOKEN": account.token,
            "REPORTS_TOKEN": tokens.for_reports(deployment),
        }
        ended = subprocess.run([*command, *arguments], cwd=ROOT, env=environment, check=False)
        return ended.returncode, int(counted.read_text()) if counted.exists() else 0


if __name__ == "__main__":
    try:
        sys.exit(main(int(os.environ.get("PORT", DEFAULT_PORT)), sys.argv[1:]))
    except LocalStackError as error:
        sys.exit(str(error))
