"""Requests and messages that need one permission each, with new orders and customers every time.

Each scenario returns its result in a word or two.
"""

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from dev.simulated.messages import message
from dev.template import template_with
from handoff.clock import now_ms, to_iso
from handoff.ids import shard
from shop import ids, provider_events
from shop.events import DetailType
from shop.payments import ProviderEvent
from tests.permissions.local_shop import LocalShop

Scenario = Callable[[LocalShop], str]

# --- the API: the status of the answer --------------------------------------------------------------------------------


def place(shop: LocalShop) -> str:
    return str(shop.place().status)


def place_by_program(shop: LocalShop) -> str:
    """Order with a token without a verified address: the one in the profile is only checked."""
    program = {"name": "Program", "email": "program@example.com"}
    assert shop.refunder.introduce(program).status == 200
    return str(shop.place(client=shop.refunder).status)


def retry_after_a_refusal(shop: LocalShop) -> str:
    key = str(uuid.uuid4())
    first = shop.place(key, paymentToken="tok_fail_once")
    assert first.status == 503, first.body
    return str(shop.place(key, paymentToken="tok_fail_once").status)


def act(shop: LocalShop) -> str:
    return str(shop.client.act(_waiting(shop, "tok_action")[1]).status)


def read(shop: LocalShop) -> str:
    return str(shop.client.order(shop.placed()).status)


def read_list(shop: LocalShop) -> str:
    return str(shop.client.orders().status)


def read_unplaced(shop: LocalShop) -> str:
    return str(shop.client.orders(status="REJECTED").status)


def read_since(shop: LocalShop) -> str:
    return str(shop.lookup.orders(since=to_iso(now_ms() - 3_600_000)).status)


def cancel(shop: LocalShop) -> str:
    return str(shop.client.cancel(shop.placed()).status)


def read_shipments(shop: LocalShop) -> str:
    shop.open_shipment(shop.placed())
    return str(shop.warehouse.shipments(limit="50").status)


def pack(shop: LocalShop) -> str:
    order_id = shop.placed()
    shop.change_order(order_id, placedAt="2026-01-01T00:00:00.000Z")  # its cancel window is over
    return str(shop.warehouse.pack(order_id).status)


def price(shop: LocalShop) -> str:
    shop.restart("orders")  # it reads only products that it does not know
    return place(shop)


def read_catalog(shop: LocalShop) -> str:
    shop.restart("orders")  # it keeps a page for a minute
    return str(shop.catalog())


def read_profile(shop: LocalShop) -> str:
    return str(shop.client.profile().status)


def make_profile(shop: LocalShop) -> str:
    with shop.newcomer() as (address, client):
        return str(client.introduce({"name": "New", "email": address}).status)


def export(shop: LocalShop) -> str:
    shop.placed()
    return str(shop.client.export().status)


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


def mail_to_a_bounced_address(shop: LocalShop) -> str:
    with shop.newcomer() as (address, client):
        user_id = shop.introduced(address, client)
        order_id = shop.placed(client)
        shop.deliver("feedback", shop.message("feedback", shop.report_bounce(address, user_id)))
        shop.deliver("emails", shop.message("emails", order_id))
        return str(shop.order(order_id).get("mailProblem", "not recorded"))


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
    shop.deliver("settlement", shop.message("settlement", order_id, "shipment_prepared"))
    return str(shop.order(order_id)["payment"]["state"])


def open_shipment(shop: LocalShop) -> str:
    return shop.shipment(_opened(shop)).get("state", "none")


def publish_shipment(shop: LocalShop) -> str:
    shop.restart("fulfillment")
    order_id = shop.placed()
    shop.deliver("fulfillment", shop.message("fulfillment", order_id))
    return _outbox(shop, order_id)


# --- settlement -------------------------------------------------------------------------------------------------------


def return_units(shop: LocalShop) -> str:
    order_id = shop.placed()
    shop.deliver("fulfillment", shop.message("fulfillment", order_id))
    shop.deliver("settlement", shop.message("settlement", order_id, "shipment_prepared"))
    answer = shop.refunder.refund(order_id, {"reason": "Returned", "restock": True}, str(uuid.uuid4()))
    assert answer.status == 201, answer.body
    shop.deliver("settlement", shop.message("settlement", order_id, "refund_requested"))
    (refund,) = shop.order(order_id)["refunds"].values()
    return str(refund["state"])


def decline_after_event(shop: LocalShop) -> str:
    order_id, client_secret = _waiting(shop, "tok_action_fail")
    shop.client.act(client_secret)
    return _looked_up(shop, order_id)


def lose_hold(shop: LocalShop) -> str:
    order_id = shop.placed()
    shop.cancel_hold(order_id)
    return _looked_up(shop, order_id)


def publish_release(shop: LocalShop) -> str:
    shop.restart("settlement")
    order_id = shop.placed()
    shop.deliver("fulfillment", shop.message("fulfillment", order_id))
    shop.deliver("settlement", shop.message("settlement", order_id, "shipment_prepared"))
    return _outbox(shop, order_id)


# --- feedback ---------------------------------------------------------------------------------------------------------


def flag(shop: LocalShop) -> str:
    with shop.newcomer() as (address, client):
        report = shop.report_bounce(address, shop.introduced(address, client))
        shop.deliver("feedback", shop.message("feedback", report))
        return str(client.profile().body.get("emailProblem", "not flagged"))


# --- the queues of every consumer -------------------------------------------------------------------------------------


def handle(consumer: str) -> Scenario:
    """Return a scenario in which a consumer handles an event of a new order."""

    def scenario(shop: LocalShop) -> str:
        return shop.deliver(consumer, _message(shop, consumer))

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
        shop.change_customer(user_id, dueAt=1)
        shop.sweep()
        return "published" if not shop.customer(user_id)["outbox"] else "unpublished"


def erase_an_order(shop: LocalShop) -> str:
    with shop.newcomer() as (address, client):
        user_id = shop.introduced(address, client)
        order_id = shop.placed(client)
        _begin_erasure(shop, user_id)
        return str(shop.order(order_id)["status"])


def erase_a_customer(shop: LocalShop) -> str:
    with shop.newcomer() as (address, client):
        user_id = shop.introduced(address, client)
        _begin_erasure(shop, user_id)
        return "erased" if "erasedAt" in shop.customer(user_id) else "not erased"


def erase_an_old_order(shop: LocalShop) -> str:
    order_id = shop.placed()
    shop.client.cancel(order_id)
    shop.deliver("settlement", shop.message("settlement", order_id, "order_cancelled"))
    shop.age(order_id)
    with shop.changed("sweeper", ORDER_DAYS="30"):
        shop.forget_retention()
        shop.sweep()
    return "erased" if "erasedAt" in shop.order(order_id) else "not erased"


def _begin_erasure(shop: LocalShop, user_id: str) -> None:
    """Let the sweeper find an erasure that began so long ago that it can end."""
    shards = int(shop.deployment.parameters["UnfinishedShards"])
    begun = {"erasingSince": "2026-01-01T00:00:00.000Z", "unfinished": shard(user_id, shards)}
    shop.change_customer(user_id, dueAt=1, unfinishedSince=1, **begun)
    shop.sweep()


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


def decline_in_a_sweep(shop: LocalShop) -> str:
    order_id, client_secret = _waiting(shop, "tok_action_fail")
    shop.client.act(client_secret)
    shop.change_order(order_id, dueAt=1)
    shop.sweep()
    return str(shop.order(order_id)["status"])


def find_overdue_shipment(shop: LocalShop) -> str:
    shop.change_shipment(_opened(shop), pack_by=1)
    return "found" if shop.sweep()["HoldsExpiring"] else "not found"


def _waiting(shop: LocalShop, token: str) -> tuple[str, str]:
    """Return the id of an order whose customer has to confirm the payment, and the client secret."""
    answer = shop.place(paymentToken=token, customerAction=True)
    assert answer.status == 202, answer.body
    return str(answer.body["orderId"]), str(answer.body["clientSecret"])


def _looked_up(shop: LocalShop, order_id: str) -> str:
    """Let settlement handle an event of the provider about an order's payment; return the order's status."""
    event_id = f"evt_{uuid.uuid4().hex}"
    entry = provider_events.entry(ProviderEvent(event_id, ids.payment_key(order_id, "authorise"), now_ms()))
    sent = {"source": entry.source, "detail-type": entry.detail_type, "detail": json.loads(entry.detail)}
    shop.send("settlement", json.dumps(sent))
    shop.deliver("settlement", shop.message("settlement", event_id))
    return str(shop.order(order_id)["status"])


def _opened(shop: LocalShop) -> str:
    """Return the id of an order whose shipment waits for a warehouse."""
    with shop.changed("fulfillment", PACKING="manual"):
        order_id = shop.placed()
        shop.deliver("fulfillment", shop.message("fulfillment", order_id))
    return order_id


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
    if consumer == "feedback":
        with shop.newcomer() as (address, client):
            return shop.message("feedback", shop.report_bounce(address, shop.introduced(address, client)))
    (types,) = (found.detail_types for found in template_with().event_consumers() if found.name == consumer)
    order_id = shop.placed()
    if DetailType.ORDER_PLACED in types:
        return shop.message(consumer, order_id)
    if DetailType.ORDER_CANCELLED in types:
        shop.client.cancel(order_id)
    else:
        shop.send(consumer, message(min(types), order_id, 1))
    return shop.message(consumer, order_id)


def _outbox(shop: LocalShop, order_id: str) -> str:
    return "published" if not shop.order(order_id)["outbox"] else "unpublished"
