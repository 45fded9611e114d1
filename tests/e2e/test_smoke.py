"""`handoff smoke` on the deployed stack: it passes, and names each failure."""

import contextlib

import pytest
from click.testing import CliRunner, Result

from dev.local.consumers import paused
from dev.local.stack import LocalStack
from ops import smoke
from ops.cli.smoke import smoke as command
from ops.stack.deployment import Deployment
from tests.e2e.support import environment, eventually, order

pytestmark = pytest.mark.usefixtures("window")


def run(stack: LocalStack, *options: str) -> Result:
    return CliRunner().invoke(command, ["--local", *options], env={"PORT": str(stack.port)})


def lines(result: Result, mark: str) -> list[str]:
    return [line.removeprefix(mark).strip() for line in result.output.splitlines() if line.startswith(mark)]


@pytest.mark.usefixtures("sweeping")
def test_a_healthy_stack_passes(local_stack: LocalStack, deployment: Deployment) -> None:
    # WHEN it is tested
    result = run(local_stack)
    # THEN every check passes, and of its orders one is cancelled in its window, the other one packed
    assert result.exit_code == 0, result.output
    assert len(lines(result, "ok")) == 13
    placed = [line.split()[4] for line in lines(result, "ok") if " order is placed: " in line]
    assert [order(deployment, order_id)["status"] for order_id in placed] == ["CANCELLED", "PREPARED"]


@pytest.mark.usefixtures("hurried")
def test_a_long_window_is_not_waited_for(
    local_stack: LocalStack, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a stack whose parameters give customers ten minutes
    monkeypatch.setattr(Deployment, "parameters", {**deployment.parameters, "PackAfter": "600"})
    # WHEN it is tested
    result = run(local_stack)
    # THEN one order is cancelled, and the packing is named as not checked
    assert len(lines(result, "ok")) >= 9, result.output
    assert lines(result, "failed") == []
    (skipped,) = lines(result, "--")
    assert skipped.startswith("an order is packed and paid: not checked: orders are packed 600 s after")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the sweeper, which runs each minute."""
    monkeypatch.setattr(smoke, "_sweeps", lambda *_: "UnfinishedAge")


@pytest.mark.usefixtures("hurried")
def test_a_consumer_that_handles_no_events_is_named(local_stack: LocalStack, deployment: Deployment) -> None:
    # GIVEN an analytics consumer that receives nothing
    with paused(deployment, "analytics"):
        # WHEN the stack is tested
        result = run(local_stack, "--within", "8")
    # THEN only that check fails, and it names where to look
    assert result.exit_code == 1
    (failure,) = lines(result, "failed")
    assert failure.startswith("the consumers handled its events: analytics logged no outcome for ord_")
    assert "handoff dlq list" in failure


@pytest.mark.usefixtures("hurried")
def test_an_order_that_is_not_packed_is_cancelled(local_stack: LocalStack, deployment: Deployment) -> None:
    # GIVEN a fulfillment consumer that receives nothing
    with paused(deployment, "fulfillment"):
        # WHEN the stack is tested
        result = run(local_stack, "--within", "8")
        # THEN the order is not packed, and it is cancelled
        (failure,) = [line for line in lines(result, "failed") if line.startswith("the order is packed")]
        order_id = failure.split()[6]
        assert f"{order_id} is PLACED, its payment authorised" in failure
        assert order(deployment, order_id)["status"] == "CANCELLED"


@pytest.mark.usefixtures("hurried")
def test_an_api_that_does_not_start_fails(local_stack: LocalStack, deployment: Deployment) -> None:
    # GIVEN an API function that cannot be imported
    with environment(deployment, "orders", PAYMENT_PROVIDER="nobody"):
        # WHEN the stack is tested
        result = run(local_stack, "--within", "3")
    # THEN health, the catalog and the order fail; the gateway still rejects requests without a token
    assert result.exit_code == 1
    failed = [line.partition(":")[0] for line in lines(result, "failed")]
    assert failed[:3] == ["the API answers", "the catalog is public", "a customer signs in"]
    assert any(line.startswith("protected routes need a token") for line in lines(result, "ok"))


def test_a_new_dead_letter_fails(deployment: Deployment) -> None:
    queue = deployment.queue_url("analytics", dead_letters=True)
    with contextlib.closing(smoke.run(deployment, within=30)) as checks:
        next(checks)
        # WHEN a message becomes a dead letter while the stack is tested
        deployment.sqs.send_message(QueueUrl=queue, MessageBody="no event")
        # THEN that check fails and names the consumer
        check = next(check for check in checks if check.what == "no new dead letters")
        assert (check.passed, check.seen, check.look_at) == (False, "1 of analytics", "handoff dlq list")
    letters = eventually(lambda: deployment.sqs.receive_message(QueueUrl=queue).get("Messages", []), bool)
    deployment.sqs.delete_message(QueueUrl=queue, ReceiptHandle=letters[0]["ReceiptHandle"])


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"PaymentProvider": "stripe"}, "it would charge a customer"),
        ({"PasswordSignIn": "false"}, "Pass a customer's token"),
    ],
)
def test_without_an_order_the_other_checks_still_run(
    deployment: Deployment, changed: dict[str, str], reason: str
) -> None:
    # GIVEN a deployment whose parameters do not allow an order by a user of its pool
    closed = Deployment(deployment.stack, deployment.session, deployment.endpoint)
    closed.__dict__["parameters"] = {**deployment.parameters, **changed}  # as if it had been read
    before = len(deployment.scan("OrdersTable"))
    # WHEN it is tested
    with contextlib.closing(smoke.run(closed)) as checks:
        seen = [next(checks) for _ in range(5)]
    # THEN the reason is shown, and the other checks run
    assert [check.passed for check in seen] == [True, True, True, None, True]
    assert reason in seen[3].seen
    assert len(deployment.scan("OrdersTable")) == before


@pytest.mark.usefixtures("hurried")
def test_a_shop_with_sandbox_payments_gets_a_warning(
    local_stack: LocalStack, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a stack that keeps its data, as a shop does, with the sandbox payment provider
    shop = {**deployment.parameters, "DataPolicy": "Retain", "PasswordSignIn": "false"}
    monkeypatch.setattr(Deployment, "parameters", shop)
    # WHEN it is tested
    result = run(local_stack)
    # THEN there is a warning, and no failure
    (warning,) = lines(result, "warning")
    assert warning.startswith("customers pay: no: ")
    assert "PaymentProvider" in warning
    assert (result.exit_code, lines(result, "failed")) == (0, [])


def test_an_unknown_stack_is_reported(local_stack: LocalStack) -> None:
    # WHEN an unknown stack is tested
    result = run(local_stack, "--stack", "nothing")
    # THEN there is an error
    assert result.exit_code == 1
    assert "The stack 'nothing' was not found" in result.output
