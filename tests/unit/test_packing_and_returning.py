"""When an order may be packed, and when its products may be returned."""

from types import SimpleNamespace

import pytest

from handoff.clock import Deadline
from shop import errors, packing, returning
from shop.model import Cancellation, Status
from shop.transitions import cancelled
from tests.support.orders import NOW, ORDER_ID, MemoryStore, captured, order

DAY = 86_400  # seconds
NO_TIME_TO_PUBLISH = Deadline(0)


@pytest.fixture
def at(clock):
    """Let seconds pass since the order was placed and released."""
    return clock.forward


def pack(store, pack_after=600):
    return packing.pack_order(SimpleNamespace(orders=store, bus=None), ORDER_ID, pack_after, NO_TIME_TO_PUBLISH)


def give_back(store, user="ada", **quantities):
    return returning.request_return(
        SimpleNamespace(orders=store, bus=None),
        ORDER_ID,
        user,
        quantities=quantities,
        reason=None,
        return_days=14,
        deadline=NO_TIME_TO_PUBLISH,
    )


def placed():
    return order(Status.PLACED, placed_at="2026-11-23T10:00:00.000Z")


@pytest.mark.parametrize(("after", "retry_after"), [(0, 600), (599.001, 1), (599.999, 1)])
def test_an_order_is_not_packed_within_its_cancel_window(at, after, retry_after):
    at(after)
    store = MemoryStore(placed())

    with pytest.raises(errors.CancelWindowOpen) as refused:
        pack(store)
    assert (refused.value.retry_after, store.written) == (retry_after, [])


def test_an_order_is_packed_from_the_end_of_its_window(at):
    at(600)

    assert pack(MemoryStore(placed())).status is Status.PREPARED


def test_packing_is_idempotent(at):
    at(600)
    store = MemoryStore(placed())

    assert (pack(store), len(store.written)) == (pack(store), 1)


@pytest.mark.parametrize("status", [Status.PENDING, Status.CANCELLED, Status.REJECTED])
def test_only_a_placed_order_is_packed(at, status):
    at(600)

    with pytest.raises(errors.NotPackable) as refused:
        pack(MemoryStore(order(status)))
    assert refused.value.status == status


def test_a_cancellation_that_is_faster_wins_over_packing(at):
    at(600)
    store = MemoryStore(placed(), meanwhile=[lambda order: cancelled(order, Cancellation(by="customer"), NOW).after])

    with pytest.raises(errors.NotPackable):
        pack(store)
    assert store.written == []


def test_a_return_is_for_all_units_by_default(at):
    at(DAY)

    request = give_back(MemoryStore(captured())).return_request

    assert {units.sku: units.quantity for units in request.lines} == {"MUG-01": 2, "TEE-02": 1}


def test_a_return_can_be_for_some_units(at):
    at(DAY)

    (units,) = give_back(MemoryStore(captured()), **{"MUG-01": 1}).return_request.lines

    assert (units.sku, units.quantity) == ("MUG-01", 1)


def test_units_that_a_refund_is_for_are_not_returned(at):
    at(DAY)
    mug = {"refund_id": "ref_1", "amount": 1250, "lines": [{"sku": "MUG-01", "quantity": 1}], "state": "due"}
    refund = mug | {"reason": "Broken", "request_hash": "hash", "requested_at": "2026-11-23T10:00:00.000Z"}
    refunded = captured(refunds={"ref_1": refund})

    request = give_back(MemoryStore(refunded)).return_request
    assert {units.sku: units.quantity for units in request.lines} == {"MUG-01": 1, "TEE-02": 1}
    with pytest.raises(errors.TooManyUnits):
        give_back(MemoryStore(refunded), **{"MUG-01": 2})


def test_a_return_of_more_units_than_ordered_is_refused(at):
    at(DAY)

    with pytest.raises(errors.TooManyUnits) as refused:
        give_back(MemoryStore(captured()), **{"MUG-01": 3})
    assert refused.value.left == {"MUG-01": 2}


def test_a_return_is_possible_until_the_end_of_the_last_day(at):
    at(14 * DAY)
    assert give_back(MemoryStore(captured())).return_request

    at(0.001)
    with pytest.raises(errors.ReturnTooLate) as refused:
        give_back(MemoryStore(captured()))
    assert refused.value.until == "2026-12-07T10:00:00.000Z"


def test_a_second_return_is_refused_with_the_time_of_the_first(at):
    at(DAY)
    store = MemoryStore(captured())
    give_back(store)

    with pytest.raises(errors.AlreadyReturned) as refused:
        give_back(store)
    assert refused.value.requested_at == store.order.return_request.requested_at


@pytest.mark.parametrize("status", [Status.PENDING, Status.PLACED, Status.PREPARED, Status.CANCELLED])
def test_only_a_released_order_is_returned(at, status):
    at(DAY)

    with pytest.raises(errors.NotReleased):
        give_back(MemoryStore(order(status)))


def test_another_user_cannot_return_the_order(at):
    at(DAY)

    with pytest.raises(errors.NoSuchOrder):
        give_back(MemoryStore(captured()), user="bob")
