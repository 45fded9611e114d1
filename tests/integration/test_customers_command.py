"""`handoff customers export` and `erase`."""

import json
import sys
from types import SimpleNamespace

import boto3
import click
import pytest
from click.testing import CliRunner

from dev.simulated.world import MUG, body
from ops.cli import main as cli
from ops.cli.options import Target


class Pool:
    """A user pool."""

    class UserNotFound(Exception):
        """There is no such user."""

    exceptions = SimpleNamespace(UserNotFoundException=UserNotFound)

    def __init__(self):
        self.users = {"ada"}

    def admin_delete_user(self, UserPoolId, Username):  # noqa: N803  # as boto3 has it
        assert UserPoolId == "pool"
        if Username not in self.users:
            raise self.UserNotFound
        self.users.remove(Username)


@pytest.fixture
def deployment(world):
    parameters = {"UnfinishedShards": "4", "RejectedDays": "30", "OrderListShards": "8"}
    return SimpleNamespace(
        stack="shop",
        options=" --stack shop",
        outputs={"UserPoolId": "pool"},
        parameters={**parameters, **{name: str(world.stack.parameters[name]) for name in parameters}},
        dynamodb=boto3.client("dynamodb"),
        cognito=Pool(),
        resource=lambda name: world.stack.resource(name).ref,
    )


@pytest.fixture
def run(deployment, monkeypatch):
    monkeypatch.setattr(Target, "deployment", lambda self: deployment)
    return lambda *arguments: CliRunner().invoke(cli.main, ["customers", *arguments])


def test_an_export_is_that_of_the_api_on_one_page(world, api, run):
    world.stock(MUG, 20)
    for n in range(3):
        api.place(body(), key=f"placed-{n}")
    api.place(body(token="tok_decline"), key="declined")

    result = run("export", "ada")

    assert result.exit_code == 0, result.output
    shown, answer = json.loads(result.stdout), api.get("/me/export").json
    assert len(shown["orders"]) == 4
    assert {**shown, "exportedAt": ""} == {**answer, "exportedAt": ""}


def test_an_erasure_is_finished_by_the_sweeper(world, api, run, deployment):
    placed = api.place(body()).json["orderId"]

    result = run("erase", "ada", "--yes")

    assert result.exit_code == 0, result.output
    assert "cancelled first, within minutes: 1." in result.stdout
    assert "handoff customers erase ada --stack shop" in result.stdout
    assert deployment.cognito.users == {"ada"}
    world.clock.forward(61)
    world.sweep()
    assert world.order(placed)["status"] == "CANCELLED"
    world.until_quiet()
    assert world.order(placed)["erasedAt"]
    erased_at = world.item("CustomersTable", userId="ada")["erasedAt"]
    assert run("erase", "ada", "--yes").stdout == f"Erased at {erased_at}.\n"


def test_the_user_of_the_pool_is_deleted_if_asked_for(run, deployment, world):
    result = run("erase", "ada", "--yes", "--delete-user")
    assert result.exit_code == 0, result.output
    assert deployment.cognito.users == set()
    assert "The user is deleted." in result.stdout
    assert "no such user" in run("erase", "ada", "--yes", "--delete-user").stdout


def test_without_a_user_pool_nothing_is_erased(run, deployment, world):
    deployment.outputs = {}
    result = run("erase", "ada", "--yes", "--delete-user")
    assert result.exit_code == 1
    assert "Nothing was erased: the stack has no user pool." in result.stderr
    assert world.item("CustomersTable", userId="ada")["name"] == "Ada"


def test_an_order_under_way_refuses_the_erasure(world, api, run):
    order_id = api.place(body()).json["orderId"]
    world.queues.deliver("FulfillmentFunction")
    result = run("erase", "ada", "--yes")
    assert result.exit_code == 1
    assert f"orders are under way: {order_id}: not shipped. Try again later." in result.stderr
    assert world.item("CustomersTable", userId="ada")["name"] == "Ada"


@pytest.mark.parametrize("command", ["export", "erase"])
def test_an_unknown_user_is_a_mistake(world, run, command):
    result = run(command, "ada@example.com", *(["--yes"] if command == "erase" else []))
    assert result.exit_code == 1
    assert "There is no profile and no order of ada@example.com." in result.stderr
    assert world.item("CustomersTable", userId="ada@example.com") == {}


def test_an_erasure_asks_first(world, run, monkeypatch):
    result = run("erase", "ada")
    assert result.exit_code == 1
    assert "Pass --yes to confirm." in result.stderr
    asked = []

    def refuse(question, abort):
        asked.append(question)
        raise click.Abort

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(click, "confirm", refuse)
    with pytest.raises(click.Abort):
        cli.main(["customers", "erase", "ada"], standalone_mode=False)
    assert asked == ["Erase the personal data of ada in shop, for good?"]
    assert world.item("CustomersTable", userId="ada")["name"] == "Ada"
