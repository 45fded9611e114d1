"""A customer's personal data is erased from every table; the amounts stay."""

import json

import pytest

from dev.simulated import wire
from dev.simulated.api import Api
from dev.simulated.messages import replayed
from dev.simulated.world import ADDRESS, MUG, TEE, body
from handoff.clock import to_iso
from shop.erasing import LAST_LOOK_AFTER
from shop.model import Order
from shop.sales import sales_of

HOUR = 3_600  # seconds
NAME = "Zebulon Quistgaard"
PERSONAL = ADDRESS | {
    "name": NAME,
    "street": "77 Gurgelthaler Hohlweg",
    "city": "Unterzwischenmoos",
    "postalCode": "QX7",
}
PERSONAL |= {
    "company": "Gasthof Quellwald",
    "street2": "Hinterhaus 7b",
    "phone": "+41 44 668 18 00",
    "vatId": "CHE-116.281",
}
SECRETS = (
    *(text for text in PERSONAL.values() if len(text) > 2),
    NAME,
    "Quistgaard",
    "zeb@example.com",
    "Gurgelthaler",
    "Unterzwischenmoos",
    "QX7",
    "Too big",
    "by-my-phone",
)
# The id of the erased customer's own item, which only says that it is erased.
USER = "zebulon-7d1c"


@pytest.fixture
def zeb(world):
    """The API with the token of a customer with a profile."""
    world.stock(MUG, 20)
    world.stock(TEE, 20, unit_price=2000)
    api = world.api(USER)
    assert put(api).status == 200
    return api


def put(api, **profile):
    return api.call("PUT", "/me", json.dumps({"name": NAME, "email": "zeb@example.com"} | profile))


def place(api, key, **values):
    return api.place(body((MUG, 2), shippingAddress=PERSONAL, **values), key=key, **{"X-Correlation-Id": "by-my-phone"})


def shipped(world, api, key="shipped"):
    order_id = place(api, key).json["orderId"]
    world.queues.until_quiet()
    assert world.order(order_id)["payment"]["state"] == "captured"
    return order_id


def erase(api):
    return api.call("DELETE", "/me")


def finish(world):
    """Let the sweeper and the consumers finish an erasure."""
    world.until_quiet()


def stored(world, user=USER):
    return world.item("CustomersTable", userId=user)


TABLES = (
    *("OrdersTable", "CustomersTable", "ShipmentsTable", "LimitsTable", "SandboxTable", "SalesTable"),
    "IdempotencyTable",
)


def found_in_tables(world, *secrets):
    """Return the secrets that are in a table, with the table."""
    texts = {table: json.dumps(world.items(table), default=str) for table in TABLES}
    return [(secret, table) for secret in secrets for table, text in texts.items() if secret.lower() in text.lower()]


def test_nothing_of_an_erased_customer_is_in_a_table(world, zeb):
    # GIVEN a customer with orders in every state, a refund and a return
    order_id = shipped(world, zeb)
    assert zeb.return_order(order_id, reason="Too big for the Gurgelthaler Hohlweg").status == 200
    assert world.program("refunds:write").refund(order_id, amount=100, reason="Dear Quistgaard").status == 201
    assert place(zeb, "declined", paymentToken="tok_decline").status == 402
    cancelled = place(zeb, "cancelled").json["orderId"]
    assert world.program("orders:write").cancel(cancelled, reason="Quistgaard moved").status == 200
    world.queues.until_quiet()
    place(zeb, "placed")
    # WHEN the data is erased
    answer = erase(zeb)
    assert answer.status == 202
    assert answer.json == {"userId": USER, "erasingSince": to_iso(world.clock.ms)}
    finish(world)
    # THEN it is nowhere, and of the user there is only that it is erased
    assert found_in_tables(world, *SECRETS) == []
    assert found_in_tables(world, USER) == [(USER, "CustomersTable")]
    assert stored(world).keys() == {
        *("userId", "name", "sequence", "history", "outbox", "addressChanges", "erasedAt"),
    }
    assert stored(world)["name"] == "erased"
    assert erase(zeb).json == {"userId": USER, "erasedAt": stored(world)["erasedAt"]}
    assert erase(zeb).status == 200


def test_amounts_products_and_times_of_orders_stay(world, zeb):
    order_id = shipped(world, zeb)
    assert world.program("refunds:write").refund(order_id, amount=100).status == 201
    world.queues.until_quiet()
    before = world.order(order_id)

    erase(zeb)
    finish(world)

    after = world.order(order_id)
    same = ("lines", "total", "currency", "status", "placedAt", "payment", "releasedAt")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert after["history"][:-1] == before["history"]
    assert after["shippingAddress"]["country"] == "GB"
    (refund,) = after["refunds"].values()
    assert (refund["amount"], refund["state"], refund["reason"]) == (100, "refunded", "erased")
    for hashed in (after, refund):
        assert (hashed["requestHash"], hashed.get("fingerprint")) == ("", None)
    assert sales_of(Order.model_validate(after)) == sales_of(Order.model_validate(before))


def test_each_order_gets_its_own_random_user(world, zeb):
    orders = [shipped(world, zeb, key) for key in ("one", "two")]
    erase(zeb)
    finish(world)

    users = {world.order(order_id)["userId"] for order_id in orders}
    assert len(users) == 2
    assert all(user.startswith("erased-") and len(user) == len("erased-") + 32 for user in users)
    assert zeb.get(f"/orders/{orders[0]}").status == 404
    assert zeb.get("/orders").json == {"orders": []}


def test_the_event_names_the_user_and_nothing_else(world, zeb):
    erase(zeb)
    finish(world)

    (event,) = [event for event in world.events() if event["DetailType"] == "user_erased"]
    assert event["Source"] == "handoff.customers"
    assert event["Detail"]["data"] == {"userId": USER}
    assert event["Detail"]["metadata"]["eventId"] == f"{USER}-{stored(world)['sequence']}"


def test_an_order_that_can_be_cancelled_is_cancelled_at_once(world, zeb):
    order_id = place(zeb, "placed").json["orderId"]
    assert erase(zeb).status == 202
    assert world.order(order_id)["status"] == "CANCELLED"
    assert world.available(MUG) == 20

    finish(world)
    assert world.order(order_id)["payment"]["state"] == "voided"
    assert found_in_tables(world, *SECRETS) == []
    assert [mail["subject"] for mail in world.mails() if "cancelled" in mail["subject"]] == []


@pytest.mark.parametrize("waits", ["capture", "refund", "dispute"])
def test_an_order_under_way_refuses_the_erasure_and_changes_nothing(world, zeb, waits):
    # GIVEN an order under way, and one that could be cancelled
    if waits == "capture":
        order_id = place(zeb, "under-way").json["orderId"]
        world.queues.deliver("FulfillmentFunction")
    else:
        order_id = shipped(world, zeb, "under-way")
    if waits == "refund":
        world.program("refunds:write").refund(order_id)
    if waits == "dispute":
        dispute = {"reference": "dp_1", "amount": 2500, "state": "open", "openedAt": to_iso(world.clock.ms)}
        world.change("OrdersTable", {"orderId": order_id}, dispute=dispute)
    placed = place(zeb, "placed").json["orderId"]
    before = stored(world)
    # WHEN the customer wants the data erased
    answer = erase(zeb)
    # THEN it is refused with the reason
    reason = {"capture": "not shipped", "refund": "refund", "dispute": "dispute"}[waits]
    assert (answer.status, answer.problem) == (409, "open-orders")
    assert answer.json["orders"] == [{"orderId": order_id, "reason": reason}]
    assert order_id in answer.json["detail"]
    # AND nothing has changed
    assert stored(world) == before
    assert world.order(placed)["status"] == "PLACED"
    assert zeb.get("/me").json["name"] == NAME


def test_once_the_order_has_ended_the_erasure_is_accepted(world, zeb):
    place(zeb, "under-way")
    world.queues.deliver("FulfillmentFunction")
    assert erase(zeb).status == 409
    world.queues.until_quiet()
    assert erase(zeb).status == 202
    finish(world)
    assert found_in_tables(world, *SECRETS) == []


def test_the_profile_is_gone_at_once_and_orders_are_refused(world, zeb):
    assert erase(zeb).status == 202

    assert (zeb.get("/me").status, zeb.get("/me").problem) == (404, "no-profile")
    assert stored(world).keys().isdisjoint({"name", "email", "language", "emailProblem"})
    for moment in ("while-erasing", "erased"):
        answer = place(zeb, moment)
        assert (answer.status, answer.problem) == (409, "no-address"), moment
        finish(world)
    assert world.items("OrdersTable") == []


def test_a_verified_address_brings_no_erased_customer_back(world, zeb):
    claims = {"sub": USER, "token_use": "id", "email": "zeb@example.com", "email_verified": "true"}
    signed_in = Api(world.functions, claims)
    erase(zeb)
    for moment in ("while-erasing", "erased"):
        answer = place(signed_in, moment)
        assert (answer.status, answer.problem) == (409, "no-address"), moment
        finish(world)
    assert "email" not in stored(world)


def test_a_profile_can_be_created_once_the_erasure_is_done(world, zeb):
    erase(zeb)
    busy = put(zeb)
    assert (busy.status, busy.problem, busy.headers["retry-after"]) == (409, "being-erased", "600")
    finish(world)
    sequence = stored(world)["sequence"]

    assert put(zeb).json == {"userId": USER, "name": NAME, "email": "zeb@example.com"}

    assert "erasedAt" not in stored(world)
    assert stored(world)["sequence"] == sequence + 1
    assert place(zeb, "new").status == 201
    # the same key as an order that was erased is a key of another request
    assert erase(zeb).status == 202
    finish(world)
    assert put(zeb).status == 200
    answer = place(zeb, "new")
    assert (answer.status, answer.problem) == (422, "key-reused")


def test_a_customer_without_profile_and_orders_is_erased_too(world):
    nobody = world.api("nobody")
    assert erase(nobody).status == 202
    finish(world)
    assert stored(world, "nobody")["erasedAt"]
    assert erase(nobody).status == 200


def test_attributes_of_other_programs_are_erased(world, zeb):
    world.change("CustomersTable", {"userId": USER}, loyalty="gold", birthday="1815-12-10")
    erase(zeb)
    finish(world)
    assert stored(world).keys().isdisjoint({"loyalty", "birthday"})


def test_an_order_that_raced_with_the_erasure_is_cancelled_and_erased(world, zeb):
    """The order is accepted between the erasure's look at the orders and its beginning."""
    placed = []
    world.wire.on(
        "dynamodb.UpdateItem",
        wire.meanwhile(lambda: placed.append(place(zeb, "racing").json["orderId"])),
        where=lambda call: ":erasingSince" in call.values,
    )
    assert erase(zeb).status == 202
    assert world.order(placed[0])["status"] == "PLACED"
    world.clock.forward(61)
    world.sweep()
    assert world.order(placed[0])["status"] == "CANCELLED"
    finish(world)
    assert world.order(placed[0])["payment"]["state"] == "voided"
    assert found_in_tables(world, *SECRETS) == []


def test_an_order_packed_in_a_race_is_shipped_before_it_is_erased(world, zeb):
    order_id = place(zeb, "racing").json["orderId"]
    world.wire.on(
        "dynamodb.UpdateItem",
        wire.meanwhile(lambda: world.queues.deliver("FulfillmentFunction")),
        where=lambda call: ":erasingSince" in call.values,
    )
    assert erase(zeb).status == 202
    assert world.order(order_id)["status"] == "PREPARED"
    finish(world)
    assert world.order(order_id)["payment"]["state"] == "captured"
    assert world.item("ShipmentsTable", orderId=order_id)["state"] == "released"
    assert found_in_tables(world, *SECRETS) == []


def test_a_late_index_entry_is_found_by_the_last_look(world, zeb):
    """An order that the indexes did not show before is erased by the look an hour later."""
    order_id = shipped(world, zeb)
    order = world.order(order_id)
    world.change("OrdersTable", {"orderId": order_id}, userId="hidden")
    erase(zeb)
    world.settle_down(5)
    assert stored(world)["erasingSince"]

    world.put("OrdersTable", order)
    world.clock.forward(LAST_LOOK_AFTER / 1000 - 400)
    world.settle_down(10)

    assert stored(world)["erasedAt"]
    assert found_in_tables(world, *SECRETS) == []


def test_an_order_whose_request_dies_during_the_erasure_is_erased(world, zeb):
    """It is in no index of the customer's orders until the sweeper has seen it."""
    world.wire.on("dynamodb.UpdateItem", wire.crash_before)
    with pytest.raises(wire.Crash):
        place(zeb, "dies")
    assert "unplacedSince" not in world.items("OrdersTable")[0]

    assert erase(zeb).status == 202
    finish(world)

    assert stored(world)["erasedAt"]
    assert world.items("OrdersTable")[0]["status"] == "REJECTED"
    assert found_in_tables(world, *SECRETS) == []


def test_limits_outlive_the_hour_that_they_are_about(world, zeb):
    for n in range(3):
        place(zeb, f"declined-{n}", paymentToken="tok_decline")
    erase(zeb)
    world.settle_down(10)
    (counts,) = [item for item in world.items("LimitsTable") if USER in item["id"]]
    assert counts["declines"] == 3
    finish(world)
    assert [item for item in world.items("LimitsTable") if USER in item["id"]] == []


def test_an_erasure_does_not_reset_the_limit_on_address_changes(world, zeb):
    for n in range(25):
        put(zeb, email=f"zeb{n}@example.com")
        world.queues.until_quiet()
    assert put(zeb, email="zeb@example.org").status == 429
    assert erase(zeb).status == 202
    finish(world)
    assert put(zeb).status == 429
    world.clock.forward(24 * HOUR)
    assert put(zeb).status == 200


def test_refunds_work_after_the_erasure(world, zeb):
    order_id = shipped(world, zeb)
    erase(zeb)
    finish(world)
    sent = len(world.mails())

    assert world.program("refunds:write").refund(order_id, amount=100).status == 201
    world.queues.until_quiet()

    (refund,) = world.order(order_id)["refunds"].values()
    assert refund["state"] == "refunded"
    # the events name the random user, and no mail is sent or missing
    refunded = world.events()[-1]
    assert refunded["DetailType"] == "order_refunded"
    assert refunded["Detail"]["data"]["userId"] == world.order(order_id)["userId"]
    assert len(world.mails()) == sent
    assert world.queues.busy() == []


def test_an_erased_customer_is_not_brought_back_by_events(world, zeb):
    order_id = shipped(world, zeb)
    events = list(world.events())
    erase(zeb)
    finish(world)
    erased, sent = stored(world), len(world.mails())

    for event in events:
        for function in ("EmailsFunction", "FulfillmentFunction", "SettlementFunction", "AnalyticsFunction"):
            world.queues.send(function, replayed(event))
    world.until_quiet()

    assert stored(world) == erased
    assert len(world.mails()) == sent
    assert world.order(order_id)["shippingAddress"]["name"] == "erased"


def test_an_unfinished_erasure_has_no_age_while_it_waits(world, zeb):
    erase(zeb)
    world.settle_down(20)
    report = world.sweep()
    assert report["SweepFailures"] == 0
    assert stored(world)["erasingSince"]
    assert stored(world)["unfinishedSince"] > world.clock.ms


def test_notices_of_a_changed_address_are_still_sent_while_erasing(world, zeb):
    """Else a thief of an account could change its address and erase it before its owner is told."""
    world.queues.until_quiet()
    put(zeb, email="thief@example.com")
    assert erase(zeb).status == 202
    world.queues.until_quiet("EmailsFunction")

    notified = [mail["to"] for mail in world.mails() if "address was changed" in mail["subject"]]
    assert notified[-2:] == ["zeb@example.com", "thief@example.com"]
    finish(world)
    assert found_in_tables(world, "thief@example.com", *SECRETS) == []
