"""Change an order: decide, write, and decide again if another writer was faster."""

from types import SimpleNamespace

import pytest

from handoff.clock import Deadline
from handoff.errors import TransactionConflict
from shop import errors, transitions
from shop.changing import change_order
from shop.model import Status
from tests.support.orders import NOW, MemoryStore, order

PLACED = order(Status.PLACED)


def packing(current):
    """Decide to pack a placed order."""
    return transitions.prepared(current, NOW) if current.status is Status.PLACED else None


def change(store, decide=packing):
    return change_order(SimpleNamespace(orders=store, bus=None), PLACED, decide, Deadline(0))


def newer(current):
    return current.model_copy(update={"sequence": current.sequence + 1})


class Busy(MemoryStore):
    """A store whose items are always changed by other transactions."""

    def transition(self, step, deadline):
        raise TransactionConflict("busy")


def test_without_a_change_nothing_is_written():
    store = MemoryStore(PLACED)

    assert (change(store, lambda _: None), store.written) == ((PLACED, False), [])


def test_the_decision_is_made_again_on_the_state_that_another_writer_left():
    after, changed = change(MemoryStore(PLACED, meanwhile=[newer, newer]))

    assert (after.status, after.sequence, changed) == (Status.PREPARED, 3, True)


def test_a_change_that_another_writer_has_made_is_not_made_again():
    store = MemoryStore(PLACED, meanwhile=[lambda current: packing(current).after])

    after, changed = change(store)

    assert (after.status, changed, store.written) == (Status.PREPARED, False, [])


def test_an_order_that_is_gone_does_not_exist():
    with pytest.raises(errors.NoSuchOrder):
        change(MemoryStore(PLACED, meanwhile=[lambda _: None]))


@pytest.mark.parametrize("store", [Busy(PLACED), MemoryStore(PLACED, meanwhile=[newer] * 100)])
def test_contention_without_end_is_answered_with_a_retry(store):
    with pytest.raises(errors.TryLater):
        change(store)
