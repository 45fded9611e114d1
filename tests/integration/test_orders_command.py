"""`handoff orders cancel` and `refund`: what they show, ask and send, with failures on the way to the API."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import boto3
import click
import pytest
from click.testing import CliRunner

from dev.simulated.world import MUG, body
from ops import order_changes, tokens
from ops.cli import main as cli
from ops.cli.options import Target

REASON = "Torn bag"
CANCEL, REFUND = "orders:write", "refunds:write"
UNKNOWN = "ord_aaaaaaaaaaaaaaaaaaaaaaaaaa"


class Gateway(ThreadingHTTPServer):
    """The API over HTTP; a bearer token is the scopes of a program. ``faults`` strike the next requests, one each."""

    daemon_threads = True

    def __init__(self, world):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.world, self.faults, self.requests = world, [], []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):  # http.server calls it
        text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        scopes = self.headers["Authorization"].removeprefix("Bearer ").split()
        self.server.requests.append((self.path, json.loads(text), self.headers.get("Idempotency-Key")))
        fault = self.server.faults.pop(0) if self.server.faults else ""
        if fault == "lost request":
            return
        if isinstance(fault, int):
            self._send(fault, {"message": "from the gateway"})
            return
        key = {"Idempotency-Key": self.headers["Idempotency-Key"]} if "Idempotency-Key" in self.headers else {}
        answer = self.server.world.program(*scopes).call("POST", self.path, text, **key)
        if fault != "lost answer":
            self._send(answer.status, answer.json)

    def _send(self, status, document):
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def gateway(world):
    server = Gateway(world)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(world, gateway, monkeypatch):
    """Run `handoff orders` against the stack in moto, with a token in the environment."""
    deployment = SimpleNamespace(
        stack="handoff",
        options=" --stack shop",
        endpoint=None,
        api_url=f"http://127.0.0.1:{gateway.server_port}",
        outputs={"UserPoolId": "pool"},
        dynamodb=boto3.client("dynamodb"),
        resource=lambda name: world.stack.resource(name).ref,
    )
    monkeypatch.setattr(Target, "deployment", lambda self: deployment)
    monkeypatch.setenv(order_changes.TOKEN_VARIABLE, f"{CANCEL} {REFUND}")
    return lambda *arguments, **given: CliRunner().invoke(cli.main, ["orders", *arguments], **given)


@pytest.fixture
def cancel(run):
    return lambda order_id, *options: run("cancel", order_id, "--reason", REASON, "--yes", *options)


@pytest.fixture
def refund(run):
    return lambda order_id, *options: run("refund", order_id, "--reason", REASON, "--yes", *options)


@pytest.fixture
def order_id(api):
    """A placed order of three mugs."""
    return api.place(body((MUG, 3))).json["orderId"]


@pytest.fixture
def paid(world, order_id):
    """The order, packed and released."""
    world.queues.until_quiet()
    return order_id


@pytest.fixture
def terminal(monkeypatch):
    """A terminal to ask on; returns how to answer."""

    def answer(text):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
        monkeypatch.setattr(click, "confirm", lambda question, abort: asked.append(question) or _decide(text))

    def _decide(text):
        if text != "y":
            raise click.Abort

    asked = []
    answer.asked = asked
    return answer


def facts(result):
    """Return the facts that a command shows before it asks."""
    return {line[:10].strip(): line[10:] for line in result.stdout.splitlines() if line[:10].strip().isalpha()}


def refunds(world, order_id):
    return list(world.order(order_id).get("refunds", {}).values())


# --- cancelling -------------------------------------------------------------------------------------------------------


def test_an_order_is_cancelled_with_its_reason(world, cancel, order_id):
    done = cancel(order_id)

    assert done.exit_code == 0, done.output
    shown = facts(done)
    assert shown["order"] == f"{order_id}, PLACED, total 37.50 EUR, payment authorised"
    assert (
        shown["effect"]
        == "its units return to the stock, the hold of 37.50 EUR is voided, and the customer gets a mail"
    )
    assert shown["reason"] == REASON
    assert done.stdout.splitlines()[-1] == "The order is CANCELLED."
    assert world.order(order_id)["cancellation"] == {"by": "shop", "reason": REASON}


@pytest.mark.parametrize("fault", ["lost request", "lost answer", 500, 503, 429])
def test_a_request_without_a_definite_answer_is_repeated(world, gateway, cancel, order_id, fault):
    gateway.faults = [fault]

    done = cancel(order_id)

    assert done.exit_code == 0, done.output
    assert world.order(order_id)["status"] == "CANCELLED"
    assert len(gateway.requests) == 2


def test_a_packed_order_is_refused_with_the_problem_of_the_api(world, cancel, paid):
    done = cancel(paid)

    assert done.exit_code == 1
    assert "none: only an order that is not packed yet can be cancelled, this one is PREPARED" in done.stdout
    assert done.stderr.startswith("Error: Order cannot be cancelled (409). ")
    assert "PREPARED" in done.stderr


def test_a_program_without_the_scope_is_refused(cancel, order_id, monkeypatch):
    monkeypatch.setenv(order_changes.TOKEN_VARIABLE, "reports:read")

    done = cancel(order_id)

    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert any(f"({status})" in done.stderr for status in (403, 404))


# --- refunding --------------------------------------------------------------------------------------------------------


def test_units_are_refunded_and_return_to_the_stock(world, refund, paid):
    before = world.available()

    done = refund(paid, "--line", f"{MUG}=1", "--line", f"{MUG}=1", "--restock")

    assert done.exit_code == 0, done.output
    shown = facts(done)
    assert shown["captured"] == "37.50 EUR, of which 37.50 EUR can be refunded"
    assert shown["refund"] == f"25.00 EUR, for 2 x {MUG}"
    assert shown["stock"] == "the units return to the stock when the money is refunded"
    (made,) = refunds(world, paid)
    assert (made["amount"], made["reason"]) == (2500, REASON)
    last = f"Refund {made['refundId']} was requested. See its result: handoff order {paid} --stack shop"
    assert done.stdout.splitlines()[-1] == last
    world.queues.until_quiet()
    assert world.available() == before + 2


@pytest.mark.parametrize(
    ("options", "shown", "amount"),
    [((), "37.50 EUR, everything that is left", 3750), (("--amount", "999"), "9.99 EUR, for no unit", 999)],
)
def test_everything_or_an_amount_is_refunded(world, refund, paid, options, shown, amount):
    done = refund(paid, *options)

    assert done.exit_code == 0, done.output
    assert (facts(done)["refund"], facts(done)["stock"]) == (shown, "unchanged")
    assert [made["amount"] for made in refunds(world, paid)] == [amount]


def test_a_lost_answer_refunds_nothing_twice(world, gateway, refund, paid):
    # GIVEN that every answer is lost
    gateway.faults = ["lost answer"] * 4

    done = refund(paid, "--amount", "500")

    # THEN the command says how to repeat it, with the key of its requests
    assert done.exit_code == 1
    (key,) = {key for _, _, key in gateway.requests}
    assert done.stderr.startswith("Error: The API gave no definite answer. ")
    assert f"Run the command again with --key {key}: nothing is refunded twice." in done.stderr
    # AND with or without the key, it refunds once
    assert refund(paid, "--amount", "500", "--key", key).exit_code == 0
    again = refund(paid, "--amount", "500")
    assert again.exit_code == 0
    assert "This refund was requested at 2026-11-23T10:0" in again.stdout
    assert len(refunds(world, paid)) == 1


def test_an_equal_refund_needs_a_key_of_its_own(world, refund, paid):
    assert refund(paid, "--amount", "500").exit_code == 0
    assert refund(paid, "--amount", "500", "--key", "second").exit_code == 0
    assert refund(paid, "--amount", "501").exit_code == 0

    assert sorted(made["amount"] for made in refunds(world, paid)) == [500, 500, 501]


def test_a_failed_refund_can_be_requested_again_by_the_same_command(world, api, refund):
    order_id = api.place(body(token="tok_refund_fails"), key="fails").json["orderId"]
    world.queues.until_quiet()
    assert refund(order_id).exit_code == 0
    world.queues.until_quiet()
    assert [made["state"] for made in refunds(world, order_id)] == ["failed"]

    assert refund(order_id).exit_code == 0

    assert sorted(made["state"] for made in refunds(world, order_id)) == ["due", "failed"]


def test_a_refund_above_what_is_left_shows_the_problem(world, refund, paid):
    done = refund(paid, "--amount", "3751")

    assert done.exit_code == 1
    assert "(409)" in done.stderr
    assert "3750" in done.stderr
    assert refunds(world, paid) == []


@pytest.mark.parametrize("line", ["mug", "mug=", "=1", "mug=-1", "mug=1.5", "mug=12345", "mug=\u0661"])
def test_units_of_the_wrong_form_are_a_usage_error(gateway, refund, paid, line):
    done = refund(paid, "--line", line)

    assert done.exit_code == 2
    assert "is not a product and a quantity" in done.stderr
    assert gateway.requests == []


def test_units_and_an_amount_are_a_usage_error(refund, paid):
    assert refund(paid, "--line", f"{MUG}=1", "--amount", "1").exit_code == 2


# --- asking -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["cancel", "refund"])
def test_without_a_terminal_nothing_is_done_unless_confirmed(gateway, run, paid, command):
    done = run(command, paid, "--reason", REASON, input="y\n")

    assert done.exit_code == 1
    assert done.stderr == "Error: Nothing was done: there is no terminal to ask on. Pass --yes to confirm.\n"
    assert facts(done)["reason"] == REASON
    assert gateway.requests == []


# --- orders and tokens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["cancel", "refund"])
def test_an_unknown_order_is_reported(gateway, run, command):
    done = run(command, UNKNOWN, "--reason", REASON, "--yes")

    assert (done.exit_code, done.stderr) == (1, f"Error: The stack handoff has no order {UNKNOWN}.\n")
    assert gateway.requests == []


def test_a_token_is_read_from_a_file(cancel, order_id, monkeypatch, tmp_path):
    monkeypatch.delenv(order_changes.TOKEN_VARIABLE)
    file = tmp_path / "token"
    file.write_text(f"{CANCEL}\n")

    assert cancel(order_id, "--token-file", str(file)).exit_code == 0


def test_without_a_token_the_user_pool_is_asked(cancel, refund, order_id, monkeypatch):
    monkeypatch.delenv(order_changes.TOKEN_VARIABLE)
    monkeypatch.setattr(tokens, "token_for", lambda _, access: access.scope)

    assert cancel(order_id).exit_code == 0
    monkeypatch.undo()


def test_a_stack_without_the_client_names_the_parameter(cancel, order_id, monkeypatch):
    monkeypatch.delenv(order_changes.TOKEN_VARIABLE)

    assert "Deploy with OrdersAccess=true to add one." in cancel(order_id).stderr


def test_no_personal_data_is_read(world, refund, cancel, paid):
    with world.wire.watched() as calls:
        refund(paid)

    read = [call.request for call in calls if call.name == "dynamodb.GetItem"]
    names = {name for request in read for name in request.get("ExpressionAttributeNames", {}).values()}
    assert {"lines", "refunds"} <= names
    assert not {"shippingAddress", "paymentToken"} & names
