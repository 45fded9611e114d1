"""Nothing of an erased customer is left: every table, queue and log of the local stack is searched."""

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from dev.demo import orders as demo
from dev.local.consumers import packed_after
from ops import smoke_order, tokens
from ops.shop_client import ShopClient
from ops.stack import observe
from ops.stack.deployment import Deployment
from tests.e2e.support import eventually, invoke, order, overheard, received, sample, until_quiet
from tests.permissions.local_shop import LocalShop

NAME = "Wendelgard Oberfrankfurter-Niederstetten"
ADDRESS = {
    "name": NAME,
    "street": "404 Hinterzarten-Klimperweg",
    "city": "Obermooskirchenblick",
    "postalCode": "ZQ9-88K",
    "country": "CH",
}
REASON = "Frau Oberfrankfurter-Niederstetten zieht um"
LONG_AGO = "2026-01-01T00:00:00.000Z"


@dataclass
class Erased:
    """An erased customer's user id, orders and secrets, and the data that is left, as texts by place."""

    user_id: str
    orders: dict[str, dict[str, Any]]  # by id, as they were before
    secrets: set[str]
    places: dict[str, list[str]]
    events: list[dict[str, Any]]
    mails_later: int


def time_of(event: Mapping[str, Any]) -> str:
    return str(event["detail"]["metadata"]["timestamp"])


def buy(shop: LocalShop, client: ShopClient) -> dict[str, str]:
    """Place orders that are shipped, refunded, returned, declined, and still to be cancelled; return their ids."""

    def place(**changes: Any) -> Any:
        body = sample("cancelled", **{"shippingAddress": ADDRESS, **changes})
        return client.place(body, str(uuid.uuid4()))

    shipped = place()
    assert shipped.status == 201, shipped.body
    shipped_id = shipped.body["orderId"]
    eventually(lambda: order(shop.deployment, shipped_id), lambda found: "releasedAt" in found)
    assert client.request_return(shipped_id, {"reason": REASON}).status == 200
    assert shop.refunder.refund(shipped_id, {"amount": 1, "reason": REASON}, str(uuid.uuid4())).status == 201
    declined = place(paymentToken="tok_decline")
    assert declined.status == 402
    eventually(lambda: order(shop.deployment, shipped_id), lambda found: "paymentDue" not in found)
    with packed_after(shop.deployment, smoke_order.window(shop.deployment)):
        placed = place()
    assert placed.status == 201
    return {"shipped": shipped_id, "declined": declined.body["orderId"], "placed": placed.body["orderId"]}


def finish(shop: LocalShop, user_id: str) -> None:
    """Let the sweeper finish the erasure: an hour has passed, as far as it knows."""

    def swept() -> Mapping[str, Any]:
        if "erasingSince" in shop.customer(user_id):
            shop.change_customer(user_id, erasingSince=LONG_AGO, dueAt=1)
            invoke(shop.deployment, "sweeper", {})
        return shop.customer(user_id)

    eventually(swept, lambda customer: "erasedAt" in customer and not customer["outbox"])


def tables(deployment: Deployment) -> Iterator[tuple[str, str]]:
    for logical_id in deployment.of_type("AWS::DynamoDB::Table"):
        yield from ((logical_id, json.dumps(item, default=str)) for item in deployment.scan(logical_id))


def queued(deployment: Deployment) -> Iterator[tuple[str, str]]:
    for logical_id in deployment.of_type("AWS::SQS::Queue"):
        queue = deployment.resource(logical_id)
        answer = httpx.get(f"{deployment.endpoint}/_ministack/sqs/messages", params={"QueueUrl": queue})
        yield logical_id, answer.text


def log_lines(deployment: Deployment) -> Iterator[tuple[str, str]]:
    groups = deployment.logs.get_paginator("describe_log_groups").paginate()
    pages = deployment.logs.get_paginator("filter_log_events")
    for group in (found["logGroupName"] for page in groups for found in page["logGroups"]):
        for page in pages.paginate(logGroupName=group):
            yield from ((group, event["message"]) for event in page["events"])


@pytest.fixture(scope="module")
def shop(deployment: Deployment, client: ShopClient) -> Iterator[LocalShop]:
    with contextlib.closing(demo.program(deployment, tokens.REFUNDS)) as refunder:
        yield LocalShop(deployment, client, reader=client, warehouse=client, refunder=refunder, lookup=client)


@pytest.fixture(scope="module")
def erased(deployment: Deployment, shop: LocalShop) -> Erased:
    """Let a customer buy, and erase the customer's data."""
    until_quiet(deployment)
    email = f"wendelgard.{uuid.uuid4().hex[:8]}@oberfrankfurter.example.com"
    with overheard(deployment) as bus, shop.newcomer() as (_, newcomer):
        profile = newcomer.introduce({"name": NAME, "email": email})
        user_id = str(profile.body["userId"])
        ids = buy(shop, newcomer)
        before = {name: order(deployment, order_id) for name, order_id in ids.items()}
        exported = newcomer.export()
        assert exported.status == 200
        assert exported.body["profile"]["name"] == NAME
        assert {found["orderId"] for found in exported.body["orders"]} == set(ids.values())
        assert newcomer.erase().status == 202
        assert order(deployment, ids["placed"])["status"] == "CANCELLED"
        until_quiet(deployment)
        finish(shop, user_id)
        assert newcomer.erase().status == 200
        mails = len(observe.mails(str(deployment.endpoint)))
        # the shop refunds the rest, without the data
        assert shop.refunder.refund(ids["shipped"], {"reason": "The rest"}, str(uuid.uuid4())).status == 201
        until_quiet(deployment)
        events = [json.loads(message["Body"]) for message in received(deployment, bus)]
    places = {
        name: [f"{where}: {text}" for where, text in found(deployment)]
        for name, found in (("tables", tables), ("queues", queued), ("logs", log_lines))
    }
    later = len(observe.mails(str(deployment.endpoint))) - mails
    secrets = {*(text for text in ADDRESS.values() if len(text) > 2), *NAME.split(), email, REASON}
    return Erased(user_id, {ids[name]: found for name, found in before.items()}, secrets, places, events, later)


@pytest.mark.parametrize("place", ["tables", "queues", "logs"])
def test_nothing_of_an_erased_customer_is_left(erased: Erased, place: str) -> None:
    assert erased.places[place]
    for text in erased.places[place]:
        shown = [secret for secret in erased.secrets if secret.lower() in text.lower()]
        assert not shown, f"{shown} in {text}"


def test_only_the_customers_own_item_names_the_user(erased: Erased) -> None:
    (item,) = [text for text in erased.places["tables"] if erased.user_id in text]
    assert item.startswith("CustomersTable: ")
    assert "erasedAt" in item


def test_the_amounts_stay(deployment: Deployment, erased: Erased) -> None:
    for order_id, before in erased.orders.items():
        after = order(deployment, order_id)
        assert (after["total"], after["lines"]) == (before["total"], before["lines"])
        assert after["userId"].startswith("erased-")


def test_the_event_tells_other_consumers_to_erase(erased: Erased) -> None:
    (event,) = [event for event in erased.events if event["detail-type"] == "user_erased"]
    assert event["detail"]["data"] == {"userId": erased.user_id}


def test_later_events_do_not_name_the_user_and_send_no_mail(erased: Erased) -> None:
    (end,) = (time_of(event) for event in erased.events if event["detail-type"] == "user_erased")
    later = [event for event in erased.events if time_of(event) > end]
    refunds = [event for event in later if event["detail-type"] == "order_refunded"]
    assert refunds
    assert erased.user_id not in json.dumps(later)
    assert erased.mails_later == 0
