"""What merchants and banks do to payments at the provider: the order follows, told by the provider's event."""

import pytest

from dev.simulated import wire
from dev.simulated.world import MUG, body
from tests.support import invariants, provider_events
from tests.support.merchant import Merchant


@pytest.fixture
def merchant(world):
    return Merchant(world)


@pytest.fixture
def hear(world):
    """Deliver the provider's event about an order's payment, twice, as providers do."""

    def deliver(order_id):
        for _ in range(2):
            hear.count += 1
            provider_events.publish(world, order_id, f"evt_{hear.count}")
        world.queues.until_quiet("SettlementFunction")

    hear = deliver
    deliver.count = 0
    return deliver


def payment(world, order_id):
    return world.order(order_id)["payment"]


def pack(world, order_id):
    """Deliver all events: the order is packed, and its payment captured."""
    world.queues.until_quiet()
    assert world.order(order_id)["status"] == "PREPARED"


def shipment(world, order_id):
    return world.item("ShipmentsTable", orderId=order_id)["state"]


def sales(world):
    """The revenue that analytics has counted, over all days."""
    total = [item for item in world.items("SalesTable") if item.get("entry") == "all"]
    return sum(item["revenue"] for item in total)


def mails(world, subject):
    return [mail["text"] for mail in world.mails() if mail["subject"] == subject]


# --- the hold ---------------------------------------------------------------------------------------------------------


def test_a_hold_that_is_lost_cancels_the_order_with_a_mail(world, order_id, merchant, hear):
    world.queues.until_quiet("EmailsFunction", "AnalyticsFunction")
    assert merchant.cancel(order_id)

    hear(order_id)
    world.queues.until_quiet()

    order = world.order(order_id)
    assert (order["status"], order["payment"]["state"]) == ("CANCELLED", "voided")
    assert order["cancellation"]["by"] == "shop"
    assert world.available() == 10
    assert world.event_types().count("order_cancelled") == 1
    (mail,) = mails(world, "Your order is cancelled")
    assert "We have cancelled your order." in mail
    assert "Reason: The payment was cancelled, or its hold has expired." in mail
    assert "You were not charged, and the amount held is released." in mail
    assert world.items("ShipmentsTable") == []
    invariants.nothing_is_unfinished(world)


def test_a_hold_that_is_lost_after_packing_is_a_refused_capture(world, order_id, merchant, printed):
    world.queues.until_quiet("FulfillmentFunction")
    assert merchant.cancel(order_id)

    world.queues.until_quiet("SettlementFunction")

    assert payment(world, order_id)["state"] == "failed"
    assert shipment(world, order_id) == "prepared"
    assert printed()["PaymentsFailed"].values == [1.0]


# --- captures ---------------------------------------------------------------------------------------------------------


def test_a_capture_at_the_provider_is_recorded_and_packing_releases_the_goods(world, order_id, merchant, hear):
    assert merchant.capture(order_id)
    hear(order_id)
    order = world.order(order_id)
    assert (order["status"], order["payment"]["state"], order["payment"]["captured"]) == ("PLACED", "captured", 1250)

    pack(world, order_id)

    assert shipment(world, order_id) == "released"
    assert world.event_types().count("shipment_released") == 1
    assert "reason" not in payment(world, order_id)


def test_a_capture_at_the_provider_can_still_be_cancelled_and_is_refunded(world, api, order_id, merchant, hear):
    assert merchant.capture(order_id)
    hear(order_id)

    assert api.cancel(order_id).status == 200
    world.until_quiet()

    assert api.get(f"/orders/{order_id}").json["refunded"] == 1250
    assert world.available() == 10
    invariants.nothing_is_unfinished(world)


@pytest.mark.parametrize("heard", [True, False])
def test_a_capture_of_a_part_releases_nothing_and_raises_an_alarm(world, order_id, merchant, hear, printed, heard):
    assert merchant.capture(order_id, 500)
    printed()
    if heard:
        hear(order_id)
        assert payment(world, order_id)["reason"] == "captured 500 of 1250"
        assert printed()["PaymentsFailed"].values == [1.0]

    pack(world, order_id)

    assert (payment(world, order_id)["state"], payment(world, order_id)["captured"]) == ("captured", 500)
    assert payment(world, order_id)["reason"] == "captured 500 of 1250"
    assert shipment(world, order_id) == "prepared"
    assert "shipment_released" not in world.event_types()
    assert printed()["PaymentsFailed"].values == [1.0]
    assert mails(world, "Your order is on its way") == []


# --- refunds ----------------------------------------------------------------------------------------------------------


def test_a_refund_at_the_provider_is_mailed_and_counted_once(world, api, shipped, merchant, hear):
    before = sales(world)
    assert merchant.refund(shipped, 500)

    hear(shipped)
    hear(shipped)
    world.queues.until_quiet()

    (refund,) = api.get(f"/orders/{shipped}").json["refunds"]
    assert (refund["amount"], refund["state"], refund["reason"]) == (500, "refunded", "Refunded by the shop.")
    (mail,) = mails(world, "Your refund")
    assert "We have refunded €5.00 of your order." in mail
    assert "Refunded so far: €5.00 of €57.50." in mail
    assert "Reason:" not in mail
    assert sales(world) == before - 500
    assert world.event_types().count("order_refunded") == 1
    assert world.program("refunds:write").refund(shipped, amount=5251).problem == "refund-too-large"


def test_refunds_at_the_provider_and_of_the_shop_are_both_counted(world, api, shipped, merchant, hear):
    before = sales(world)
    assert world.program("refunds:write").refund(shipped, amount=700).status == 201
    world.queues.until_quiet()
    assert merchant.refund(shipped, 500)
    hear(shipped)
    world.queues.until_quiet()

    assert api.get(f"/orders/{shipped}").json["refunded"] == 1200
    assert sales(world) == before - 1200
    assert world.ledger("refund").keys() == {shipped}


def test_a_refund_that_the_bank_returns_is_failed_and_the_sales_are_right_once_it_is_made_again(
    world, api, shipped, merchant, hear, printed
):
    # GIVEN a refund that the bank has returned
    before = sales(world)
    assert world.program("refunds:write").refund(shipped, amount=500).status == 201
    world.queues.until_quiet()
    assert merchant.return_refund(shipped)
    printed()
    hear(shipped)
    order = api.get(f"/orders/{shipped}").json
    assert ([refund["state"] for refund in order["refunds"]], order["refunded"]) == (["failed"], 0)
    assert printed()["PaymentsFailed"].values == [1.0]

    # WHEN the shop makes it again
    assert world.program("refunds:write").refund(shipped, key="again", amount=500).status == 201
    world.queues.until_quiet()

    # THEN it is subtracted once
    assert api.get(f"/orders/{shipped}").json["refunded"] == 500
    assert sales(world) == before - 500


def test_goods_are_not_released_after_a_refund_of_everything(world, order_id, merchant, hear):
    assert merchant.capture(order_id)
    assert merchant.refund(order_id, 1250)
    hear(order_id)

    pack(world, order_id)

    assert payment(world, order_id)["reason"] == "refunded before the release"
    assert shipment(world, order_id) == "prepared"


# --- disputes ---------------------------------------------------------------------------------------------------------


def disputed_before_release(world, order_id, merchant, hear):
    """A captured order, disputed before it was packed."""
    assert merchant.capture(order_id)
    assert merchant.dispute(order_id)
    hear(order_id)
    pack(world, order_id)
    assert payment(world, order_id)["reason"] == "the payment is disputed"
    assert shipment(world, order_id) == "prepared"


def test_a_dispute_holds_back_the_goods_and_is_published_and_counted(world, api, order_id, merchant, hear, printed):
    printed()
    disputed_before_release(world, order_id, merchant, hear)

    shown = api.get(f"/orders/{order_id}").json["dispute"]
    assert (shown["state"], shown["amount"]) == ("open", 1250)
    assert world.event_types().count("payment_disputed") == 1
    assert "shipment_released" not in world.event_types()


def test_a_dispute_of_released_goods_is_recorded(world, api, shipped, merchant, hear, printed):
    assert merchant.dispute(shipped)
    printed()

    hear(shipped)

    assert api.get(f"/orders/{shipped}").json["history"][-1]["dispute"] == "open"
    assert printed()["PaymentsDisputed"].values == [1.0]
    assert shipment(world, shipped) == "released"


def test_a_dispute_that_is_won_releases_the_goods(world, api, order_id, merchant, hear):
    disputed_before_release(world, order_id, merchant, hear)
    assert merchant.decide(order_id, "won")

    hear(order_id)
    world.queues.until_quiet()

    assert api.get(f"/orders/{order_id}").json["dispute"]["state"] == "won"
    assert shipment(world, order_id) == "released"
    assert world.event_types().count("shipment_released") == 1
    assert world.event_types().count("payment_disputed") == 2
    assert len(mails(world, "Your order is on its way")) == 1
    invariants.nothing_is_unfinished(world)


def test_a_dispute_that_is_lost_releases_nothing(world, api, order_id, merchant, hear):
    disputed_before_release(world, order_id, merchant, hear)
    assert merchant.decide(order_id, "lost")

    hear(order_id)
    world.settle_down(5)

    assert api.get(f"/orders/{order_id}").json["dispute"]["state"] == "lost"
    assert shipment(world, order_id) == "prepared"
    assert "shipment_released" not in world.event_types()
    assert world.event_types().count("payment_disputed") == 2


# --- events without effect --------------------------------------------------------------------------------------------


def test_an_event_about_an_unchanged_or_unknown_payment_changes_nothing(world, shipped, hear):
    before = world.order(shipped)

    hear(shipped)
    provider_events.publish_about(world, "pi_of_another_shop")
    world.queues.until_quiet("SettlementFunction")

    assert world.order(shipped) == before
    assert world.queues.dead_letters("SettlementFunction") == []


def test_an_event_before_the_answer_of_the_authorization_is_handled_later(world, api):
    acting = body(token="tok_action", customerAction=True)

    def event_arrives():
        (order,) = world.items("OrdersTable")
        Merchant(world).act(order["orderId"])
        provider_events.publish(world, order["orderId"])
        world.queues.deliver("SettlementFunction")

    # GIVEN the provider's event arrives before the order knows its payment
    api.get("/catalog")
    world.wire.on("dynamodb.UpdateItem", wire.meanwhile(event_arrives), where=world.touching("OrdersTable"))
    answer = api.place(acting)

    # THEN the order waits first, and is placed once the event is delivered again
    assert answer.status == 202
    world.until_quiet()
    assert world.event_types().count("order_placed") == 1
    assert world.order(answer.json["orderId"])["payment"]["state"] == "captured"
    assert world.available(MUG) == 9
