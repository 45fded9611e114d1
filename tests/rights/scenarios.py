"""The requests and messages that need one right each, with new orders and customers every time.

Each says in a word or two what came of it.
"""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.rights.shop import Shop

Scenario = Callable[[Shop], str]

# --- the API: the status of the answer --------------------------------------------------------------------------------


def place(shop: Shop) -> str:
    return str(shop.place().status)


def place_again_after_a_refusal(shop: Shop) -> str:
    key = str(uuid.uuid4())
    first = shop.place(key, paymentToken="tok_fail_once")
    assert first.status == 503, first.body
    return str(shop.place(key, paymentToken="tok_fail_once").status)


def read(shop: Shop) -> str:
    return str(shop.client.order(shop.placed()).status)


def read_list(shop: Shop) -> str:
    return str(shop.client.orders().status)


def read_catalog(shop: Shop) -> str:
    shop.restart("orders")  # it has a copy for a minute
    return str(shop.catalog())


def read_profile(shop: Shop) -> str:
    return str(shop.client.profile().status)


def make_profile(shop: Shop) -> str:
    with shop.newcomer() as (address, client):
        return str(client.introduce({"name": "New", "email": address}).status)


def read_sales(shop: Shop) -> str:
    today = datetime.now(UTC).date().isoformat()
    return str(shop.reader.sales(**{"from": today, "to": today}).status)


def publish(shop: Shop) -> str:
    shop.restart("orders")  # after a failure, it does not publish for half a minute
    return _outbox(shop, shop.placed())


# --- emails -----------------------------------------------------------------------------------------------------------


def mail(shop: Shop) -> str:
    order_id = shop.placed()
    shop.hand_over("emails", shop.message("emails", order_id))
    return "a mail" if shop.mails(order_id) else "no mail"


def mail_again_after_a_failure(shop: Shop) -> str:
    order_id = shop.placed()
    message = shop.message("emails", order_id)
    with shop.cut_off("emails", "SESV2"):
        assert shop.hand_over("emails", message) == "failed"
    shop.hand_over("emails", message)
    return "a mail" if shop.mails(order_id) else "no mail"


def tell_of_address(shop: Shop) -> str:
    with shop.newcomer() as (address, client):
        user_id = shop.introduced(address, client)
        shop.hand_over("emails", shop.message("emails", user_id, "user_profile_updated"))
        return "forgotten" if not shop.customer(user_id)["addressChanges"] else "kept"


# --- analytics --------------------------------------------------------------------------------------------------------


def count(shop: Shop) -> str:
    order_id = shop.placed()
    shop.hand_over("analytics", shop.message("analytics", order_id))
    return "counted" if shop.counted(f"{order_id}-1") else "not counted"


# --- fulfillment ------------------------------------------------------------------------------------------------------


def prepare(shop: Shop) -> str:
    order_id = shop.placed()
    shop.hand_over("fulfillment", shop.message("fulfillment", order_id))
    return str(shop.order(order_id)["status"])


def capture(shop: Shop) -> str:
    order_id = shop.placed()
    shop.hand_over("fulfillment", shop.message("fulfillment", order_id))
    shop.hand_over("fulfillment", shop.message("fulfillment", order_id, "shipment_prepared"))
    return str(shop.order(order_id)["payment"]["state"])


def announce(shop: Shop) -> str:
    shop.restart("fulfillment")
    order_id = shop.placed()
    shop.hand_over("fulfillment", shop.message("fulfillment", order_id))
    return _outbox(shop, order_id)


# --- feedback ---------------------------------------------------------------------------------------------------------


def mark(shop: Shop) -> str:
    with shop.newcomer() as (address, client):
        report = shop.report_bounce(address, shop.introduced(address, client))
        shop.hand_over("feedback", shop.message("feedback", report))
        return str(client.profile().body.get("emailProblem", "not marked"))


# --- what every consumer does with its queues -------------------------------------------------------------------------


def handle(consumer: str) -> Scenario:
    """A consumer gets the event of a new order, and says ``done``."""

    def scenario(shop: Shop) -> str:
        return shop.hand_over(consumer, shop.message(consumer, shop.placed()))

    return scenario


def delete_what_came_back(consumer: str) -> Scenario:
    def scenario(shop: Shop) -> str:
        message = _message(shop, consumer)
        assert shop.hand_over(consumer, message, receives=2) == "done"
        return "still there" if message["MessageId"] in shop.queued(consumer) else "deleted"

    return scenario


def back_off(consumer: str) -> Scenario:
    def scenario(shop: Shop) -> str:
        message = _message(shop, consumer)
        with shop.cut_off(consumer, "DYNAMODB"):
            assert shop.hand_over(consumer, message) == "failed"
        return "back in 10 s" if shop.queued(consumer)[message["MessageId"]] < 11 else "back after its time-out"

    return scenario


def bury(consumer: str) -> Scenario:
    def scenario(shop: Shop) -> str:
        before = shop.dead_letters(consumer)
        nonsense = str(uuid.uuid4())
        shop.send(consumer, nonsense)
        shop.hand_over(consumer, shop.message(consumer, nonsense))
        return "a dead letter" if shop.dead_letters(consumer) > before else "no dead letter"

    return scenario


# --- the sweeper ------------------------------------------------------------------------------------------------------


def sweep_an_order(shop: Shop) -> str:
    with shop.cut_off("orders", "EVENTBRIDGE"):
        order_id = shop.placed()
    shop.change_order(order_id, dueAt=1)
    shop.sweep()
    return _outbox(shop, order_id)


def sweep_after_a_restart(shop: Shop) -> str:
    shop.restart("sweeper")
    return sweep_an_order(shop)


def sweep_a_profile(shop: Shop) -> str:
    with shop.newcomer() as (address, client):
        with shop.cut_off("orders", "EVENTBRIDGE"):
            user_id = shop.introduced(address, client)
        shop.change_customer(user_id, due_at=1)
        shop.sweep()
        return "published" if not shop.customer(user_id)["outbox"] else "left in its outbox"


def expire(shop: Shop) -> str:
    return str(shop.order(_swept_after_silence(shop))["status"])


def void(shop: Shop) -> str:
    return str(shop.order(_swept_after_silence(shop))["payment"]["state"])


def capture_late(shop: Shop) -> str:
    order_id = shop.placed()
    shop.hand_over("fulfillment", shop.message("fulfillment", order_id))
    shop.change_order(order_id, dueAt=1)
    shop.sweep()
    return str(shop.order(order_id)["payment"]["state"])


def _swept_after_silence(shop: Shop) -> str:
    """An order whose payment got no answer, left alone for ten minutes, then swept."""
    answer = shop.place(paymentToken="tok_timeout_held")
    assert answer.status == 503, answer.body
    order_id = str(answer.body["orderId"])
    shop.change_order(order_id, dueAt=1, leaseUntil=0, expiresAt=1)
    shop.sweep()
    return order_id


def _message(shop: Shop, consumer: str) -> dict[str, Any]:
    """A message that the consumer has something to do with."""
    if consumer != "feedback":
        return shop.message(consumer, shop.placed())
    with shop.newcomer() as (address, client):
        return shop.message("feedback", shop.report_bounce(address, shop.introduced(address, client)))


def _outbox(shop: Shop, order_id: str) -> str:
    return "published" if not shop.order(order_id)["outbox"] else "left in its outbox"
