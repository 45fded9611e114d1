"""Orders whose customer has to confirm the payment, on the deployed stack: each way to their end, and the limits."""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dev.demo import orders as demo
from ops.shop_client import Answer, ShopClient, sign_up
from ops.stack import observe
from ops.stack.deployment import Deployment
from shop.events import PAYMENT_EVENT, PaymentData
from tests.e2e.support import change_order, environment, eventually, invoke, order, place_patiently, sample, until_quiet

SKU, PRICE, UNITS = "SCALE-0.1G", 3990, 2  # which no other test orders
MAX_DECLINES = 2


def wanted(token: str) -> dict[str, Any]:
    lines = [{"sku": SKU, "quantity": UNITS}]
    return sample("action_required", lines=lines, paymentToken=token, expectedTotal=UNITS * PRICE)


def place(client: ShopClient, token: str = "tok_action", key: str = "") -> Answer:
    """Place an order that waits for its customer; retry as the answer says if a request runs out of time."""
    body, key = wanted(token), key or str(uuid.uuid4())
    return eventually(lambda: client.place(body, key), lambda answer: "Retry-After" not in answer.headers)


def waiting(client: ShopClient, token: str = "tok_action") -> tuple[str, str]:
    """Place an order; return its id, and the client secret for its customer's page."""
    answer = place(client, token)
    assert answer.status == 202, answer.body
    return answer.body["orderId"], answer.body["clientSecret"]


def available(deployment: Deployment) -> int:
    (product,) = [product for product in deployment.scan("ProductsTable") if product["sku"] == SKU]
    return int(product["available"])


def kind(answer: Answer) -> tuple[int, str]:
    return answer.status, str(answer.body.get("type", "")).rpartition(":")[2]


def hold(deployment: Deployment, order_id: str) -> str:
    """The state of an order's payment in the sandbox's ledger."""
    (found,) = [
        entry
        for entry in deployment.scan("SandboxTable")
        if entry.get("orderId") == order_id and entry["kind"] == "authorise"
    ]
    return str(found["state"])


def sweep(deployment: Deployment, order_id: str, **times: int) -> None:
    """Let the sweeper look at an order now."""
    change_order(deployment, order_id, dueAt=1, **times)
    invoke(deployment, "sweeper", {})


def mails(deployment: Deployment, order_id: str) -> list[str]:
    found = map(demo.mail_summary, observe.mails(deployment.endpoint or ""))
    return [mail.subject for mail in found if mail.about == order_id]


def steps(deployment: Deployment, order_id: str) -> list[tuple[str, str | None]]:
    """The status after each step of an order, and the payment's new state."""
    return [(step["status"], step.get("payment")) for step in order(deployment, order_id)["history"]]


ASKED = [("PENDING", None), ("PENDING", "action_required")]
PAID = [("PLACED", "authorised"), ("PREPARED", None), ("PREPARED", "captured")]


@pytest.fixture
def stock(deployment: Deployment, client: ShopClient) -> int:
    """The stock before the test."""
    return available(deployment)


# --- the ways to the end ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("window")
def test_a_confirmed_order_is_placed_packed_and_paid_once(
    deployment: Deployment, client: ShopClient, stock: int
) -> None:
    # GIVEN an order whose payment needs the customer
    key = str(uuid.uuid4())
    asked = place(client, key=key)
    assert asked.status == 202, asked.body
    order_id, secret = asked.body["orderId"], asked.body["clientSecret"]
    assert asked.body["status"] == "ACTION_REQUIRED"
    assert (asked.body["total"], asked.body["currency"]) == (UNITS * PRICE, "EUR")
    assert asked.headers["Location"] == f"/orders/{order_id}"
    assert asked.headers["Cache-Control"] == "no-store"
    # THEN it waits with its stock reserved, and holds no money
    shown = client.order(order_id).body
    assert (shown["status"], shown["payment"]) == ("PENDING", "none")
    assert shown["actionExpiresAt"] == asked.body["expiresAt"]
    assert available(deployment) == stock - UNITS
    assert secret not in str(order(deployment, order_id))
    # AND a repeat or a confirmation that comes too early answers the same
    assert place(client, key=key).body == asked.body
    assert (client.confirm(order_id).status, client.confirm(order_id).body) == (202, asked.body)
    # WHEN the customer confirms at the bank, and the page confirms the order
    assert client.act(secret).body == {"state": "held"}
    confirmed = client.confirm(order_id)
    # THEN it is placed, and a repeat of either request changes nothing
    assert (confirmed.status, confirmed.body["status"], confirmed.body["payment"]) == (200, "PLACED", "authorised")
    assert client.confirm(order_id).body["sequence"] == confirmed.body["sequence"]
    again = place(client, key=key)
    assert (again.status, again.body["orderId"], again.body["status"]) == (201, order_id, "PLACED")
    # AND packed, captured and released, with one mail for each
    eventually(lambda: "releasedAt" in order(deployment, order_id), bool)
    until_quiet(deployment)
    assert steps(deployment, order_id) == [
        *ASKED,
        ("PLACED", "authorised"),
        ("PREPARED", None),
        ("PREPARED", "captured"),
    ]
    assert len(mails(deployment, order_id)) == 2
    assert available(deployment) == stock - UNITS


@pytest.mark.usefixtures("window")
def test_the_same_request_again_places_the_order(deployment: Deployment, client: ShopClient) -> None:
    key = str(uuid.uuid4())
    asked = place(client, key=key)
    client.act(asked.body["clientSecret"])
    # WHEN the page repeats the first request instead of confirming
    again = place(client, key=key)
    # THEN the order is placed
    assert (again.status, again.body["status"]) == (201, "PLACED")
    assert client.cancel(again.body["orderId"]).status == 200


def test_a_failed_confirmation_declines_the_order(deployment: Deployment, client: ShopClient, stock: int) -> None:
    # GIVEN a customer whose bank says no
    order_id, secret = waiting(client, "tok_action_fail")
    assert client.act(secret).body == {"state": "failed"}
    # WHEN the page confirms the order, THEN it is declined, and its units are back
    assert kind(client.confirm(order_id)) == (402, "payment-declined")
    assert kind(client.confirm(order_id)) == (402, "payment-declined")
    assert available(deployment) == stock
    # AND the payment can't be used anymore
    sweep(deployment, order_id)
    assert hold(deployment, order_id) == "void"
    assert client.order(order_id).body["status"] == "REJECTED"
    assert mails(deployment, order_id) == []


def test_a_customer_can_cancel_instead_of_confirming(deployment: Deployment, client: ShopClient, stock: int) -> None:
    order_id, secret = waiting(client)
    # WHEN the customer cancels, THEN the units are back at once
    assert client.cancel(order_id).body["status"] == "REJECTED"
    assert available(deployment) == stock
    assert kind(client.confirm(order_id)) == (409, "order-abandoned")
    # AND an action that comes too late holds no money
    client.act(secret)
    sweep(deployment, order_id)
    assert hold(deployment, order_id) == "void"
    assert kind(client.confirm(order_id)) == (409, "order-abandoned")
    assert order(deployment, order_id)["payment"]["state"] == "voided"


def test_an_order_that_nobody_confirms_expires(deployment: Deployment, client: ShopClient, stock: int) -> None:
    # GIVEN a customer who closes the page
    order_id, secret = waiting(client, "tok_action_abandon")
    assert client.act(secret).body == {"state": "action_required"}
    # WHEN the sweeper looks in between, THEN the order still waits
    sweep(deployment, order_id)
    assert order(deployment, order_id)["status"] == "PENDING"
    assert available(deployment) == stock - UNITS
    # WHEN the time is over, THEN the units are back, and the payment can't be used anymore
    sweep(deployment, order_id, expiresAt=1)
    assert available(deployment) == stock
    assert hold(deployment, order_id) == "void"
    assert kind(client.confirm(order_id)) == (409, "order-expired")


@pytest.mark.usefixtures("window")
def test_the_sweeper_places_an_order_whose_page_was_closed(deployment: Deployment, client: ShopClient) -> None:
    # GIVEN a customer who confirms the payment, and whose page does not confirm the order
    order_id, secret = waiting(client)
    client.act(secret)
    # WHEN the sweeper looks, even after the customer's time, THEN the order is placed
    sweep(deployment, order_id, expiresAt=1)
    assert steps(deployment, order_id)[:3] == [*ASKED, PAID[0]]
    assert client.cancel(order_id).status == 200
    eventually(lambda: hold(deployment, order_id), lambda state: state == "void")


def test_the_providers_event_places_an_order_without_a_confirmation(deployment: Deployment, client: ShopClient) -> None:
    order_id, secret = waiting(client)
    # WHEN the provider reports something while the customer has not acted, THEN nothing changes
    publish_payment_event(deployment, order_id)
    until_quiet(deployment)
    assert steps(deployment, order_id) == ASKED
    # WHEN it reports the customer's action, twice, THEN the order is placed once
    client.act(secret)
    publish_payment_event(deployment, order_id)
    publish_payment_event(deployment, order_id)
    eventually(lambda: order(deployment, order_id)["status"], lambda status: status != "PENDING")
    eventually(lambda: "releasedAt" in order(deployment, order_id), bool)
    until_quiet(deployment)
    assert steps(deployment, order_id) == [
        *ASKED,
        ("PLACED", "authorised"),
        ("PREPARED", None),
        ("PREPARED", "captured"),
    ]
    assert len(mails(deployment, order_id)) == 2
    assert client.confirm(order_id).body["status"] == "PREPARED"


def publish_payment_event(deployment: Deployment, order_id: str) -> None:
    """Publish what the webhook publishes: that something has happened to the payment of an order."""
    reference = order(deployment, order_id)["payment"]["reference"]
    now = time.time_ns() // 1_000_000
    entry = PAYMENT_EVENT.entry(
        PaymentData(reference=reference), aggregate_id=str(uuid.uuid4()), sequence=1, at=now, correlation_id="test"
    )
    bus = deployment.resource("Bus")
    made = {"Source": entry.source, "DetailType": entry.detail_type, "Detail": entry.detail, "EventBusName": bus}
    answer = deployment.events.put_events(Entries=[made])
    assert answer["FailedEntryCount"] == 0, answer


# --- clients and limits -----------------------------------------------------------------------------------------------


def test_a_client_that_knows_no_202_gets_a_decline(client: ShopClient) -> None:
    answer = place_patiently(client, paymentToken="tok_action")
    assert kind(answer) == (402, "payment-declined")


Customers = Callable[[], ShopClient]


@pytest.fixture
def customers(deployment: Deployment, client: ShopClient) -> Iterator[Customers]:
    """Sign up another customer, with counts of their own."""
    with contextlib.ExitStack() as opened:

        def sign_another_up() -> ShopClient:
            email = f"{uuid.uuid4().hex}@example.com"
            account = sign_up(deployment, email)
            other = opened.enter_context(contextlib.closing(ShopClient(deployment.api_url, account.token)))
            assert other.introduce({"name": "Another Customer", "email": email}).status == 200
            return other

        yield sign_another_up


def test_a_customer_cannot_confirm_the_order_of_another(client: ShopClient, customers: Customers) -> None:
    order_id, _ = waiting(client)
    other = customers()
    assert kind(other.confirm(order_id)) == (404, "no-such-order")
    assert kind(other.act(f"{order_id}:authorise_secret_guessed")) == (404, "no-such-payment")
    assert client.cancel(order_id).status == 200


def test_a_user_with_many_declines_is_limited(deployment: Deployment, customers: Customers) -> None:
    tester, other = customers(), customers()
    with environment(deployment, "orders", DECLINES_PER_HOUR=str(MAX_DECLINES)):
        # WHEN a user tries one card after the other
        answers = [tester.place(sample("declined"), str(uuid.uuid4())) for _ in range(2 * MAX_DECLINES)]
        refused = [answer for answer in answers if answer.status == 429]
        # THEN only the first reach the provider; an hour that ends meanwhile begins a new count
        assert [kind(answer) for answer in answers[:MAX_DECLINES]] == [(402, "payment-declined")] * MAX_DECLINES
        assert refused, [answer.status for answer in answers]
        assert {kind(answer) for answer in refused} == {(429, "too-many-orders")}
        assert 0 < int(refused[0].headers["Retry-After"]) <= 3600
        # AND another user is not limited
        assert place_patiently(other).status == 201
