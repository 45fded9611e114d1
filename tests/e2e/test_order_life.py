"""An order's whole life on the deployed stack: cancelled in its window, packed, refunded and returned."""

import contextlib
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dev.demo.orders import program
from dev.local.consumers import packed_after
from dev.local.stack import LocalStack
from ops import smoke_order, tokens
from ops.cli.main import main
from ops.shop_client import Answer, ShopClient
from ops.stack import observe
from ops.stack.deployment import Deployment
from tests.e2e.support import (
    about,
    change_order,
    environment,
    eventually,
    invoke,
    order,
    patiently,
    place_patiently,
    until_quiet,
)

pytestmark = pytest.mark.usefixtures("window")

SKU, PRICE = "TEA-ASSAM-100", 650
ORDERS = 20
LATEST = 5.0  # seconds after the answer; the window of the local stack is twice as long
AT_ONCE = 4


def units(count: int, **changes: Any) -> dict[str, Any]:
    return {"lines": [{"sku": SKU, "quantity": count}], "expectedTotal": count * PRICE, **changes}


def placed(client: ShopClient, count: int = 1, **changes: Any) -> str:
    answer = place_patiently(client, **units(count, **changes))
    assert answer.status == 201, answer.body
    return str(answer.body["orderId"])


def available(deployment: Deployment) -> int:
    (product,) = [product for product in deployment.scan("ProductsTable") if product["sku"] == SKU]
    return int(product["available"])


def kind(answer: Answer) -> tuple[int, str]:
    return answer.status, str(answer.body.get("type", "")).rpartition(":")[2]


def refunds(deployment: Deployment, order_id: str) -> list[str]:
    return sorted(refund["state"] for refund in order(deployment, order_id).get("refunds", {}).values())


@pytest.fixture
def released(deployment: Deployment, client: ShopClient) -> str:
    """An order of three units that was packed and released."""
    return place_and_release(deployment, client, 3)


def until_released(deployment: Deployment, order_id: str) -> str:
    eventually(lambda: "releasedAt" in order(deployment, order_id), bool)
    return order_id


def place_and_release(deployment: Deployment, client: ShopClient, count: int = 1, **changes: Any) -> str:
    with packed_after(deployment, 0):
        return until_released(deployment, placed(client, count, **changes))


@pytest.fixture
def refunder(deployment: Deployment, client: ShopClient) -> Iterator[ShopClient]:
    with contextlib.closing(program(deployment, tokens.REFUNDS)) as found:
        yield found


@pytest.fixture
def orders_program(deployment: Deployment, client: ShopClient) -> Iterator[ShopClient]:
    with contextlib.closing(program(deployment, tokens.ORDERS)) as found:
        yield found


@pytest.fixture
def warehouse(deployment: Deployment, client: ShopClient) -> Iterator[ShopClient]:
    with contextlib.closing(program(deployment, tokens.SHIPMENTS)) as found:
        yield found


# --- the cancel window ------------------------------------------------------------------------------------------------


def test_every_order_can_be_cancelled_in_its_window_on_a_warm_stack(deployment: Deployment, client: ShopClient) -> None:
    # GIVEN consumers that are warm: they have just handled an order to its end
    place_and_release(deployment, client)
    until_quiet(deployment)
    stock, mails = available(deployment), len(observe.mails(deployment.endpoint or ""))
    assert smoke_order.window(deployment) >= 2 * LATEST
    # WHEN orders are cancelled 0 to 5 s after their answers
    delays = [LATEST * n / (ORDERS - 1) for n in range(ORDERS)]

    def place_and_cancel(delay: float) -> tuple[str, int]:
        order_id = placed(client)
        time.sleep(delay)
        return order_id, patiently(lambda: client.cancel(order_id)).status

    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = dict(pool.map(place_and_cancel, delays))
    until_quiet(deployment)
    # THEN all are cancelled, their holds are voided, and their units are back in stock
    assert list(done.values()) == [200] * ORDERS
    items = [order(deployment, order_id) for order_id in done]
    assert {(item["status"], item["payment"]["state"]) for item in items} == {("CANCELLED", "voided")}
    holds = [entry for entry in deployment.scan("SandboxTable") if entry["orderId"] in done]
    assert sorted(hold["state"] for hold in holds if hold["kind"] == "authorise") == ["void"] * ORDERS
    assert available(deployment) == stock
    assert not [shipment for order_id in done for shipment in about(deployment.scan("ShipmentsTable"), order_id)]
    assert len(observe.mails(deployment.endpoint or "")) > mails


def test_no_packed_order_can_be_cancelled(
    deployment: Deployment, client: ShopClient, orders_program: ShopClient
) -> None:
    # GIVEN packed orders
    packed = [place_and_release(deployment, client) for _ in range(2)]
    # WHEN their customer or a program cancels them
    answers = [client.cancel(order_id) for order_id in packed]
    answers += [orders_program.cancel(order_id, "Out of stock") for order_id in packed]
    # THEN each is refused, and stays as it is
    assert {kind(answer) for answer in answers} == {(409, "not-cancellable")}
    assert {order(deployment, order_id)["payment"]["state"] for order_id in packed} == {"captured"}


def test_a_program_cancels_any_order_with_a_reason(
    deployment: Deployment, client: ShopClient, orders_program: ShopClient
) -> None:
    order_id = placed(client)
    assert orders_program.cancel(order_id, "The supplier has no tea").status == 200
    eventually(lambda: order(deployment, order_id)["payment"]["state"], lambda state: state == "voided")
    assert order(deployment, order_id)["cancellation"] == {"by": "shop", "reason": "The supplier has no tea"}


def test_a_warehouse_packs_if_packing_is_manual(
    deployment: Deployment, client: ShopClient, warehouse: ShopClient
) -> None:
    # GIVEN a stack in which a warehouse packs
    with environment(deployment, "fulfillment", PACKING="manual"):
        order_id = placed(client)
        too_early = warehouse.pack(order_id)
        # WHEN the window is over, THEN the shipment waits for the warehouse
        eventually(lambda: about(warehouse.shipments(state="open").body["shipments"], order_id), bool)
    assert too_early.status == 409
    assert int(too_early.headers["Retry-After"]) > 0
    # WHEN it is packed, THEN its payment is captured, and it is released
    assert warehouse.pack(order_id).status == 200
    until_released(deployment, order_id)
    assert about(warehouse.shipments(state="open").body["shipments"], order_id) == []
    assert client.shipments(state="open").status == client.pack(order_id).status == 403


# --- refunds and returns ----------------------------------------------------------------------------------------------


def test_refunds_add_up_to_what_was_captured(
    deployment: Deployment, client: ShopClient, refunder: ShopClient, released: str
) -> None:
    stock = available(deployment)
    # WHEN two of three units are refunded, and come back
    wanted = {"lines": [{"sku": SKU, "quantity": 2}], "reason": "Torn bags", "restock": True}
    key = str(uuid.uuid4())
    first, again = refunder.refund(released, wanted, key), refunder.refund(released, wanted, key)
    # THEN they are refunded once, and back in stock
    assert (first.status, first.body["amount"]) == (201, 2 * PRICE)
    assert first.body == again.body
    eventually(lambda: refunds(deployment, released), lambda states: states == ["refunded"])
    assert available(deployment) == stock + 2
    # AND more than what is left is refused
    assert refunder.refund(released, {"amount": PRICE + 1, "reason": "Goodwill"}, str(uuid.uuid4())).status == 409
    # AND the rest can be refunded
    assert refunder.refund(released, {"reason": "Goodwill"}, str(uuid.uuid4())).body["amount"] == PRICE
    eventually(lambda: refunds(deployment, released), lambda states: states == ["refunded"] * 2)
    shown = client.order(released).body
    assert shown["refunded"] == shown["total"] == 3 * PRICE
    ledger = [entry for entry in deployment.scan("SandboxTable") if entry["orderId"] == released]
    assert sorted(entry["amount"] for entry in ledger if entry["kind"] == "refund") == [PRICE, 2 * PRICE]


def test_a_pending_refund_is_finished_by_the_sweeper(
    deployment: Deployment, client: ShopClient, refunder: ShopClient
) -> None:
    order_id = place_and_release(deployment, client, paymentToken="tok_refund_pending")
    assert refunder.refund(order_id, {"reason": "Goodwill"}, str(uuid.uuid4())).status == 201
    eventually(lambda: refunds(deployment, order_id), lambda states: states == ["pending"])
    change_order(deployment, order_id, dueAt=1)
    invoke(deployment, "sweeper", {})
    assert refunds(deployment, order_id) == ["refunded"]


def test_a_customer_returns_once_and_the_shop_refunds(
    deployment: Deployment, client: ShopClient, refunder: ShopClient, released: str
) -> None:
    # WHEN the customer requests a return, twice
    first = client.request_return(released, {"lines": [{"sku": SKU, "quantity": 1}], "reason": "Too strong"})
    assert first.status == 200
    assert first.body["returnRequest"]["lines"] == [{"sku": SKU, "quantity": 1}]
    assert client.request_return(released, {}).status == 409
    # THEN nothing is refunded until the shop does it
    assert refunds(deployment, released) == []
    wanted = {"lines": [{"sku": SKU, "quantity": 1}], "reason": "Returned", "restock": True}
    assert refunder.refund(released, wanted, str(uuid.uuid4())).status == 201
    eventually(lambda: refunds(deployment, released), lambda states: states == ["refunded"])


def test_a_scope_allows_nothing_else(
    client: ShopClient,
    refunder: ShopClient,
    orders_program: ShopClient,
    warehouse: ShopClient,
    released: str,
) -> None:
    wanted, key = {"reason": "Goodwill"}, str(uuid.uuid4())
    assert [caller.refund(released, wanted, key).status for caller in (client, orders_program, warehouse)] == [403] * 3
    assert [caller.pack(released).status for caller in (client, orders_program, refunder)] == [403] * 3
    assert [caller.cancel(released, "No").status for caller in (refunder, warehouse)] == [403] * 2


# --- the operator's commands ------------------------------------------------------------------------------------------


def run_handoff(stack: LocalStack, *arguments: str) -> Result:
    return CliRunner(env={"PORT": str(stack.port)}).invoke(main, [*arguments, "--local"])


def test_the_operator_cancels_and_refunds(
    local_stack: LocalStack, deployment: Deployment, client: ShopClient, released: str
) -> None:
    # WHEN an order is cancelled by command
    order_id = placed(client)
    done = run_handoff(local_stack, "orders", "cancel", order_id, "--reason", "Sold out", "--yes")
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "The order is CANCELLED."), done.output
    # AND a packed one is refused with the API's reason
    refused = run_handoff(local_stack, "orders", "cancel", released, "--reason", "Sold out", "--yes")
    assert refused.exit_code == 1
    assert "Order cannot be cancelled (409)" in refused.output
    # AND a refund is requested twice by the same command
    command = ("orders", "refund", released, "--line", f"{SKU}=1", "--reason", "Torn bag", "--restock", "--yes")
    first, again = run_handoff(local_stack, *command), run_handoff(local_stack, *command)
    assert (first.exit_code, again.exit_code) == (0, 0), first.output + again.output
    # THEN the money goes back once
    eventually(lambda: refunds(deployment, released), lambda states: states == ["refunded"])
    shown = run_handoff(local_stack, "order", released).output
    assert "6.50 EUR, 1 x TEA-ASSAM-100, Torn bag, ref_" in shown
