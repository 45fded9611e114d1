"""The audit of a quiet deployment: each invariant goes red on what it is there to find."""

from collections import Counter
from dataclasses import replace

import pytest

from dev.demo.orders import Outcome
from dev.drills import invariants as audit
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
def outcome():
    """Three orders in a quiet shop where all is well: one kept, one cancelled, one whose payment was declined."""
    return Outcome(
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


def found(outcome, answered=()):
    return [(violation.harm, violation.what) for violation in audit.check(outcome, LOADED, answered)]


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


def test_a_quiet_shop_where_all_is_well_has_no_violations(outcome):
    assert found(outcome, answered=[KEPT, GONE]) == []


def test_a_cancelled_order_may_do_without_its_confirmation(outcome):
    mails = [each for each in outcome.mails if each != mail(GONE, "confirmed")]

    assert found(replace(outcome, mails=mails)) == []


@pytest.mark.parametrize("missing", ["ord_never_stored", DECLINED])
def test_an_answered_order_that_was_never_placed_is_lost(outcome, missing):
    assert found(outcome, answered=[missing]) == [(Harm.LOST, f"{missing} was answered with 201 and is not there")]


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"outbox": {"2": {}}}, "has events to publish"),
        ({"paymentDue": {"action": "capture"}}, "has a payment due"),
    ],
)
def test_what_is_unfinished_is_lost(outcome, values, what):
    assert found(replace(outcome, orders=changed(outcome.orders, KEPT, **values))) == [(Harm.LOST, f"{KEPT} {what}")]


@pytest.mark.parametrize(("status", "steps"), [("PENDING", ()), ("PLACED", ("PLACED",))])
def test_an_order_that_nobody_goes_on_with_is_lost(outcome, status, steps):
    stuck = order("ord_stuck", status, *steps, payment="none")
    orders, ledger = [*outcome.orders, stuck], [*outcome.ledger, entry("authorise", "ord_stuck", state="held")]

    assert (Harm.LOST, f"ord_stuck is {status}") in found(replace(outcome, orders=orders, ledger=ledger))


@pytest.mark.parametrize("order_id", [KEPT, GONE, DECLINED])
def test_a_payment_token_on_a_settled_order_is_wrong(outcome, order_id):
    orders = changed(outcome.orders, order_id, paymentToken="tok_approve")

    assert found(replace(outcome, orders=orders)) == [(Harm.WRONG, f"{order_id} still has its payment token")]


@pytest.mark.parametrize("available", [7, 9])
def test_stock_that_does_not_add_up_is_wrong(outcome, available):
    products = [{"sku": "MUG", "available": available}, {"sku": "TEA", "available": 5}]

    assert found(replace(outcome, products=products)) == [
        (Harm.WRONG, f"MUG: {available} available of 10, with 2 in orders")
    ]


def test_a_product_that_has_gone_is_wrong(outcome):
    assert found(replace(outcome, products=without(outcome.products, sku="TEA"))) == [
        (Harm.WRONG, "TEA: None available of 5, with 0 in orders")
    ]


def test_oversold_stock_is_wrong(outcome):
    violations = audit.stock_adds_up(replace(outcome, products=[{"sku": "MUG", "available": -1}]), {"MUG": 1})

    assert [violation.what for violation in violations] == ["MUG: -1 are available"]


def test_a_reservation_counts_as_taken(outcome):
    orders = [*outcome.orders, order("ord_pending", "PENDING", mugs=3)]
    products = [{"sku": "MUG", "available": 5}, {"sku": "TEA", "available": 5}]

    assert audit.stock_adds_up(replace(outcome, orders=orders, products=products), LOADED) == []


def test_a_second_hold_is_doubled(outcome):
    ledger = [*outcome.ledger, entry("authorise", KEPT, state="capture", amount=2580)]

    assert found(replace(outcome, ledger=ledger)) == [(Harm.DOUBLED, f"{KEPT} has 2 holds")]


def test_a_hold_without_an_order_is_wrong(outcome):
    ledger = [*outcome.ledger, entry("authorise", "ord_none", state="held")]

    assert found(replace(outcome, ledger=ledger)) == [(Harm.WRONG, "a hold for ord_none, which is not there")]


def test_a_hold_that_outlives_its_order_is_wrong(outcome):
    ledger = changed(outcome.ledger, DECLINED, state="held")

    assert found(replace(outcome, ledger=ledger)) == [(Harm.WRONG, f"{DECLINED} is REJECTED, its hold is held")]


def test_a_hold_over_another_amount_is_wrong(outcome):
    ledger = changed(outcome.ledger, KEPT, "authorise", amount=1)

    assert found(replace(outcome, ledger=ledger)) == [(Harm.WRONG, f"{KEPT} holds 1 for a total of 2580")]


@pytest.mark.parametrize(
    ("kind", "order_id", "what"),
    [("capture", KEPT, "is prepared and not captured"), ("void", GONE, "is cancelled and not voided")],
)
def test_a_payment_that_was_never_settled_is_lost(outcome, kind, order_id, what):
    ledger = without(outcome.ledger, kind=kind)

    assert found(replace(outcome, ledger=ledger)) == [(Harm.LOST, f"{order_id} {what}")]


@pytest.mark.parametrize(("kind", "order_id"), [("capture", KEPT), ("void", GONE)])
def test_a_payment_settled_twice_is_doubled(outcome, kind, order_id):
    ledger = [*outcome.ledger, entry(kind, order_id)]

    assert found(replace(outcome, ledger=ledger)) == [(Harm.DOUBLED, f"{order_id} has 2 {kind}s")]


def test_a_capture_of_a_cancelled_order_is_wrong(outcome):
    ledger = [*outcome.ledger, entry("capture", GONE)]

    assert found(replace(outcome, ledger=ledger)) == [(Harm.WRONG, f"{GONE} is captured, not prepared")]


def test_a_missing_shipment_is_lost(outcome):
    assert found(replace(outcome, shipments=[])) == [(Harm.LOST, f"{KEPT} is prepared and has no shipment")]


def test_a_shipment_of_a_cancelled_order_is_wrong(outcome):
    shipments = [*outcome.shipments, {"orderId": GONE, "state": "prepared"}]

    assert found(replace(outcome, shipments=shipments)) == [(Harm.WRONG, f"{GONE} has a shipment and is not prepared")]


def test_a_shipment_that_is_not_released_is_lost(outcome):
    shipments = [{"orderId": KEPT, "state": "prepared"}]

    assert found(replace(outcome, shipments=shipments)) == [(Harm.LOST, f"{KEPT} is prepared and not released")]


def test_a_shipment_released_before_it_is_paid_is_wrong(outcome):
    orders = changed(outcome.orders, KEPT, payment={"state": "authorised"})

    assert found(replace(outcome, orders=orders)) == [(Harm.WRONG, f"{KEPT} is released and not paid")]


@pytest.mark.parametrize(("counted", "harm"), [(1, Harm.LOST), (3, Harm.DOUBLED)])
@pytest.mark.parametrize("sold", ["all", "sku#MUG"])
def test_sales_counted_too_few_are_lost_and_too_many_doubled(outcome, sold, counted, harm):
    sales = outcome.sales | {sold: Counter(orders=1, units=counted, revenue=2580)}

    assert found(replace(outcome, sales=sales)) == [
        (harm, f"sales of {sold}: {counted} units counted, 2 in the orders")
    ]


def test_sales_of_what_nobody_ordered_are_doubled(outcome):
    sales = outcome.sales | {"sku#TEA": Counter(orders=0, units=1, revenue=0)}

    assert found(replace(outcome, sales=sales)) == [
        (Harm.DOUBLED, "sales of sku#TEA: 1 units counted, 0 in the orders")
    ]


@pytest.mark.parametrize(("order_id", "word"), [(KEPT, "confirmed"), (KEPT, "on its way"), (GONE, "cancelled")])
def test_a_mail_that_was_not_sent_is_lost(outcome, order_id, word):
    mails = [each for each in outcome.mails if each != mail(order_id, word)]

    assert found(replace(outcome, mails=mails)) == [(Harm.LOST, f"{order_id} was not told that it is {word}")]


def test_each_mail_too_many_is_a_doubled_mail(outcome):
    mails = [*outcome.mails, *[mail(KEPT, "confirmed")] * 2]

    assert found(replace(outcome, mails=mails)) == [
        (Harm.DOUBLED_MAIL, f"{KEPT} was told once more that it is confirmed")
    ] * 2  # fmt: skip


def test_a_mail_about_what_never_happened_is_wrong(outcome):
    mails = [*outcome.mails, mail(DECLINED, "confirmed")]

    assert found(replace(outcome, mails=mails)) == [(Harm.WRONG, f"{DECLINED} was told that it is confirmed")]


def test_harms_are_counted_by_kind(outcome):
    violations = audit.check(replace(outcome, shipments=[], mails=[]), LOADED)

    assert audit.harms(violations) == {Harm.LOST: 4}
