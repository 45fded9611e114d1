"""The invariants of a quiet deployment: each one reports the violations that it is there to find."""

from collections import Counter
from dataclasses import replace

import pytest

from dev.demo.orders import Snapshot
from dev.drills import invariants
from dev.drills.invariants import Harm

LOADED = {"MUG": 10, "TEA": 5}


def order(order_id, status, *steps, mugs=1, payment="captured", **more):
    placed = {"placedAt": "2026-11-23T10:00:00.000Z"} if "PLACED" in steps else {}
    return {
        "orderId": order_id,
        "status": status,
        "lines": [{"sku": "MUG", "quantity": mugs, "unitPrice": 1290}],
        "total": mugs * 1290,
        "payment": {"state": payment},
        "outbox": {},
        "history": [{"status": step} for step in ("PENDING", *steps)],
        **placed,
        **more,
    }


def entry(kind, order_id, *, state="", amount=1290):
    return {"key": f"{order_id}-{kind}", "kind": kind, "orderId": order_id, "amount": amount, "state": state}


def mail(order_id, word):
    return {"Subject": f"Your order is {word}", "Body": f"... Order {order_id}"}


KEPT, GONE, DECLINED = (f"ord_{letter * 26}" for letter in "abc")


@pytest.fixture
def snapshot():
    """Three orders in a quiet shop where all is well: one kept, one cancelled, one whose payment was declined."""
    return Snapshot(
        orders=[
            order(KEPT, "PREPARED", "PLACED", "PREPARED", mugs=2),
            order(GONE, "CANCELLED", "PLACED", "CANCELLED", payment="voided"),
            order(DECLINED, "REJECTED", "REJECTED", payment="failed"),
        ],
        products=[{"sku": "MUG", "available": 8}, {"sku": "TEA", "available": 5}],
        shipments=[{"orderId": KEPT, "state": "released"}],
        ledger=[
            entry("authorise", KEPT, state="capture", amount=2580),
            entry("capture", KEPT),
            entry("authorise", GONE, state="void"),
            entry("void", GONE),
            entry("authorise", DECLINED, state="declined"),
        ],
        sales={
            "all": Counter(orders=1, units=2, revenue=2580),
            "sku#MUG": Counter(orders=1, units=2, revenue=2580),
        },
        mails=[
            mail(KEPT, "confirmed"),
            mail(KEPT, "on its way"),
            mail(GONE, "confirmed"),
            mail(GONE, "cancelled"),
            {"Subject": "Your e-mail address was changed", "Body": "Hello"},
        ],
        lags={},
        waiting={},
        dead_letters={},
    )


def found(snapshot, answered=()):
    return [(violation.harm, violation.what) for violation in invariants.check(snapshot, LOADED, answered)]


def without(items, **wanted):
    """The items but those with these values."""
    left = [item for item in items if any(item.get(name) != value for name, value in wanted.items())]
    assert len(left) < len(items)
    return left


def changed(items, order_id, kind=None, **values):
    """The items, with other values in the one of this order (and of this kind)."""
    hit = [item for item in items if item["orderId"] == order_id and kind in (None, item.get("kind"))]
    assert len(hit) == 1
    return [item | values if item is hit[0] else item for item in items]


def test_a_quiet_shop_where_all_is_well_has_no_violations(snapshot):
    assert found(snapshot, answered=[KEPT, GONE]) == []


def test_a_cancelled_order_may_do_without_its_confirmation(snapshot):
    mails = [each for each in snapshot.mails if each != mail(GONE, "confirmed")]

    assert found(replace(snapshot, mails=mails)) == []


@pytest.mark.parametrize("missing", ["ord_never_stored", DECLINED])
def test_an_answered_order_that_was_never_placed_is_lost(snapshot, missing):
    assert found(snapshot, answered=[missing]) == [(Harm.LOST, f"{missing} was answered with 201 and does not exist")]


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"outbox": {"2": {}}}, "has events to publish"),
        ({"paymentDue": {"action": "capture"}}, "has a payment due"),
    ],
)
def test_what_is_unfinished_is_lost(snapshot, values, what):
    assert found(replace(snapshot, orders=changed(snapshot.orders, KEPT, **values))) == [(Harm.LOST, f"{KEPT} {what}")]


@pytest.mark.parametrize(("status", "steps"), [("PENDING", ()), ("PLACED", ("PLACED",))])
def test_an_order_that_nobody_goes_on_with_is_lost(snapshot, status, steps):
    stuck = order("ord_stuck", status, *steps, payment="none")
    orders, ledger = [*snapshot.orders, stuck], [*snapshot.ledger, entry("authorise", "ord_stuck", state="held")]

    assert (Harm.LOST, f"ord_stuck is {status}") in found(replace(snapshot, orders=orders, ledger=ledger))


@pytest.mark.parametrize("order_id", [KEPT, GONE, DECLINED])
def test_a_payment_token_on_a_settled_order_is_wrong(snapshot, order_id):
    orders = changed(snapshot.orders, order_id, paymentToken="tok_approve")

    assert found(replace(snapshot, orders=orders)) == [(Harm.WRONG, f"{order_id} still has its payment token")]


@pytest.mark.parametrize("available", [7, 9])
def test_stock_that_does_not_add_up_is_wrong(snapshot, available):
    products = [{"sku": "MUG", "available": available}, {"sku": "TEA", "available": 5}]

    assert found(replace(snapshot, products=products)) == [
        (Harm.WRONG, f"MUG: {available} available of 10, with 2 in orders")
    ]


def test_a_product_that_has_gone_is_wrong(snapshot):
    assert found(replace(snapshot, products=without(snapshot.products, sku="TEA"))) == [
        (Harm.WRONG, "TEA: None available of 5, with 0 in orders")
    ]


def test_oversold_stock_is_wrong(snapshot):
    violations = invariants.stock_adds_up(replace(snapshot, products=[{"sku": "MUG", "available": -1}]), {"MUG": 1})

    assert [violation.what for violation in violations] == ["MUG: -1 are available"]


def test_a_reservation_counts_as_taken(snapshot):
    orders = [*snapshot.orders, order("ord_pending", "PENDING", mugs=3)]
    products = [{"sku": "MUG", "available": 5}, {"sku": "TEA", "available": 5}]

    assert invariants.stock_adds_up(replace(snapshot, orders=orders, products=products), LOADED) == []


def test_a_second_hold_is_doubled(snapshot):
    ledger = [*snapshot.ledger, entry("authorise", KEPT, state="capture", amount=2580)]

    assert found(replace(snapshot, ledger=ledger)) == [(Harm.DOUBLED, f"{KEPT} has 2 holds")]


def test_a_hold_without_an_order_is_wrong(snapshot):
    ledger = [*snapshot.ledger, entry("authorise", "ord_none", state="held")]

    assert found(replace(snapshot, ledger=ledger)) == [(Harm.WRONG, "a hold for ord_none, which does not exist")]


def test_a_hold_that_outlives_its_order_is_wrong(snapshot):
    ledger = changed(snapshot.ledger, DECLINED, state="held")

    assert found(replace(snapshot, ledger=ledger)) == [(Harm.WRONG, f"{DECLINED} is REJECTED, its hold is held")]


def test_a_hold_over_another_amount_is_wrong(snapshot):
    ledger = changed(snapshot.ledger, KEPT, "authorise", amount=1)

    assert found(replace(snapshot, ledger=ledger)) == [(Harm.WRONG, f"{KEPT} holds 1 for a total of 2580")]


@pytest.mark.parametrize(
    ("kind", "order_id", "what"),
    [("capture", KEPT, "is prepared and not captured"), ("void", GONE, "is cancelled and not voided")],
)
def test_a_payment_that_was_never_settled_is_lost(snapshot, kind, order_id, what):
    ledger = without(snapshot.ledger, kind=kind)

    assert found(replace(snapshot, ledger=ledger)) == [(Harm.LOST, f"{order_id} {what}")]


@pytest.mark.parametrize(("kind", "order_id"), [("capture", KEPT), ("void", GONE)])
def test_a_payment_settled_twice_is_doubled(snapshot, kind, order_id):
    ledger = [*snapshot.ledger, entry(kind, order_id)]

    assert found(replace(snapshot, ledger=ledger)) == [(Harm.DOUBLED, f"{order_id} has 2 {kind}s")]


def test_a_capture_of_a_cancelled_order_is_wrong(snapshot):
    ledger = [*snapshot.ledger, entry("capture", GONE)]

    assert found(replace(snapshot, ledger=ledger)) == [(Harm.WRONG, f"{GONE} is captured, not prepared")]


def test_a_missing_shipment_is_lost(snapshot):
    assert found(replace(snapshot, shipments=[])) == [(Harm.LOST, f"{KEPT} is prepared and has no shipment")]


def test_a_shipment_of_a_cancelled_order_is_wrong(snapshot):
    shipments = [*snapshot.shipments, {"orderId": GONE, "state": "prepared"}]

    assert found(replace(snapshot, shipments=shipments)) == [(Harm.WRONG, f"{GONE} has a shipment and is not prepared")]


def test_a_shipment_that_is_not_released_is_lost(snapshot):
    shipments = [{"orderId": KEPT, "state": "prepared"}]

    assert found(replace(snapshot, shipments=shipments)) == [(Harm.LOST, f"{KEPT} is prepared and not released")]


def test_a_shipment_released_before_it_is_paid_is_wrong(snapshot):
    orders = changed(snapshot.orders, KEPT, payment={"state": "authorised"})

    assert found(replace(snapshot, orders=orders)) == [(Harm.WRONG, f"{KEPT} is released and not paid")]


@pytest.mark.parametrize(("counted", "harm"), [(1, Harm.LOST), (3, Harm.DOUBLED)])
@pytest.mark.parametrize("sold", ["all", "sku#MUG"])
def test_sales_counted_too_few_are_lost_and_too_many_doubled(snapshot, sold, counted, harm):
    sales = snapshot.sales | {sold: Counter(orders=1, units=counted, revenue=2580)}

    assert found(replace(snapshot, sales=sales)) == [
        (harm, f"sales of {sold}: {counted} units counted, 2 in the orders")
    ]


def test_sales_of_what_nobody_ordered_are_doubled(snapshot):
    sales = snapshot.sales | {"sku#TEA": Counter(orders=0, units=1, revenue=0)}

    assert found(replace(snapshot, sales=sales)) == [
        (Harm.DOUBLED, "sales of sku#TEA: 1 units counted, 0 in the orders")
    ]


@pytest.mark.parametrize(("order_id", "word"), [(KEPT, "confirmed"), (KEPT, "on its way"), (GONE, "cancelled")])
def test_a_mail_that_was_not_sent_is_lost(snapshot, order_id, word):
    mails = [each for each in snapshot.mails if each != mail(order_id, word)]

    assert found(replace(snapshot, mails=mails)) == [(Harm.LOST, f"{order_id} has no mail saying {word!r}")]


def test_each_mail_too_many_is_a_doubled_mail(snapshot):
    mails = [*snapshot.mails, *[mail(KEPT, "confirmed")] * 2]

    assert found(replace(snapshot, mails=mails)) == [
        (Harm.DOUBLED_MAIL, f"{KEPT} has one more mail saying 'confirmed'")
    ] * 2  # fmt: skip


def test_a_mail_about_what_never_happened_is_wrong(snapshot):
    mails = [*snapshot.mails, mail(DECLINED, "confirmed")]

    assert found(replace(snapshot, mails=mails)) == [(Harm.WRONG, f"{DECLINED} has a mail saying 'confirmed'")]


def test_harms_are_counted_by_kind(snapshot):
    violations = invariants.check(replace(snapshot, shipments=[], mails=[]), LOADED)

    assert invariants.harms(violations) == {Harm.LOST: 4}
