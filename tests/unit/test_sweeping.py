"""Budgets and pending work of a sweep."""

from handoff.sweep import Budget
from handoff.unfinished import PendingWork
from handoff.update import Attr
from shop.model import Order

WORK = frozenset({"paymentDue"})


def test_a_budget_is_spent_while_it_is_used(clock):
    budget = Budget(20)
    with budget:
        clock.forward(20)

    assert budget.spent


def test_a_budget_is_not_spent_while_others_work(clock):
    budget = Budget(20)
    clock.forward(100)
    with budget:
        clock.forward(19)
    clock.forward(100)

    assert not budget.spent


def test_a_budget_is_shared_by_all_its_uses(clock):
    budget = Budget(20)
    for _ in range(2):
        with budget:
            clock.forward(10)

    assert budget.spent


def test_a_budget_can_run_out_while_it_is_used(clock):
    with Budget(20) as budget:
        assert not budget.spent
        clock.forward(20)
        assert budget.spent


def test_pending_work_of_an_item_is_its_events_and_its_payment():
    assert pending({"outbox": {"1": {}, "2": {}}}) == PendingWork(frozenset({"1", "2"}), frozenset(), ("paymentDue",))
    assert pending({"outbox": {}, "paymentDue": {}}) == PendingWork(frozenset(), WORK, ("paymentDue",))
    assert pending({}) == PendingWork(frozenset(), frozenset(), ("paymentDue",))


def test_a_write_is_conditional_on_the_pending_work_that_was_read():
    assert pending({"paymentDue": {}, "outbox": {"1": {}}}).unchanged == [
        Attr("outbox").size().eq(1),
        Attr("paymentDue").exists(),
    ]
    assert pending({}).unchanged == [Attr("outbox").size().eq(0), Attr("paymentDue").not_exists()]


def pending(item):
    return PendingWork.of_item(item, Order)
