"""Closed doors on the deployed stack: without a token, with somebody else's, and with one that lacks the scope."""

import contextlib
import uuid
from collections.abc import Iterator

import httpx
import pytest

from dev.demo import orders as demo
from ops import tokens
from ops.shop_client import ShopClient, sign_up
from ops.stack.deployment import Deployment
from tests.e2e.support import place
from tests.permissions import routes

OPEN = {"GET /catalog": 200, "GET /health": 200, "$default": 404}


def call(deployment: Deployment, route: str, token: str = "") -> int:
    """The status of a request to a route that has nothing but, perhaps, a token."""
    method, _, path = route.replace("{orderId}", "ord_" + "a" * 26).partition(" ")
    method, path = (method, path) if path else ("GET", "/nowhere")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.request(method, deployment.api_url + path, headers=headers, trust_env=False).status_code


@pytest.fixture(scope="module")
def order_id(deployment: Deployment, client: ShopClient) -> str:
    answer = place(client)
    assert answer.status == 201
    demo.wait_until_quiet(deployment, lambda _: None)
    return str(answer.body["orderId"])


@pytest.fixture(scope="module")
def stranger(deployment: Deployment) -> Iterator[ShopClient]:
    account = sign_up(deployment, f"{uuid.uuid4().hex}@example.com")
    with contextlib.closing(ShopClient(deployment.api_url, account.token)) as client:
        yield client


@pytest.mark.usefixtures("client")  # who has loaded the catalog before anybody looks at it
@pytest.mark.parametrize("route", sorted(routes.routes()))
def test_without_a_token_nobody_gets_in_but_where_all_may(deployment: Deployment, route: str) -> None:
    assert call(deployment, route) == OPEN.get(route, 401)


@pytest.mark.parametrize("route", sorted(routes.routes().keys() - OPEN.keys()))
def test_with_a_token_that_was_tampered_with_neither(deployment: Deployment, client: ShopClient, route: str) -> None:
    header, claims, signature = client.token.split(".")
    assert call(deployment, route, f"{header}.{claims}.{signature[::-1]}") == 401


def test_a_strangers_token_shows_and_cancels_nothing(
    deployment: Deployment, client: ShopClient, stranger: ShopClient, order_id: str
) -> None:
    before = client.order(order_id).body
    # WHEN somebody else asks for an order by its id, and tries to cancel it
    shown, cancelled = stranger.order(order_id), stranger.cancel(order_id)
    # THEN it is as if there were none
    assert (shown.status, cancelled.status) == (404, 404)
    assert shown.body == cancelled.body == stranger.order("ord_" + "a" * 26).body
    assert client.order(order_id).body == before


def test_a_cursor_of_somebody_elses_list_shows_ones_own(
    deployment: Deployment, client: ShopClient, stranger: ShopClient, order_id: str
) -> None:
    # GIVEN a customer with at least two orders, and somebody who has placed one in between
    own = str(place(stranger).body["orderId"])
    place(client)
    headers = {"Authorization": f"Bearer {client.token}"}
    page = httpx.get(f"{deployment.api_url}/orders", params={"limit": 1}, headers=headers, trust_env=False).json()
    # WHEN the other goes on where the customer's list does
    theirs = httpx.get(
        f"{deployment.api_url}/orders",
        params={"cursor": page["next"]},
        headers={"Authorization": f"Bearer {stranger.token}"},
        trust_env=False,
    )
    # THEN it is their own list that goes on
    assert [order["orderId"] for order in theirs.json()["orders"]] == [own]
    demo.wait_until_quiet(deployment, lambda _: None)


def test_reports_take_the_scope_and_the_scope_opens_nothing_else_of_a_customers(
    deployment: Deployment, client: ShopClient, order_id: str
) -> None:
    reader = tokens.for_reports(deployment)
    assert call(deployment, "GET /reports/sales", client.token) == 403
    assert call(deployment, "GET /reports/sales", reader) == 400  # it may, and has not said which days
    with contextlib.closing(ShopClient(deployment.api_url, reader)) as program:
        assert program.order(order_id).status == 404
        assert program.orders().body == {"orders": []}
        assert program.profile().status == 404
