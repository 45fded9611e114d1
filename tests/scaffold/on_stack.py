"""Deploy the new consumers to a local stack, place orders, and look for them: `python -m tests.scaffold.on_stack`.

For a copy of the repository in which the commands of docs/how-to/add-a-consumer.md were run.
"""

import contextlib
import json
import socket
from typing import Any

from click.testing import CliRunner
from rich.console import Console

from dev.demo import orders as demo
from dev.local.stack import ROOT, LocalStack, running
from dev.template import template_with
from ops.cli.main import main as handoff
from ops.shop_client import ShopClient
from ops.stack.deployment import Deployment
from tests.e2e.support import eventually

say = Console().out
NEW = {"loyalty", "bonus/bonus"}


def main() -> None:
    """Raise AssertionError if a consumer does not get its events, or if a command does not know it."""
    assert "loyalty" in [found.name for found in template_with().event_consumers()], "run this in the copy"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running(port, enforce_iam=True) as stack:
        stack.build()
        deployment = Deployment(stack.deploy(), stack.session(), stack.endpoint)
        beside = _deploy_beside(stack, deployment)
        account = demo.prepare(deployment)
        with contextlib.closing(ShopClient(deployment.api_url, account.token)) as client:
            placed = demo.place_samples(deployment, client, say)
        demo.wait_until_quiet(deployment, lambda _: None)
        assert demo.find_problems(deployment, placed, demo.take_snapshot(deployment)) == []
        counted = {f"order#{order_id}" for order_id in placed.all}
        for where, table in ((deployment, "LoyaltyTable"), (beside, "BonusTable")):
            eventually(lambda: {item["id"] for item in where.scan(table)}, lambda ids: ids >= counted)  # noqa: B023
        rows = {row["consumer"]: row for row in _json(port, "lag")["consumers"]}
        assert rows.keys() >= NEW, rows.keys()
        assert [row for name in NEW if (row := rows[name])["waiting"] or row["deadLetters"]] == []
        for name in NEW:
            assert _json(port, "dlq", "list", name) is not None
    say(f"handoff lag and dlq list {', '.join(sorted(NEW))}; each has counted {len(counted)} orders.")


def _deploy_beside(stack: LocalStack, deployment: Deployment) -> Deployment:
    layers = {name: deployment.outputs[name] for name in ("HandoffLayerArn", "DependenciesLayerArn")}
    stack.deploy_beside(ROOT / "examples/bonus", "bonus", HandoffStack=deployment.stack, RequireTls="false", **layers)
    return Deployment("bonus", stack.session(), stack.endpoint)


def _json(port: int, *arguments: str) -> Any:
    """Return the output of a `handoff` command."""
    done = CliRunner(env={"PORT": str(port)}).invoke(handoff, [*arguments, "--local", "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
