"""The invariants of a quiet system: each one reports the violations that it has to find."""

from collections import Counter
from dataclasses import replace

import pytest

from dev import invariants
from dev.invariants import Harm, Mail, Snapshot

LOADED = {"MUG": 10, "TEA": 5}
DAY, NEXT_DAY = "2026-11-23", "2026-11-24"
REFUND_MAIL, RETURN_MAIL = "Your refund", "We received your return request"
CAPTURED = {"payment": "captured"}


def order(order_id, *steps, mugs=1, **more):
    """An order with the first step PENDING and these; a step is a status, or what it changes besides the status."""
    placed = {"placedAt": "2026-11-23T10:00:00.000Z"} if "PLACED" in steps else {}
    history, payment = [], "none"
    for n, step in enumerate(("PENDING", *steps)):
        entry = {"status": step} if isinstance(step, str) else {"status": history[-1]["status"], **step}
        payment = entry.get("payment", payment)
        history.append({"sequence": n, "transitionId": f"{order_id}-{n}", **entry})
    return {
        "orderId": order_id,
        "userId": "ada",
        "sequence": len(steps),
        "status": history[-1]["status"],
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


def refund_entry(refund_id, order_id, **values):
    return entry("refund", order_id, state="refunded") | {"key": f"{order_id}:refund:{refund_id}"} | values


def mail(order_id, word):
    return Mail(f"Your order is {word}", order_id)


KEPT, GONE, DECLINED = (f"ord_{letter * 26}" for letter in "abc")


@pytest.fixture
def snapshot():
    """Three orders in a quiet shop without violations: one kept, one cancelled, one with a declined payment."""
    return Snapshot(
        orders=[
            order(KEPT, "PLACED", "PREPARED", CAPTURED, mugs=2),
            order(GONE, "PLACED", "CANCELLED", {"payment": "voided"}),
            order(DECLINED, {"status": "REJECTED", "payment": "failed"}),
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
            Mail("Your e-mail address was changed", ""),
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
    stuck = order("ord_stuck", *steps)
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
            {"sequence": 2, "status": "PREPARED"},
            {"sequence": 3, "status": "PREPARED"},
            {"sequence": 4, "status": "PREPARED", "payment": "captured"},
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
        published(KEPT, 3, "shipment_released"),
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


def with_shard(snapshot, **changes):
    """Return the snapshot with two of the mugs in a shard."""
    like = {"name": "Mug", "unitPrice": 1250}
    mug = {"sku": "MUG", "available": 6, "listed": True, "shards": 1} | like
    shard = {"sku": "MUG#1", "available": 2, "onSale": True} | like
    return replace(snapshot, products=[mug, *snapshot.products[1:], shard | changes])


def test_units_in_shards_are_available(snapshot):
    assert found(with_shard(snapshot)) == []


@pytest.mark.parametrize("change", [{"name": "Cup"}, {"unitPrice": 1}, {"onSale": False}, {"onSale": None}])
def test_a_shard_unlike_its_product_is_wrong(snapshot, change):
    assert found(with_shard(snapshot, **change)) == [(Harm.WRONG, "MUG#1 is not like its product")]


def test_a_missing_shard_and_a_surplus_one_are_reported(snapshot):
    assert found(with_shard(snapshot, sku="MUG#2")) == [
        (Harm.LOST, "there is no shard MUG#1"),
        (Harm.WRONG, "MUG#2 belongs to no product"),
    ]


def test_an_oversold_shard_is_wrong(snapshot):
    assert (Harm.WRONG, "MUG#1: -1 are available") in found(with_shard(snapshot, available=-1))


def test_a_reservation_counts_as_taken(snapshot):
    orders = [*snapshot.orders, order("ord_pending", mugs=3)]
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

    assert (Harm.WRONG, f"{KEPT} holds 1 for a total of 2580") in found(replace(snapshot, ledger=ledger))


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

    assert found(replace(snapshot, ledger=ledger)) == [
        (Harm.WRONG, f"{GONE} is captured, not prepared, and not refunded")
    ]


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


@pytest.mark.parametrize("reason", [{"mailProblem": "bounced"}, {"erasedAt": "2026-11-23T10:00:00.000Z"}])
def test_mails_about_an_order_that_says_why_are_optional(snapshot, reason):
    orders = [{**order, **reason} for order in snapshot.orders]

    assert [kind for kind, _ in found(replace(snapshot, orders=orders, mails=[])) if kind is Harm.LOST] == []


@pytest.mark.parametrize(
    "customer", [{"userId": "ada"}, {"userId": "ada", "email": "a@b.example", "emailProblem": "bounced"}]
)
def test_mails_that_an_order_does_not_say_the_reason_of_are_lost(snapshot, customer):
    assert {kind for kind, _ in found(replace(snapshot, customers=[customer], mails=[]))} == {Harm.LOST}


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


# --- shipments that wait to be packed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("order_id", [KEPT, GONE, "ord_none"])
def test_an_open_shipment_of_an_order_that_is_not_placed_is_wrong(snapshot, order_id):
    shipments = [*without(snapshot.shipments, orderId=KEPT), {"orderId": order_id, "state": "open"}]

    violations = invariants.shipments_are_paid(replace(snapshot, shipments=shipments))

    assert f"{order_id} has an open shipment and is not placed" in [violation.what for violation in violations]


def test_an_open_shipment_of_a_placed_order_is_right(snapshot):
    orders = [*snapshot.orders, order("ord_open", "PLACED")]
    shipments = [*snapshot.shipments, {"orderId": "ord_open", "state": "open"}]

    assert invariants.shipments_are_paid(replace(snapshot, orders=orders, shipments=shipments)) == []


def test_a_prepared_order_whose_shipment_is_still_open_is_lost(snapshot):
    shipments = [{"orderId": KEPT, "state": "open"}]

    assert (Harm.LOST, f"{KEPT} is prepared and has no shipment") in found(replace(snapshot, shipments=shipments))


# --- refunds ----------------------------------------------------------------------------------------------------------


def with_refund(snapshot, *states, **values):
    """The snapshot with a refund of one of the two mugs, back in stock, that took these states."""
    kept = snapshot.orders[0]
    refund = {"amount": 1290, "lines": [{"sku": "MUG", "quantity": 1}], "restock": True, "state": states[-1]}
    for state in states:
        step = {"sequence": kept["sequence"] + 1, "status": "PREPARED", "transitionId": f"{state}-of-refund"}
        kept = kept | {"sequence": step["sequence"]}
        kept["history"] = [*kept["history"], step | {"refundId": "ref_1", "refund": state}]
    ended = {"sequence": kept["sequence"], "completedAt": f"{NEXT_DAY}T10:00:00.000Z"}
    kept["refunds"] = {"ref_1": refund | (ended if states[-1] in {"refunded", "failed"} else {}) | values}
    return replace(snapshot, orders=[kept, *snapshot.orders[1:]])


@pytest.fixture
def refunded(snapshot):
    """The snapshot after the refund of one mug, which is back in stock; without violations."""
    after = with_refund(snapshot, "due", "refunded")
    sale = Counter(orders=0, units=-1, revenue=-1290)
    return replace(
        after,
        products=[{"sku": "MUG", "available": 9}, {"sku": "TEA", "available": 5}],
        ledger=[*snapshot.ledger, refund_entry("ref_1", KEPT)],
        sales=snapshot.sales | {(NEXT_DAY, "all"): sale, (NEXT_DAY, "sku#MUG"): sale},
        mails=[*snapshot.mails, Mail(REFUND_MAIL, KEPT)],
    )


def test_a_refunded_order_has_no_violations(refunded):
    assert found(refunded) == []


@pytest.mark.parametrize("state", ["due", "pending"])
def test_an_open_refund_is_lost(snapshot, state):
    violations = invariants.nothing_is_unfinished(with_refund(snapshot, *dict.fromkeys(["due", state])))

    assert [violation.what for violation in violations] == [f"{KEPT} has an open refund"]


@pytest.mark.parametrize(
    ("states", "values"),
    [
        (("refunded",), {}),
        (("due", "failed", "refunded"), {}),
        (("due", "pending", "due"), {}),
        (("due", "refunded"), {"state": "failed"}),
        (("due", "refunded"), {"sequence": 4}),
    ],
    ids=["never due", "refunded after its end", "due again", "another state", "another sequence"],
)
def test_impossible_steps_of_a_refund_are_wrong(snapshot, states, values):
    violations = invariants.histories_are_sound(with_refund(snapshot, *states, **values))

    assert [violation.what for violation in violations] == [f"{KEPT} has an impossible history"]


@pytest.mark.parametrize("states", [("due", "refunded"), ("due", "pending", "refunded"), ("due", "pending", "failed")])
def test_possible_steps_of_a_refund_are_right(snapshot, states):
    assert invariants.histories_are_sound(with_refund(snapshot, *states)) == []


def test_a_step_of_an_unknown_refund_is_wrong(refunded):
    orders = changed(refunded.orders, KEPT, refunds={})

    violations = invariants.histories_are_sound(replace(refunded, orders=orders))

    assert [violation.what for violation in violations] == [f"{KEPT} has an impossible history"]


def test_the_events_of_a_refund_are_published(snapshot):
    violations = invariants.every_event_is_published(with_refund(snapshot, "due", "pending", "refunded"))

    missing = {violation.what for violation in violations}
    assert {what for what in missing if "refund" in what} == {
        f"refund_requested {KEPT}-4 is not published",
        f"order_refunded {KEPT}-6 is not published",
    }


def test_units_of_a_refund_without_restock_stay_sold(refunded):
    refund = refunded.orders[0]["refunds"]["ref_1"] | {"restock": False}
    orders = changed(refunded.orders, KEPT, refunds={"ref_1": refund})

    assert (Harm.WRONG, "MUG: 9 available of 10, with 2 in orders") in found(replace(refunded, orders=orders))


def test_units_of_a_failed_refund_stay_sold(snapshot):
    failed = with_refund(snapshot, "due", "failed")

    assert invariants.stock_adds_up(failed, LOADED) == []
    products = [{"sku": "MUG", "available": 9}, {"sku": "TEA", "available": 5}]
    assert invariants.stock_adds_up(replace(failed, products=products), LOADED)


def test_a_refund_made_twice_is_doubled(refunded):
    ledger = [*refunded.ledger, refund_entry("ref_1", KEPT)]

    assert (Harm.DOUBLED, "ref_1 was refunded 2 times") in found(replace(refunded, ledger=ledger))


def test_a_recorded_refund_that_was_not_made_is_lost(refunded, snapshot):
    assert found(replace(refunded, ledger=snapshot.ledger)) == [(Harm.LOST, "ref_1 is recorded and was not refunded")]


def test_a_refund_of_another_amount_is_wrong(refunded, snapshot):
    ledger = [*snapshot.ledger, refund_entry("ref_1", KEPT, amount=1)]

    assert found(replace(refunded, ledger=ledger)) == [
        (Harm.WRONG, "ref_1 is over 1 in the ledger and 1290 in the order")
    ]


@pytest.mark.parametrize("order_id", [KEPT, GONE])
def test_a_refund_that_no_order_has_recorded_is_wrong(snapshot, order_id):
    ledger = [*snapshot.ledger, refund_entry("ref_2", order_id)]

    assert (Harm.WRONG, "ref_2 was refunded and is not recorded") in found(replace(snapshot, ledger=ledger))


def test_a_refund_that_failed_and_was_made_is_wrong(snapshot):
    failed = with_refund(snapshot, "due", "failed")
    ledger = [*snapshot.ledger, refund_entry("ref_1", KEPT)]

    violations = invariants.refunds_are_in_the_ledger(replace(failed, ledger=ledger))

    assert [violation.what for violation in violations] == ["ref_1 was refunded and is not recorded"]


def test_a_merchants_own_refund_is_recorded_with_its_amount(snapshot):
    after = replace(snapshot, ledger=[*snapshot.ledger, entry("refund", KEPT, state="refunded")])
    recorded = with_refund(after, "refunded", elsewhere=True)
    violation = f"{KEPT}: the provider has refunded on its own 1290, the order 0"

    assert [each.what for each in invariants.amounts_agree(after)] == [violation]
    assert invariants.amounts_agree(recorded) == []
    assert invariants.refunds_are_in_the_ledger(recorded) == []
    assert invariants.histories_are_sound(recorded) == []


def test_a_merchants_pending_refund_is_no_open_work(snapshot):
    assert invariants.nothing_is_unfinished(with_refund(snapshot, "pending", elsewhere=True)) == []


def test_refunds_over_the_captured_amount_are_wrong(refunded):
    ledger = [*refunded.ledger, entry("refund", KEPT, amount=1291)]

    assert (Harm.WRONG, f"{KEPT} was refunded 2581 of 2580") in found(replace(refunded, ledger=ledger))


@pytest.mark.parametrize("states", [("due",), ("due", "refunded")])
def test_requested_refunds_over_the_captured_amount_are_wrong(snapshot, states):
    over = with_refund(snapshot, *states, amount=2581)

    assert [violation.what for violation in invariants.refunds_are_within_the_capture(over)] == [
        f"{KEPT} has refunds of 2581 for 2580 captured"
    ]


def test_failed_refunds_do_not_count_against_the_captured_amount(snapshot):
    over = with_refund(snapshot, "due", "failed", amount=2581)

    assert invariants.refunds_are_within_the_capture(over) == []


def test_refunds_are_compared_with_the_captured_amount_if_it_is_stored(refunded):
    orders = changed(refunded.orders, KEPT, payment={"state": "captured", "captured": 1000})

    violations = invariants.refunds_are_within_the_capture(replace(refunded, orders=orders))

    assert [violation.what for violation in violations] == [f"{KEPT} has refunds of 1290 for 1000 captured"]


def test_refunds_of_more_units_than_ordered_are_wrong(snapshot):
    over = with_refund(snapshot, "due", "refunded", lines=[{"sku": "MUG", "quantity": 3}])

    assert [violation.what for violation in invariants.refunds_are_within_the_capture(over)] == [
        f"{KEPT} has refunds of 3 MUG, more than ordered"
    ]


# --- a payment that the merchant captured at the provider -------------------------------------------------------------


@pytest.fixture
def charged(snapshot):
    """The snapshot in which the cancelled order was captured at the provider, and not refunded."""
    cancelled = order(GONE, "PLACED", "CANCELLED", CAPTURED)
    ledger = [
        *without(snapshot.ledger, orderId=GONE),
        entry("authorise", GONE, state="capture"),
        entry("capture", GONE),
    ]
    return replace(snapshot, orders=[snapshot.orders[0], cancelled, snapshot.orders[2]], ledger=ledger)


def test_a_cancelled_order_that_keeps_the_money_is_wrong(charged):
    assert found(charged) == [(Harm.WRONG, f"{GONE} is captured, not prepared, and not refunded")]


@pytest.mark.parametrize(
    ("amount", "state", "violations"), [(1290, "refunded", 0), (1289, "refunded", 1), (1290, "failed", 0)]
)
def test_a_cancelled_order_is_refunded_in_full_unless_the_provider_refuses(charged, amount, state, violations):
    refund = {"amount": amount, "lines": [], "restock": False, "state": state}
    orders = changed(charged.orders, GONE, refunds={"ref_2": refund})

    assert len(invariants.payments_are_settled(replace(charged, orders=orders))) == violations


def test_a_mail_that_denies_a_charge_is_wrong(charged):
    text = f"Your order {GONE} is cancelled. You were not charged."
    mails = [*charged.mails, Mail("Anything", GONE, text), Mail("Anything", DECLINED, text)]

    assert [violation.what for violation in invariants.mails_are_true(replace(charged, mails=mails))] == [
        f"{GONE} was charged, and a mail says 'not charged'"
    ]


def test_a_shipment_captured_in_part_is_not_released(snapshot):
    part = {"payment": "captured", "reason": "captured 1290 of 2580"}
    kept = order(KEPT, "PLACED", "PREPARED", part, mugs=2) | {"payment": {"state": "captured", "captured": 1290}}
    mails = [each for each in snapshot.mails if each != mail(KEPT, "on its way")]
    ledger = changed(snapshot.ledger, KEPT, "authorise", captured=1290)
    after = replace(snapshot, orders=[kept, *snapshot.orders[1:]], mails=mails, ledger=ledger)

    assert found(after) == [(Harm.WRONG, f"{KEPT} is released and not paid")]
    assert found(replace(after, shipments=[{"orderId": KEPT, "state": "prepared"}])) == []


# --- returns ----------------------------------------------------------------------------------------------------------


def returning(snapshot, *steps):
    """The snapshot with the customer's request to return a mug, recorded in these steps."""
    kept = order(KEPT, "PLACED", "PREPARED", CAPTURED, *steps, mugs=2, returnRequest={"lines": []})
    return replace(snapshot, orders=[kept, *snapshot.orders[1:]])


def test_a_requested_return_has_an_event_and_a_mail(snapshot):
    after = returning(snapshot, {"returns": True})

    assert found(after) == [(Harm.LOST, f"{KEPT} has no mail {RETURN_MAIL!r}")]
    assert f"return_requested {KEPT}-4 is not published" in [
        violation.what for violation in invariants.every_event_is_published(after)
    ]
    assert found(replace(after, mails=[*after.mails, Mail(RETURN_MAIL, KEPT)])) == []


@pytest.mark.parametrize("steps", [[], [{"returns": True}, {"returns": True}]], ids=["no step", "two steps"])
def test_a_return_is_one_step(snapshot, steps):
    violations = invariants.histories_are_sound(returning(snapshot, *steps))

    assert [violation.what for violation in violations] == [f"{KEPT} has an impossible history"]


def test_a_refund_that_failed_at_the_provider_moved_no_money(snapshot):
    failed = with_refund(snapshot, "due", "failed")
    ledger = [*snapshot.ledger, refund_entry("ref_1", KEPT, state="failed")]

    assert found(replace(failed, ledger=ledger)) == []


# --- sales after refunds ----------------------------------------------------------------------------------------------


def with_sales(*refunds, lines):
    """A snapshot of one order with these completed refunds, each on the next day, and no counters."""
    placed = order(KEPT, "PLACED", "PREPARED", CAPTURED)
    total = sum(line["quantity"] * line["unitPrice"] for line in lines)
    ended = {
        f"ref_{n}": {"state": "refunded", "sequence": n, "completedAt": f"{NEXT_DAY}T10:00:00.000Z", **refund}
        for n, refund in enumerate(refunds)
    }
    orders = [placed | {"lines": lines, "total": total, "refunds": ended}]
    return Snapshot(orders=orders, products=[], customers=[], shipments=[], ledger=[], sales={})


def expected_sales(snapshot):
    """What the fold expects of the next day, by counter: orders, units and revenue, each without zeros."""
    said = [violation.what for violation in invariants.sales_are_exact(snapshot) if NEXT_DAY in violation.what]
    counts = {}
    for what in said:
        counter, expected = what.split(" on ")[0].removeprefix("sales of "), what.split(", ")[1].split()[0]
        counts.setdefault(counter, {})[what.split(" counted")[0].split()[-1]] = int(expected)
    return counts


MUGS = [{"sku": "MUG", "quantity": 2, "unitPrice": 1290}]
TWO = [*MUGS, {"sku": "TEA", "quantity": 1, "unitPrice": 500}]


def test_an_amount_reduces_the_revenue_of_all_products_in_proportion():
    after = with_sales({"amount": 1000, "lines": [], "restock": False}, lines=TWO)

    # 1000 * 2580 / 3080 is 837.66, and 1000 * 500 / 3080 is 162.34
    assert expected_sales(after) == {
        "all": {"revenue": -1000},
        "sku#MUG": {"revenue": -838},
        "sku#TEA": {"revenue": -162},
    }


def test_returned_units_reduce_the_units_and_the_last_one_the_orders():
    one = {"amount": 1290, "lines": [{"sku": "MUG", "quantity": 1}], "restock": True}

    assert expected_sales(with_sales(one, lines=TWO)) == {
        "all": {"revenue": -1290, "units": -1},
        "sku#MUG": {"revenue": -1290, "units": -1},
    }
    assert expected_sales(with_sales(one, one, lines=TWO)) == {
        "all": {"revenue": -2580, "units": -2},
        "sku#MUG": {"orders": -1, "revenue": -2580, "units": -2},
    }
    assert expected_sales(with_sales(one, one, lines=MUGS)) == {
        "all": {"orders": -1, "revenue": -2580, "units": -2},
        "sku#MUG": {"orders": -1, "revenue": -2580, "units": -2},
    }


def test_units_that_are_not_returned_stay_sold():
    kept = {"amount": 2580, "lines": [{"sku": "MUG", "quantity": 2}], "restock": False}

    assert expected_sales(with_sales(kept, lines=MUGS)) == {"all": {"revenue": -2580}, "sku#MUG": {"revenue": -2580}}


def test_sales_of_a_fully_refunded_and_returned_order_add_up_to_nothing():
    some = {"amount": 999, "lines": [], "restock": False}
    rest = {
        "amount": 2081,
        "lines": [{"sku": "MUG", "quantity": 2}, {"sku": "TEA", "quantity": 1}],
        "restock": True,
    }

    assert expected_sales(with_sales(some, rest, lines=TWO)) == {
        "all": {"orders": -1, "units": -3, "revenue": -3080},
        "sku#MUG": {"orders": -1, "units": -2, "revenue": -2580},
        "sku#TEA": {"orders": -1, "units": -1, "revenue": -500},
    }


# --- payments that need the customer, disputes and limits -------------------------------------------------------------

WAITING = "ord_" + "d" * 26
ACTION = {"payment": "action_required"}


@pytest.mark.parametrize("state", ["action", "action_failed", "held"])
def test_an_order_that_waits_owns_its_payment(snapshot, state):
    waiting = replace(snapshot, orders=[*snapshot.orders, order(WAITING, ACTION)])
    owned = replace(waiting, ledger=[*snapshot.ledger, entry("authorise", WAITING, state=state)])

    assert invariants.money_has_owners(owned) == []
    assert [each.what for each in invariants.money_has_owners(waiting)] == [f"{WAITING} has no hold"]


@pytest.mark.parametrize("state", ["action", "action_failed", "held"])
def test_a_rejected_order_leaves_no_payment_that_could_be_held(snapshot, state):
    rejected = order(WAITING, ACTION, {"status": "REJECTED", "payment": "failed"}, {"payment": "voided"})
    after = replace(snapshot, orders=[*snapshot.orders, rejected])
    ended = replace(after, ledger=[*snapshot.ledger, entry("authorise", WAITING, state="void")])
    left = replace(after, ledger=[*snapshot.ledger, entry("authorise", WAITING, state=state)])

    assert [*invariants.money_has_owners(ended), *invariants.histories_are_sound(ended)] == []
    assert [each.what for each in invariants.money_has_owners(left)] == [f"{WAITING} is REJECTED, its hold is {state}"]


def test_a_packed_order_whose_hold_was_cancelled_meanwhile_is_right(snapshot):
    unpaid = order(WAITING, "PLACED", "PREPARED", {"payment": "failed"})
    ledger = [*snapshot.ledger, entry("authorise", WAITING, state="void"), entry("void", WAITING)]
    after = replace(snapshot, orders=[*snapshot.orders, unpaid], ledger=ledger)

    assert [*invariants.money_has_owners(after), *invariants.payments_are_settled(after)] == []


def disputed(snapshot, *steps, state, shipment):
    """The snapshot with a dispute of the kept order in this state at the provider."""
    dispute = {"reference": "dp_1", "amount": 2580, "state": state}
    kept = order(KEPT, "PLACED", *steps, mugs=2, dispute=dispute)
    ledger = changed(snapshot.ledger, KEPT, "authorise", state="disputed", dispute=dispute)
    shipments = [{"orderId": KEPT, "state": shipment}]
    return replace(snapshot, orders=[kept, *snapshot.orders[1:]], ledger=ledger, shipments=shipments)


OPEN, WON, HELD_BACK = {"dispute": "open"}, {"dispute": "won"}, CAPTURED | {"reason": "the payment is disputed"}


def test_a_dispute_holds_back_a_shipment_until_it_is_won(snapshot):
    before = disputed(snapshot, HELD_BACK, OPEN, "PREPARED", HELD_BACK, state="open", shipment="prepared")
    won = disputed(snapshot, HELD_BACK, OPEN, "PREPARED", HELD_BACK, WON, CAPTURED, state="won", shipment="released")
    careless = disputed(snapshot, HELD_BACK, OPEN, "PREPARED", CAPTURED, state="open", shipment="released")

    assert [*invariants.shipments_are_paid(before), *invariants.histories_are_sound(before)] == []
    assert [*invariants.shipments_are_paid(won), *invariants.histories_are_sound(won)] == []
    assert [each.what for each in invariants.shipments_are_paid(careless)] == [
        f"{KEPT} was released while its payment was disputed"
    ]


def test_a_dispute_that_the_order_has_not_as_the_provider_has_it_is_wrong(snapshot):
    recorded = disputed(snapshot, "PREPARED", CAPTURED, OPEN, state="open", shipment="released")
    orders = changed(recorded.orders, KEPT, dispute={"reference": "dp_1", "amount": 2580, "state": "won"})

    assert invariants.amounts_agree(recorded) == []
    assert len(invariants.amounts_agree(replace(recorded, orders=orders))) == 1


@pytest.mark.parametrize(
    ("counts", "unfair", "missing"),
    [
        ([{"orders": 4, "declines": 1}], [], []),
        ([{"orders": 3, "declines": 1}, {"orders": 1}], [], []),
        ([{"orders": 5, "declines": 1}], ["ada: 5 orders counted of 4"], []),
        ([{"orders": 4}], [], ["ada: 0 declines counted of 1"]),
    ],
)
def test_what_users_did_is_counted_once(snapshot, counts, unfair, missing):
    declined = order(DECLINED, {"status": "REJECTED", "payment": "failed", "reason": "declined"})
    limits = [{"id": f"{hour}#ada", **count} for hour, count in enumerate(counts)]
    after = replace(snapshot, orders=[*snapshot.orders[:2], declined], limits=limits)

    assert [each.what for each in invariants.limits_are_fair(after)] == unfair
    assert [each.what for each in invariants.limits_are_complete(after)] == missing


def test_a_cancellation_because_the_hold_was_lost_is_not_counted(snapshot):
    lost = order(GONE, "PLACED", {"status": "CANCELLED", "payment": "voided"})

    assert invariants.limits_are_complete(replace(snapshot, orders=[lost], limits=[{"id": "1#ada", "orders": 1}])) == []
