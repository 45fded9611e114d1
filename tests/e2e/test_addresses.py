"""Addresses on the local stack: the customer's, which an order needs, and texts as a gateway passes them."""

import contextlib
import gzip
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from dev.demo import orders as demo
from handoff.update import Update
from ops.shop_client import ShopClient, sign_in, sign_up
from ops.stack import observe
from ops.stack.deployment import Deployment
from tests.e2e.support import until_quiet

Raw = Callable[..., httpx.Response]


@pytest.fixture(autouse=True)
def _products(client: ShopClient) -> None:
    """The sample products are on sale."""


@pytest.fixture
def address() -> str:
    return f"{uuid.uuid4().hex}@example.com"


@pytest.fixture
def newcomer(deployment: Deployment, address: str) -> Iterator[ShopClient]:
    """A customer without a profile, whose token has no verified address."""
    account = sign_up(deployment, address)
    deployment.cognito.admin_update_user_attributes(
        UserPoolId=deployment.outputs["UserPoolId"],
        Username=address,
        UserAttributes=[{"Name": "email_verified", "Value": "false"}],
    )
    assert account.token
    with contextlib.closing(ShopClient(deployment.api_url, sign_in(deployment, address))) as client:
        yield client


@pytest.fixture
def raw(deployment: Deployment, client: ShopClient) -> Iterator[Raw]:
    """Send an order as bytes, with these headers besides the token."""
    with httpx.Client(base_url=deployment.api_url, timeout=120, trust_env=False) as http:

        def send(content: bytes, headers: list[tuple[str, str]]) -> httpx.Response:
            token = ("Authorization", f"Bearer {client.token}")
            return http.post("/orders", content=content, headers=[token, *headers])

        yield send


def order(**address: Any) -> dict[str, Any]:
    sample: dict[str, Any] = demo._sample("good")
    return sample | {"shippingAddress": sample["shippingAddress"] | address}


def with_key(key: str, **headers: str) -> list[tuple[str, str]]:
    return [("Idempotency-Key", key), *({"Content-Type": "application/json"} | headers).items()]


def test_a_customer_without_an_address_saves_one_and_gets_the_order_and_its_mail(
    deployment: Deployment, newcomer: ShopClient, address: str
) -> None:
    # GIVEN an order of a customer without an address
    refused = newcomer.place(order(), "key-1")
    assert (refused.status, refused.body["type"]) == (409, "urn:handoff:problem:no-address")
    assert "PUT /me" in refused.body["detail"]
    assert newcomer.orders().body["orders"] == []
    # WHEN the customer saves one and sends the same request
    assert newcomer.introduce({"name": "New", "email": address}).status == 200
    placed = newcomer.place(order(), "key-1")
    # THEN the order is placed, and confirmed to this address
    assert placed.status == 201, placed.body
    until_quiet(deployment)
    assert deployment.endpoint
    mails = [mail for mail in map(str, observe.mails(deployment.endpoint)) if placed.body["orderId"] in mail]
    assert any(f"'{address}'" in mail for mail in mails)


def test_the_verified_address_of_the_token_becomes_that_of_the_profile(deployment: Deployment, address: str) -> None:
    with contextlib.closing(ShopClient(deployment.api_url, sign_up(deployment, address).token)) as client:
        assert client.profile().status == 404
        assert client.place(order(), "key-1").status == 201
        assert client.profile().body["email"] == address


def test_a_customer_whose_mail_bounced_is_told_and_orders_after_saving_the_address_again(
    deployment: Deployment, newcomer: ShopClient, address: str
) -> None:
    # GIVEN a customer whose address bounced
    profile = {"name": "New", "email": address}
    user_id = newcomer.introduce(profile).body["userId"]
    flag = Update(deployment.resource("CustomersTable"), {"userId": user_id}).set("emailProblem", "bounced")
    deployment.dynamodb.update_item(**flag.members())
    # THEN the profile says what to do, and so does an order
    assert "PUT /me" in newcomer.profile().body["emailAdvice"]
    assert "bounced" in newcomer.place(order(), "key-1").body["detail"]
    # WHEN the customer does it, THEN the order is placed
    assert "emailProblem" not in newcomer.introduce(profile).body
    assert newcomer.place(order(), "key-1").status == 201


def test_an_address_without_postal_code_and_one_with_all_fields(client: ShopClient) -> None:
    dubai = {"name": "Mira", "street": "Villa 3, Al Wasl Road", "city": "Dubai", "country": "AE"}
    without = client.place(demo._sample("good") | {"shippingAddress": dubai}, uuid.uuid4().hex)
    more = {"company": "Analytical Engines", "street2": "Floor 3", "region": "Uppland", "phone": "+46 18 10 10 10"}
    complete = client.place(order(**more), uuid.uuid4().hex)

    assert (without.status, without.body["shippingAddress"]) == (201, dubai | {"postalCode": ""})
    assert (complete.status, complete.body["shippingAddress"].items() >= more.items()) == (201, True)
    unknown = client.place(order(country="UK"), uuid.uuid4().hex)
    assert (unknown.status, unknown.body["errors"][0]["field"]) == (400, "shippingAddress.country")
    assert "use GB" in unknown.body["detail"]


def test_a_key_that_is_sent_twice_is_one_key(raw: Raw) -> None:
    key, content = uuid.uuid4().hex, json.dumps(order()).encode()

    once = raw(content, with_key(key))
    twice = raw(content, [("Idempotency-Key", key), *with_key(key)])

    assert (once.status_code, twice.status_code) == (201, 201)
    assert once.json()["orderId"] == twice.json()["orderId"]


def test_bodies_that_would_be_garbled_are_refused(raw: Raw) -> None:
    document = json.dumps(order(name="André"), ensure_ascii=False)

    latin = raw(document.encode("latin-1"), with_key("latin"))
    charset = raw(document.encode(), with_key("charset", **{"Content-Type": "application/json; charset=iso-8859-1"}))
    zipped = raw(gzip.compress(document.encode()), with_key("zipped", **{"Content-Encoding": "gzip"}))
    invisible = raw(json.dumps(order(name="Ada\u202eecalevoL")).encode(), with_key("invisible"))
    twice = raw(document.replace('"quantity": 2', '"quantity": 2, "quantity": 3', 1).encode(), with_key("twice"))

    assert [answer.status_code for answer in (latin, charset, zipped, invisible, twice)] == [415, 415, 415, 400, 400]
    assert "U+202E" in invisible.json()["detail"]
    assert "send each member once" in twice.json()["detail"]
