"""`handoff smoke` on the deployed stack: all well, and a clear line for each thing that is not."""

import contextlib

import pytest
from click.testing import CliRunner, Result

from dev.local.stack import LocalStack
from ops import smoke
from ops.cli.smoke import smoke as command
from ops.stack.deployment import Deployment
from tests.e2e.support import environment, eventually, order, paused


def run(stack: LocalStack, *options: str) -> Result:
    return CliRunner().invoke(command, ["--local", *options], env={"PORT": str(stack.port)})


def lines(result: Result, mark: str) -> list[str]:
    return [line.removeprefix(mark).strip() for line in result.output.splitlines() if line.startswith(mark)]


def test_a_healthy_stack_passes(local_stack: LocalStack, deployment: Deployment) -> None:
    # WHEN it is tested
    result = run(local_stack)
    # THEN every check is passed, the order's own among them, and it has ended well
    assert result.exit_code == 0, result.output
    assert len(lines(result, "ok")) == 10
    placed = next(line for line in lines(result, "ok") if line.startswith("an order is placed"))
    assert order(deployment, placed.split()[4])["status"] == "PREPARED"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweeper comes each minute: too long for what is tried here."""
    monkeypatch.setattr(smoke, "_SWEEPS_WITHIN", 0.0)


@pytest.mark.usefixtures("hurried")
def test_a_consumer_that_does_not_consume_is_named(local_stack: LocalStack, deployment: Deployment) -> None:
    # GIVEN that analytics takes nothing from its queue
    with paused(deployment, "analytics"):
        # WHEN the stack is tested
        result = run(local_stack, "--within", "8")
    # THEN that is the one thing that fails, and it says where to look
    assert result.exit_code == 1
    (failure,) = [line for line in lines(result, "failed") if not line.startswith("the sweeper")]
    assert failure.startswith("every consumer has its event: not analytics, which said nothing of ord_")
    assert "handoff dlq list" in failure


@pytest.mark.usefixtures("hurried")
def test_an_order_that_is_not_prepared_is_cancelled(local_stack: LocalStack, deployment: Deployment) -> None:
    # GIVEN that fulfillment takes nothing from its queue
    with paused(deployment, "fulfillment"):
        # WHEN the stack is tested
        result = run(local_stack, "--within", "3")
        # THEN the order fails to be prepared, and nothing of it stays under way
        (failure,) = [line for line in lines(result, "failed") if line.startswith("it is prepared")]
        order_id = failure.split()[5]
        assert f"{order_id} is PLACED, its payment authorised" in failure
        assert order(deployment, order_id)["status"] == "CANCELLED"


@pytest.mark.usefixtures("hurried")
def test_an_api_that_does_not_start_fails(local_stack: LocalStack, deployment: Deployment) -> None:
    # GIVEN an API function that can't be imported
    with environment(deployment, "orders", PAYMENT_PROVIDER="nobody"):
        # WHEN the stack is tested
        result = run(local_stack, "--within", "3")
    # THEN health, the catalog and the order fail; the gateway still keeps strangers out
    assert result.exit_code == 1
    failed = [line.partition(":")[0] for line in lines(result, "failed")]
    assert failed[:3] == ["the API answers", "the catalog is open", "a customer signs in"]
    assert any(line.startswith("nobody gets in") for line in lines(result, "ok"))


def test_a_new_dead_letter_fails(deployment: Deployment) -> None:
    queue = deployment.queue_url("analytics", dead_letters=True)
    with contextlib.closing(smoke.run(deployment, within=30)) as checks:
        next(checks)
        # WHEN a message dies while the stack is tested
        deployment.sqs.send_message(QueueUrl=queue, MessageBody="no event")
        # THEN that fails, and says whose it is
        check = next(check for check in checks if check.what == "no new dead letters")
        assert (check.passed, check.seen, check.look_at) == (False, "1 of analytics", "handoff dlq list")
    letters = eventually(lambda: deployment.sqs.receive_message(QueueUrl=queue).get("Messages", []), bool)
    deployment.sqs.delete_message(QueueUrl=queue, ReceiptHandle=letters[0]["ReceiptHandle"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"PaymentProvider": "stripe"}, "it would charge somebody"),
        ({"PasswordSignIn": "false"}, "Give a customer's token"),
    ],
)
def test_where_no_order_may_be_placed_the_rest_is_looked_at(
    deployment: Deployment, changed: dict[str, str], said: str
) -> None:
    # GIVEN a deployment whose parameters forbid an order by a user of its own
    closed = Deployment(deployment.stack, deployment.session, deployment.endpoint)
    closed.__dict__["parameters"] = {**deployment.parameters, **changed}  # as if it had been read
    before = len(deployment.scan("OrdersTable"))
    # WHEN it is tested
    with contextlib.closing(smoke.run(closed)) as checks:
        seen = [next(checks) for _ in range(5)]
    # THEN it says why there is no order, and goes on
    assert [check.passed for check in seen] == [True, True, True, None, True]
    assert said in seen[3].seen
    assert len(deployment.scan("OrdersTable")) == before


def test_a_shop_where_nobody_pays_is_warned_and_passes(
    local_stack: LocalStack, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a stack that keeps its data, as a shop does, and has the sandbox's payments
    shop = {**deployment.parameters, "DataPolicy": "Retain", "PasswordSignIn": "false"}
    monkeypatch.setattr(Deployment, "parameters", shop)
    monkeypatch.setattr(smoke, "_sweeps", lambda *_: "UnfinishedAge")  # the next one may be a minute away
    # WHEN it is tested
    result = run(local_stack)
    # THEN a line says so, and it is no failure
    (warning,) = lines(result, "warning")
    assert warning.startswith("customers pay: no, ")
    assert "PaymentProvider" in warning
    assert (result.exit_code, lines(result, "failed")) == (0, [])


def test_a_stack_that_is_not_there_is_said(local_stack: LocalStack) -> None:
    # WHEN another stack is to be tested
    result = run(local_stack, "--stack", "nothing")
    # THEN there is one line about it
    assert result.exit_code == 1
    assert "The stack 'nothing' is not to be found" in result.output
