"""Requests and messages that need one permission each, with new orders and customers every time.

Each scenario returns its result in a word or two.
"""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.permissions.local_shop import LocalShop

Scenario = Callable[[LocalShop], str]

# --- the API: the status of the answer --------------------------------------------------------------------------------


def place(shop: LocalShop) -> str:
    return str(shop.place().status)


def retry_after_a_refusal(shop: LocalShop) -> str:
    key = str(uuid.uuid4())
    first = shop.place(key, paymentToken="tok_fail_once")
    assert first.status == 503, first.body
    return str(shop.place(key, paymentToken="tok_fail_once").status)


def read(shop: LocalShop) -> str:
    return str(shop.client.order(shop.placed()).status)


def read_list(shop: LocalShop) -> str:
    return str(shop.client.orders().status)


def read_catalog(shop: LocalShop) -> str:
    shop.restart("orders")  # it keeps its copy for a minute
    return str(shop.catalog())


def read_profile(shop: LocalShop) -> str:
    return str(shop.client.profile().status)


def make_profile(shop: LocalShop) -> str:
    with shop.newcomer() as (address, client):
        return str(client.introduce({"name": "New", "email": address}).status)


def read_sales(shop: LocalShop) -> str:
    today = datetime.now(UTC).date().isoformat()
    return str(shop.reader.sales(**{"from": today, "to": today}).status)


def publish(shop: LocalShop) -> str:
    shop.restart("orders")  # after a failure, it does not publish for half a minute
    return _outbox(shop, shop.placed())


# --- emails -----------------------------------------------------------------------------------------------------------


def mail(shop: LocalShop) -> str:
    order_id = shop.placed()
    shop.deliver("emails", shop.message("emails", order_id))
    return "a mail" if shop.mails(order_id) else "no mail"


def mail_after_a_failure(shop: LocalShop) -> str:
    order_id = shop.placed()
    message = shop.message("emails", order_id)
    with shop.unreachable("emails", "SESV2"):
        assert shop.deliver("emails", message) == "failed"
    shop.deliver("emails", message)
    return "a mail" if shop.mails(order_id) else "no mail"


def notify_of_address(shop: LocalShop) -> str:
    with shop.newcomer() as (address, client):
        user_id = shop.introduced(address, client)
        shop.deliver("emails", shop.message("emails", user_id, "user_profile_updated"))
        return "removed" if not shop.customer(user_id)["addressChanges"] else "kept"


# --- analytics --------------------------------------------------------------------------------------------------------


def count(shop: LocalShop) -> str:
    order_id = shop.placed()
    shop.deliver("analytics", shop.message("analytics", order_id))
    return "counted" if shop.counted(f"{order_id}-1") else "not counted"


# --- fulfillment ------------------------------------------------------------------------------------------------------


def prepare(shop: LocalShop) -> str:
    order_id = shop.placed()
    shop.deliver("fulfillment", shop.message("fulfillment", order_id))
    return str(shop.order(order_id)["status"])


def capture(shop: LocalShop) -> str:
    order_id = shop.placed()
    shop.deliver("fulfillment", shop.message("fulfillment", order_id))
    shop.deliver("fulfillment", shop.message("fulfillment", order_id, "shipment_prepared"))
    return str(shop.order(order_id)["payment"]["state"])


def publish_shipment(shop: LocalShop) -> str:
    shop.restart("fulfillment")
    order_id = shop.placed()
    shop.deliver("fulfillment", shop.message("fulfillment", order_id))
    return _outbox(shop, order_id)


# --- feedback ---------------------------------------------------------------------------------------------------------


def flag(shop: LocalShop) -> str:
    with shop.newcomer() as (address, client):
        report = shop.report_bounce(address, shop.introduced(address, client))
        shop.deliver("feedback", shop.message("feedback", report))
        return str(client.profile().body.get("emailProblem", "not flagged"))


# --- the queues of every consumer -------------------------------------------------------------------------------------


def handle(consumer: str) -> Scenario:
    """Return a scenario in which a consumer handles the event of a new order."""

    def scenario(shop: LocalShop) -> str:
        return shop.deliver(consumer, shop.message(consumer, shop.placed()))

    return scenario


def delete_redelivered(consumer: str) -> Scenario:
    def scenario(shop: LocalShop) -> str:
        message = _message(shop, consumer)
        assert shop.deliver(consumer, message, receives=2) == "done"
        return "still queued" if message["MessageId"] in shop.queued(consumer) else "deleted"

    return scenario


def back_off(consumer: str) -> Scenario:
    def scenario(shop: LocalShop) -> str:
        message = _message(shop, consumer)
        with shop.unreachable(consumer, "DYNAMODB"):
            assert shop.deliver(consumer, message) == "failed"
        return "visible in 10 s" if shop.queued(consumer)[message["MessageId"]] < 11 else "visible after its timeout"

    return scenario


def send_to_dlq(consumer: str) -> Scenario:
    def scenario(shop: LocalShop) -> str:
        before = shop.dead_letters(consumer)
        text = str(uuid.uuid4())
        shop.send(consumer, text)
        shop.deliver(consumer, shop.message(consumer, text))
        return "a dead letter" if shop.dead_letters(consumer) > before else "no dead letter"

    return scenario


# --- the sweeper ------------------------------------------------------------------------------------------------------


def sweep_an_order(shop: LocalShop) -> str:
    with shop.unreachable("orders", "EVENTBRIDGE"):
        order_id = shop.placed()
    shop.change_order(order_id, dueAt=1)
    shop.sweep()
    return _outbox(shop, order_id)


def sweep_after_a_restart(shop: LocalShop) -> str:
    shop.restart("sweeper")
    return sweep_an_order(shop)


def sweep_a_profile(shop: LocalShop) -> str:
    with shop.newcomer() as (address, client):
        with shop.unreachable("orders", "EVENTBRIDGE"):
            user_id = shop.introduced(address, client)
        shop.change_customer(user_id, due_at=1)
        shop.sweep()
        return "published" if not shop.customer(user_id)["outbox"] else "unpublished"


def expire(shop: LocalShop) -> str:
    return str(shop.order(_swept_after_a_timeout(shop))["status"])


def void(shop: LocalShop) -> str:
    return str(shop.order(_swept_after_a_timeout(shop))["payment"]["state"])


def capture_late(shop: LocalShop) -> str:
    order_id = shop.placed()
    shop.deliver("fulfillment", shop.message("fulfillment", order_id))
    shop.change_order(order_id, dueAt=1)
    shop.sweep()
    return str(shop.order(order_id)["payment"]["state"])


def _swept_after_a_timeout(shop: LocalShop) -> str:
    """Return the id of an order whose payment got no answer, and which expired in a sweep."""
    answer = shop.place(paymentToken="tok_timeout_held")
    assert answer.status == 503, answer.body
    order_id = str(answer.body["orderId"])
    shop.change_order(order_id, dueAt=1, leaseUntil=0, expiresAt=1)
    shop.sweep()
    return order_id


def _message(shop: LocalShop, consumer: str) -> dict[str, Any]:
    """Return a message that the consumer handles."""
    if consumer != "feedback":
        return shop.message(consumer, shop.placed())
    with shop.newcomer() as (address, client):
        return shop.message("feedback", shop.report_bounce(address, shop.introduced(address, client)))


def _outbox(shop: LocalShop, order_id: str) -> str:
    return "published" if not shop.order(order_id)["outbox"] else "unpublished"
