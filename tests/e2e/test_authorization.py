"""Authorization on the deployed stack: without a token, with another user's, and without the scope."""

import contextlib
import uuid
from collections.abc import Iterator

import httpx
import pytest

from handoff.clock import now_ms, to_iso
from ops import tokens
from ops.shop_client import ShopClient, sign_up
from ops.stack.deployment import Deployment
from shop import order_list
from tests.e2e.support import change_order, place, until_quiet
from tests.permissions import routes

OPEN = {"GET /catalog": 200, "GET /health": 200, "$default": 404}


def call(deployment: Deployment, route: str, token: str = "") -> int:
    """Return the status of a bare request to a route."""
    method, _, path = route.replace("{orderId}", "ord_" + "a" * 26).partition(" ")
    method, path = (method, path) if path else ("GET", "/nowhere")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.request(method, deployment.api_url + path, headers=headers, trust_env=False).status_code


@pytest.fixture(scope="module")
def order_id(deployment: Deployment, client: ShopClient) -> str:
    answer = place(client)
    assert answer.status == 201
    until_quiet(deployment)
    return str(answer.body["orderId"])


@pytest.fixture(scope="module")
def other_user(deployment: Deployment) -> Iterator[ShopClient]:
    account = sign_up(deployment, f"{uuid.uuid4().hex}@example.com")
    with contextlib.closing(ShopClient(deployment.api_url, account.token)) as client:
        yield client


@pytest.mark.usefixtures("client")  # which loads the catalog
@pytest.mark.parametrize("route", sorted(routes.routes()))
def test_without_a_token_only_public_routes_answer(deployment: Deployment, route: str) -> None:
    assert call(deployment, route) == OPEN.get(route, 401)


@pytest.mark.parametrize("route", sorted(routes.routes().keys() - OPEN.keys()))
def test_a_tampered_token_is_rejected(deployment: Deployment, client: ShopClient, route: str) -> None:
    header, claims, signature = client.token.split(".")
    assert call(deployment, route, f"{header}.{claims}.{signature[::-1]}") == 401


def test_the_token_of_another_user_neither_shows_nor_cancels(
    deployment: Deployment, client: ShopClient, other_user: ShopClient, order_id: str
) -> None:
    before = client.order(order_id).body
    # WHEN another user requests an order by its id, and tries to cancel it
    shown, cancelled = other_user.order(order_id), other_user.cancel(order_id)
    # THEN the answer is that of a missing order
    assert (shown.status, cancelled.status) == (404, 404)
    assert shown.body == cancelled.body == other_user.order("ord_" + "a" * 26).body
    assert client.order(order_id).body == before


def test_another_users_cursor_shows_the_callers_own_orders(
    deployment: Deployment, client: ShopClient, other_user: ShopClient, order_id: str
) -> None:
    # GIVEN a customer with at least two orders, and another user with an order between them
    own = str(place(other_user).body["orderId"])
    place(client)
    headers = {"Authorization": f"Bearer {client.token}"}
    page = httpx.get(f"{deployment.api_url}/orders", params={"limit": 1}, headers=headers, trust_env=False).json()
    # WHEN the other user sends the cursor of the customer's list
    theirs = httpx.get(
        f"{deployment.api_url}/orders",
        params={"cursor": page["next"]},
        headers={"Authorization": f"Bearer {other_user.token}"},
        trust_env=False,
    )
    # THEN the page is of their own list
    assert [order["orderId"] for order in theirs.json()["orders"]] == [own]
    until_quiet(deployment)


def test_reports_need_the_scope_which_opens_no_customer_data(
    deployment: Deployment, client: ShopClient, order_id: str
) -> None:
    reader = tokens.token_for(deployment, tokens.REPORTS)
    assert call(deployment, "GET /reports/sales", client.token) == 403
    assert call(deployment, "GET /reports/sales", reader) == 400  # authorized, but without the days
    with contextlib.closing(ShopClient(deployment.api_url, reader)) as program:
        assert program.order(order_id).status == 403
        assert program.orders(since="2026-01-01T00:00:00Z").status == 403
        assert program.orders().body == {"orders": []}
        assert program.profile().status == 404


def test_programs_with_the_scope_look_orders_up(deployment: Deployment, client: ShopClient, order_id: str) -> None:
    # GIVEN an order that was placed two minutes ago, so that it is on the list
    ago = to_iso(now_ms() - 120_000)
    listed = order_list.keys(order_id, ago, int(deployment.parameters["OrderListShards"]))
    change_order(deployment, order_id, placedAt=ago, timeBucket=listed.bucket, timeEntry=listed.entry)
    with contextlib.closing(ShopClient(deployment.api_url, tokens.token_for(deployment, tokens.LOOK_UP))) as program:
        # WHEN a program looks it up, and lists the orders since then
        shown, page = program.order(order_id), program.orders(since=ago)
        # THEN it sees the order, and whose it is
        user_id = shown.body["userId"]
        assert shown.body == client.order(order_id).body | {"userId": user_id}
        assert page.body["orders"][0] == {
            **{name: shown.body[name] for name in ("orderId", "status", "total", "currency", "placedAt")},
            "userId": user_id,
        }
        assert page.body["until"] > ago
        # AND it can do nothing else
        assert program.cancel(order_id, reason="mine").status == 403
    # AND customers can't list the orders of others
    assert client.orders(since=ago).status == 403
