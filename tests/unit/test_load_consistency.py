"""`handoff load`: each kind of inconsistency after a load test is found and named."""

from collections import Counter
from types import SimpleNamespace

import pytest

from ops import smoke
from ops.load import consistency
from ops.load.consistency import Consistency
from ops.load.stage import PREFIX

A, B = f"{PREFIX}000", f"{PREFIX}001"


def order(status="CANCELLED", payment="voided", **others):
    lines = [{"sku": A, "quantity": 2}, {"sku": B, "quantity": 1}]
    return {"status": status, "payment": {"state": payment}, "lines": lines, "placedAt": "2026-11-23", **others}


@pytest.fixture
def stack(monkeypatch):
    """A stack before and after a load test, for the checks to read; a test changes what is there afterwards."""
    state = SimpleNamespace(
        orders={"ord_1": order(), "ord_2": order("PREPARED", "captured"), "ord_3": order("REJECTED", "none")},
        available={A: 10, B: 10},
        sold=Counter({A: 5}),
        dead_letters={"emails": 1},
        backlog=0,
        slept=[],
    )
    monkeypatch.setattr(Consistency, "_available", lambda self: dict(state.available))
    monkeypatch.setattr(Consistency, "_sold", lambda self: Counter(state.sold))
    monkeypatch.setattr(
        Consistency, "stored", lambda self, ids: {one: state.orders[one] for one in ids if one in state.orders}
    )
    monkeypatch.setattr(smoke, "dead_letters", lambda deployment: dict(state.dead_letters))
    monkeypatch.setattr(consistency, "backlog", lambda deployment: state.backlog)
    monkeypatch.setattr("ops.polling.time.sleep", state.slept.append)
    checks = Consistency(SimpleNamespace(deployment=None, skus=[A, B]))
    # The packed order took its units, and is counted.
    state.available = {A: 8, B: 9}
    state.sold = Counter({A: 7, B: 1})
    state.check = lambda within=0.0, show=lambda _: None: checks.check(
        ["ord_1", "ord_2", "ord_3", "ord_4"], ["ord_1", "ord_2"], within, show
    )
    return state


def failed(found):
    return {check.what: check.seen for check in found if not check.passed}


def test_a_consistent_stack_passes(stack):
    found = stack.check()

    assert failed(found) == {}
    assert [check.seen for check in found[:4]] == [
        "2 of 2",
        "1 CANCELLED, 1 PREPARED, 1 REJECTED",
        "3 units are sold, the others are back",
        "3 units are counted",
    ]


def test_an_answered_order_that_is_lost_is_found(stack):
    del stack.orders["ord_1"]

    assert failed(stack.check()) == {"answered orders are stored": "1 were answered with 201 and do not exist: ord_1"}


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (order(outbox=["event"]), "ord_1 has an event to publish"),
        (order(paymentDue={"action": "void"}), "ord_1 has a payment to settle (void)"),
        (order(payment="authorised"), "ord_1 is CANCELLED, its payment authorised"),
        (order("PREPARED", "authorised"), "ord_1 is PREPARED, its payment authorised"),
        (order("PENDING", "none"), "ord_1 is PENDING, its payment none"),
    ],
)
def test_unfinished_work_is_found(stack, found, reason):
    stack.orders["ord_1"] = found

    assert failed(stack.check())["no order is unfinished"] == f"1 of 3: {reason}"


@pytest.mark.parametrize("units", [-1, 1])
def test_lost_and_doubled_stock_is_found(stack, units):
    stack.available[B] += units

    assert failed(stack.check()) == {"the stock adds up": f"{B} has {9 + units}, not 9"}


@pytest.mark.parametrize("units", [-1, 1])
def test_lost_and_doubled_sales_are_found(stack, units):
    stack.sold[A] += units

    assert failed(stack.check()) == {"the sales add up": f"{2 + units} units of {A} were counted, 2 sold"}


def test_waiting_events_and_new_dead_letters_are_found(stack):
    stack.backlog, stack.dead_letters = 3, {"emails": 2}

    assert failed(stack.check()) == {
        "the consumers have handled every event that is due": "3 events are due",
        "no new dead letters": "1 of emails",
    }


def test_it_waits_until_the_consumers_are_done(stack):
    # GIVEN a void that settlement makes while the check waits
    stack.orders["ord_1"] = order(payment="authorised")
    shown = []

    def show(text):
        shown.append(text)
        stack.orders["ord_1"] = order()

    # THEN the check says what it waits for, and passes in the end
    assert failed(stack.check(within=60.0, show=show)) == {}
    assert shown == ["Not yet: no order is unfinished"]
    assert len(stack.slept) == 1
