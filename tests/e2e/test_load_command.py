"""`handoff load` on the deployed stack: its table, its checks, and what it leaves behind."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dev.local.stack import LocalStack
from handoff.attribute_values import to_item
from ops.cli.main import main
from ops.load.stage import PREFIX, Stage
from ops.stack import observe
from ops.stack.deployment import Deployment
from tests.e2e.support import eventually, until_quiet

# A busy bus leaves events to the sweeper, which runs each minute.
WITHIN = 600.0
pytestmark = [pytest.mark.timeout(2 * WITHIN), pytest.mark.usefixtures("window", "sweeping")]
SHORT = ("--minutes", "0.05", "--think", "0.3", "--warm-up", "0", "--yes")


def orders_of(deployment: Deployment) -> list[dict[str, Any]]:
    """The orders of load tests."""
    return [order for order in deployment.scan("OrdersTable") if order["lines"][0]["sku"].startswith(PREFIX)]


def under_way(deployment: Deployment) -> int:
    """How many of them have not ended."""
    orders = orders_of(deployment)
    return observe.unfinished(orders) + sum(order["status"] in {"PENDING", "PLACED"} for order in orders)


def users_of(deployment: Deployment) -> list[str]:
    """The addresses of load tests' users."""
    users = deployment.cognito.list_users(UserPoolId=deployment.outputs["UserPoolId"])["Users"]
    found = [attribute["Value"] for user in users for attribute in user["Attributes"] if attribute["Name"] == "email"]
    return [email for email in found if "handoff-load" in email]


def test_an_inconsistent_stack_is_reported(
    local_stack: LocalStack, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a unit that is lost while the orders are cancelled
    cancel, sku = Stage.cancel, f"{PREFIX}007"

    def change_stock(by: int) -> None:
        deployment.dynamodb.update_item(
            TableName=deployment.resource("ProductsTable"),
            Key=to_item({"sku": sku}),
            UpdateExpression="ADD available :by",
            ExpressionAttributeValues=to_item({":by": by}),
        )

    def lose_a_unit(stage: Stage, orders: dict[str, int]) -> str:
        change_stock(-1)
        return cancel(stage, orders)

    monkeypatch.setattr(Stage, "cancel", lose_a_unit)
    # WHEN the stack gets load
    done = CliRunner(env={"PORT": str(local_stack.port)}).invoke(
        main, ["load", "--local", "--users", "1", *SHORT, "--within", "3"]
    )
    # THEN the product is named, and the customer stays for the search
    assert done.exit_code == 1, done.output
    assert f"the stock adds up: {sku} has " in done.output
    assert "The stack is not consistent" in done.output
    (customer,) = users_of(deployment)
    assert customer in done.output
    change_stock(1)
    deployment.cognito.admin_delete_user(UserPoolId=deployment.outputs["UserPoolId"], Username=customer)
    eventually(lambda: under_way(deployment), lambda count: not count, WITHIN)
    until_quiet(deployment)


def test_it_measures_each_number_of_users_and_leaves_a_consistent_stack(
    deployment: Deployment, handoff: Callable[..., Any]
) -> None:
    # WHEN one user orders, then three
    report = handoff("load", "--users", "1,3", *SHORT, "--within", str(WITHIN))
    # THEN there are figures for both
    assert [level["users"] for level in report["levels"]] == [1, 3]
    for level in report["levels"]:
        placed = level["answers"].get("201", 0)  # none, if the machine is too busy
        assert level["availability"] == placed / sum(level["answers"].values())
        assert level["ordersPerSecond"] == pytest.approx(placed / 3)
        assert not placed or 0 < level["p50"] <= level["p95"] <= level["p99"]
    # AND everything was checked and removed; the orders have ended
    assert any(level["lagP95"] for level in report["levels"])
    assert (len(report["checks"]), report["consistent"]) == (8, True)
    assert all(check["passed"] for check in report["checks"])
    assert users_of(deployment) == []
    assert {order["status"] for order in orders_of(deployment)} <= {"CANCELLED", "PREPARED"}
    products = [product for product in deployment.scan("ProductsTable") if product["sku"].startswith(PREFIX)]
    assert {product["listed"] for product in products} == {False}


def test_an_interrupted_test_cancels_and_checks_its_orders(local_stack: LocalStack, deployment: Deployment) -> None:
    before = len(orders_of(deployment))
    # GIVEN a long test that is under way
    handoff = shutil.which("handoff", path=Path(sys.executable).parent)
    command = [str(handoff), "load", f"--local={local_stack.port}", "--users", "2"]
    with subprocess.Popen(
        [*command, "--minutes", "30", "--think", "0.3", "--within", str(WITHIN), "--yes"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        eventually(lambda: len(orders_of(deployment)) - before, lambda count: count > 3)
        # WHEN it is interrupted, as by Ctrl-C
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=WITHIN)
    # THEN its orders are checked, its customers removed, and the status says that it was interrupted
    assert "The stack is consistent." in output
    assert process.returncode == 128 + signal.SIGINT
    assert users_of(deployment) == []
    assert {order["status"] for order in orders_of(deployment)} <= {"CANCELLED", "PREPARED"}
