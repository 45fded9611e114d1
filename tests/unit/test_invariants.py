"""The invariants of a quiet system: each one reports the violations that it has to find."""

from collections import Counter
from dataclasses import replace

import pytest

from dev import invariants
from dev.invariants import Harm, Snapshot

LOADED = {"MUG": 10, "TEA": 5}
DAY = "2026-11-23"


def order(order_id, status, *steps, mugs=1, payment="captured", **more):
    placed = {"placedAt": "2026-11-23T10:00:00.000Z"} if "PLACED" in steps else {}
    history = [
        {"sequence": n, "status": step, "transitionId": f"{order_id}-{n}"} for n, step in enumerate(("PENDING", *steps))
    ]
    if payment != "none":
        history[-1]["payment"] = payment
    return {
        "orderId": order_id,
        "userId": "ada",
        "sequence": len(steps),
        "status": status,
        "lines": [{"sku": "MUG", "quantity": mugs, "unitPrice": 1290}],
        "total": mugs * 1290,
        "payment": {"state": payment},
        "outbox": {},
        "history": history,
        **placed,
        **more,
    }


def entry(kind, order_id, *, state="", amount=1290):
    return {"key": f"{order_id}-{kind}", "kind": kind, "orderId": order_id, "amount": amount, "state": state}


def mail(order_id, word):
    return f"Your order is {word}", order_id


KEPT, GONE, DECLINED = (f"ord_{letter * 26}" for letter in "abc")


@pytest.fixture
def snapshot():
    """Three orders in a quiet shop without violations: one kept, one cancelled, one with a declined payment."""
    return Snapshot(
        orders=[
            order(KEPT, "PREPARED", "PLACED", "PREPARED", mugs=2),
            order(GONE, "CANCELLED", "PLACED", "CANCELLED", payment="voided"),
            order(DECLINED, "REJECTED", "REJECTED", payment="failed"),
        ],
        products=[{"sku": "MUG", "available": 8}, {"sku": "TEA", "available": 5}],
        customers=[{"userId": "ada", "email": "ada@example.com"}],
        shipments=[{"orderId": KEPT, "state": "released"}],
        ledger=[
            entry("authorise", KEPT, state="capture", amount=2580),
            entry("capture", KEPT),
            entry("authorise", GONE, state="void"),
            entry("void", GONE),
            entry("authorise", DECLINED, state="declined"),
        ],
        sales={
            (DAY, "all"): Counter(orders=1, units=2, revenue=2580),
            (DAY, "sku#MUG"): Counter(orders=1, units=2, revenue=2580),
        },
        mails=[
            mail(KEPT, "confirmed"),
            mail(KEPT, "on its way"),
            mail(GONE, "confirmed"),
            mail(GONE, "cancelled"),
            ("Your e-mail address was changed", ""),
        ],
    )


def found(snapshot, answered=()):
    answers = [{"orderId": order_id} for order_id in answered]
    return [(violation.harm, violation.what) for violation in invariants.check(snapshot, LOADED, answers)]


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


def test_a_sound_snapshot_has_no_violations(snapshot):
    assert found(snapshot, answered=[KEPT, GONE]) == []


def test_the_confirmation_of_a_cancelled_order_is_optional(snapshot):
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
def test_an_unpublished_event_or_a_due_payment_is_lost(snapshot, values, what):
    assert found(replace(snapshot, orders=changed(snapshot.orders, KEPT, **values))) == [(Harm.LOST, f"{KEPT} {what}")]


@pytest.mark.parametrize(("status", "steps"), [("PENDING", ()), ("PLACED", ("PLACED",))])
def test_an_abandoned_order_is_lost(snapshot, status, steps):
    stuck = order("ord_stuck", status, *steps, payment="none")
    orders, ledger = [*snapshot.orders, stuck], [*snapshot.ledger, entry("authorise", "ord_stuck", state="held")]

    assert (Harm.LOST, f"ord_stuck is {status}") in found(replace(snapshot, orders=orders, ledger=ledger))


def test_an_order_that_differs_from_its_answer_is_wrong(snapshot):
    answer = {"orderId": KEPT, "lines": snapshot.orders[0]["lines"], "total": 1}

    violations = invariants.answers_are_kept(snapshot, [answer])

    assert [violation.what for violation in violations] == [f"{KEPT} differs from its answer"]


def test_an_unpublished_event_of_a_customer_is_lost(snapshot):
    customers = [{"userId": "ada", "email": "ada@example.com", "outbox": {"1": {}}}]

    assert found(replace(snapshot, customers=customers)) == [(Harm.LOST, "ada has events to publish")]


@pytest.mark.parametrize("key", ["unfinished", "dueAt", "unfinishedSince"])
def test_a_finished_item_in_the_index_is_wrong(snapshot, key):
    orders = changed(snapshot.orders, KEPT, **{key: 1})
    customers = [{"userId": "ada", key: 1}]

    violations = invariants.index_is_empty(replace(snapshot, orders=orders, customers=customers))

    assert [violation.what for violation in violations] == [
        f"{KEPT} is still in the index",
        "ada is still in the index",
    ]


def test_waiting_messages_and_dead_letters_are_lost(snapshot):
    busy = replace(snapshot, waiting={"emails": 2, "analytics": 0}, dead_letters={"emails": 0, "analytics": 1})

    assert [violation.what for violation in invariants.queues_are_empty(busy)] == [
        "emails: 2 messages still waiting",
        "analytics: 1 dead letters",
    ]


@pytest.mark.parametrize(
    "history",
    [
        [{"sequence": 0, "status": "PENDING"}, {"sequence": 2, "status": "PLACED"}],
        [{"sequence": 0, "status": "PENDING"}, {"sequence": 1, "status": "PREPARED", "payment": "captured"}],
        [
            {"sequence": 0, "status": "PENDING"},
            {"sequence": 1, "status": "PLACED"},
            {"sequence": 2, "status": "PLACED"},
        ],
        [{"sequence": 0, "status": "PENDING"}, {"sequence": 1, "status": "PLACED", "payment": "failed"}],
    ],
    ids=["gap", "skipped status", "repeated status", "other payment"],
)
def test_an_impossible_history_is_wrong(snapshot, history):
    steps = [entry | {"transitionId": str(n)} for n, entry in enumerate(history)]
    last = steps[-1]
    orders = changed(snapshot.orders, KEPT, history=steps, status=last["status"], sequence=last["sequence"])

    violations = invariants.histories_are_sound(replace(snapshot, orders=orders))

    assert [violation.what for violation in violations] == [f"{KEPT} has an impossible history"]


def published(order_id, sequence, detail_type, **data):
    metadata = {"eventId": f"{order_id}-{sequence}"}
    return {"Source": "handoff.orders", "DetailType": detail_type, "Detail": {"metadata": metadata, "data": data}}


def test_missing_unknown_and_large_events_are_reported(snapshot):
    events = [
        published(KEPT, 1, "order_placed"),
        published(KEPT, 2, "shipment_prepared", note="x" * 1024),
        published(GONE, 1, "order_placed"),
        published(DECLINED, 1, "order_cancelled"),
    ]

    violations = invariants.every_event_is_published(replace(snapshot, events=events))

    assert [(violation.harm, violation.what) for violation in violations] == [
        (Harm.LOST, f"order_cancelled {GONE}-2 is not published"),
        (Harm.WRONG, f"order_cancelled {DECLINED}-1 is published and did not happen"),
        (Harm.WRONG, f"{KEPT}-2 is over 1024 bytes"),
    ]


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


def test_a_missing_product_is_wrong(snapshot):
    assert found(replace(snapshot, products=without(snapshot.products, sku="TEA"))) == [
        (Harm.WRONG, "TEA: None available of 5, with 0 in orders")
    ]


def test_a_product_that_was_not_loaded_is_wrong(snapshot):
    products = [*snapshot.products, {"sku": "CUP", "available": 1}]

    assert found(replace(snapshot, products=products)) == [(Harm.WRONG, "CUP was not loaded")]


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


def test_a_placed_order_without_a_hold_is_lost(snapshot):
    ledger = without(snapshot.ledger, kind="authorise", orderId=KEPT)

    assert found(replace(snapshot, ledger=ledger)) == [(Harm.LOST, f"{KEPT} has no hold")]


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

    assert found(replace(snapshot, shipments=shipments)) == [(Harm.LOST, f"{KEPT} is paid and not released")]


def test_a_shipment_released_before_it_is_paid_is_wrong(snapshot):
    orders = changed(snapshot.orders, KEPT, payment={"state": "authorised"})

    violations = invariants.shipments_are_paid(replace(snapshot, orders=orders))

    assert [violation.what for violation in violations] == [f"{KEPT} is released and not paid"]


@pytest.mark.parametrize(("counted", "harm"), [(1, Harm.LOST), (3, Harm.DOUBLED)])
@pytest.mark.parametrize("sold", ["all", "sku#MUG"])
def test_sales_counted_too_few_are_lost_and_too_many_doubled(snapshot, sold, counted, harm):
    sales = snapshot.sales | {(DAY, sold): Counter(orders=1, units=counted, revenue=2580)}

    assert found(replace(snapshot, sales=sales)) == [
        (harm, f"sales of {sold} on {DAY}: {counted} units counted, 2 in the orders")
    ]


def test_sales_without_an_order_are_doubled(snapshot):
    sales = snapshot.sales | {(DAY, "sku#TEA"): Counter(orders=0, units=1, revenue=0)}

    assert found(replace(snapshot, sales=sales)) == [
        (Harm.DOUBLED, f"sales of sku#TEA on {DAY}: 1 units counted, 0 in the orders")
    ]


@pytest.mark.parametrize(("order_id", "word"), [(KEPT, "confirmed"), (KEPT, "on its way"), (GONE, "cancelled")])
def test_a_mail_that_was_not_sent_is_lost(snapshot, order_id, word):
    mails = [each for each in snapshot.mails if each != mail(order_id, word)]

    assert found(replace(snapshot, mails=mails)) == [(Harm.LOST, f"{order_id} has no mail 'Your order is {word}'")]


@pytest.mark.parametrize(
    "customer", [{"userId": "ada"}, {"userId": "ada", "email": "a@b.example", "emailProblem": "x"}]
)
def test_mails_to_a_customer_without_a_usable_address_are_optional(snapshot, customer):
    assert found(replace(snapshot, customers=[customer], mails=[])) == []


def test_each_additional_mail_is_a_doubled_mail(snapshot):
    mails = [*snapshot.mails, *[mail(KEPT, "confirmed")] * 2]

    assert found(replace(snapshot, mails=mails)) == [
        (Harm.DOUBLED_MAIL, f"{KEPT} has one more mail 'Your order is confirmed'")
    ] * 2  # fmt: skip


def test_a_mail_about_a_step_that_never_happened_is_wrong(snapshot):
    mails = [*snapshot.mails, mail(DECLINED, "confirmed")]

    assert found(replace(snapshot, mails=mails)) == [(Harm.WRONG, f"{DECLINED} has a mail 'Your order is confirmed'")]


def test_harms_are_counted_by_kind(snapshot):
    violations = invariants.check(replace(snapshot, shipments=[], mails=[]), LOADED)

    assert invariants.harms(violations) == {Harm.LOST: 4}
