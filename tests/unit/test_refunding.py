"""Requesting refunds: what is possible, and what is left afterwards."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from handoff.clock import Deadline
from shop import errors, refunding, transitions
from shop.fingerprint import Fingerprint
from shop.model import MAX_REFUNDS, Payment, PaymentState, RefundState, Status
from shop.refunding import RefundRequest
from tests.support.orders import NOW, ORDER_ID, MemoryStore, captured, order

NO_TIME_TO_PUBLISH = Deadline(0)
CHARGED = Payment(state=PaymentState.CAPTURED, reference="hold-1", captured=5000)


def request(key="key-1", *, request_hash="hash", restock=False, amount=None, **quantities):
    fingerprint = Fingerprint(f"3:{request_hash}", request_hash)
    return RefundRequest(ORDER_ID, key, quantities, amount, "Broken", restock, fingerprint)


def refund(store, wanted):
    return refunding.request_refund(SimpleNamespace(orders=store, bus=None), wanted, NO_TIME_TO_PUBLISH)


def answered(order, refund_id, state):
    given = order.refunds[refund_id].model_copy(update={"state": state})
    return transitions.refund_answered(order, given, NOW).after


def test_a_refund_of_lines_costs_their_prices():
    changed, made = refund(MemoryStore(captured()), request(**{"MUG-01": 1, "TEE-02": 1}))

    assert (made.amount, made.state, changed.refundable) == (3250, RefundState.DUE, 1250)
    assert changed.refundable_units == {"MUG-01": 1, "TEE-02": 0}


def test_a_refund_of_an_amount_is_for_no_units():
    changed, made = refund(MemoryStore(captured()), request(amount=100))

    assert (made.amount, made.lines, changed.refundable) == (100, (), 4400)


def test_a_refund_without_lines_and_amount_is_for_everything_left():
    store = MemoryStore(captured())
    refund(store, request("key-1", **{"MUG-01": 1}))
    refund(store, request("key-2", amount=250))

    changed, made = refund(store, request("key-3"))

    assert (made.amount, changed.refundable) == (3000, 0)
    assert {units.sku: units.quantity for units in made.lines} == {"MUG-01": 1, "TEE-02": 1}


def test_a_refund_is_due_with_its_event_and_keeps_the_status():
    changed, made = refund(MemoryStore(captured()), request(amount=100))

    assert (changed.status, changed.payment_due.action) == (Status.PREPARED, "refund")
    assert [entry.detail_type for entry in changed.outbox.values()] == ["refund_requested"]
    assert changed.refund_of(changed.sequence) == made


@pytest.mark.parametrize("amount", [0, -1, 4501])
def test_an_amount_out_of_range_is_refused_with_what_is_left(amount):
    with pytest.raises(errors.RefundTooLarge) as refused:
        refund(MemoryStore(captured()), request(amount=amount))
    assert refused.value.refundable == 4500


def test_refunds_never_exceed_the_captured_amount_together():
    store = MemoryStore(captured())
    refund(store, request("key-1", amount=4000))

    with pytest.raises(errors.RefundTooLarge) as refused:
        refund(store, request("key-2", amount=501))
    assert refused.value.refundable == 500


def test_a_refund_decides_again_after_a_concurrent_one():
    first = request("key-1", amount=4000)

    def other(order):
        other_store = MemoryStore(order)
        refund(other_store, first)
        return other_store.order

    store = MemoryStore(captured(), meanwhile=[other])

    with pytest.raises(errors.RefundTooLarge):
        refund(store, request("key-2", amount=4000))
    assert store.written == []


@pytest.mark.parametrize("quantities", [{"MUG-01": 3}, {"NO-SUCH": 1}, {"MUG-01": 1, "TEE-02": 2}])
def test_units_that_the_order_does_not_have_are_refused(quantities):
    with pytest.raises(errors.TooManyUnits) as refused:
        refund(MemoryStore(captured()), request(**quantities))
    assert refused.value.left.keys() <= quantities.keys()


def test_a_failed_refund_frees_its_amount_and_units():
    store = MemoryStore(captured())
    _, made = refund(store, request())
    store.order = answered(store.order, made.refund_id, RefundState.FAILED)

    assert (store.order.refundable, store.order.payment_due) == (4500, None)
    refund(store, request("key-2"))
    assert store.order.refundable == 0


def test_the_same_key_gets_the_same_refund():
    store = MemoryStore(captured())

    first, second = refund(store, request(amount=100)), refund(store, request(amount=100))

    assert (first[1], len(store.written)) == (second[1], 1)


def test_the_same_key_with_another_body_is_refused():
    store = MemoryStore(captured())
    refund(store, request(amount=100))

    with pytest.raises(errors.KeyReused):
        refund(store, request(amount=200, request_hash="other"))


@pytest.mark.parametrize("state", [PaymentState.AUTHORIZED, PaymentState.VOIDED, PaymentState.FAILED])
def test_only_a_captured_payment_can_be_refunded(state):
    with pytest.raises(errors.NotCaptured):
        refund(MemoryStore(order(Status.PREPARED, payment=Payment(state=state))), request())


def test_an_order_captured_by_an_earlier_release_can_be_refunded_up_to_its_total():
    old = captured(payment=Payment(state=PaymentState.CAPTURED, reference="hold-1"))

    assert refund(MemoryStore(old), request())[1].amount == 4500


def test_only_the_captured_amount_can_be_refunded():
    less = captured(payment=Payment(state=PaymentState.CAPTURED, reference="hold-1", captured=1000))

    with pytest.raises(errors.RefundTooLarge) as refused:
        refund(MemoryStore(less), request(amount=1001))
    assert refused.value.refundable == 1000


@pytest.mark.parametrize("state", [RefundState.DUE, RefundState.PENDING, RefundState.REFUNDED])
def test_each_refund_that_has_not_failed_counts(state):
    store = MemoryStore(captured())
    _, made = refund(store, request("key-1", **{"MUG-01": 2}))
    if state is not RefundState.DUE:
        store.order = answered(store.order, made.refund_id, state)

    with pytest.raises(errors.RefundTooLarge):
        refund(store, request("key-2", amount=2001))
    with pytest.raises(errors.TooManyUnits):
        refund(store, request("key-3", **{"MUG-01": 1}))


def test_the_rest_is_an_amount_once_all_units_are_refunded():
    store = MemoryStore(captured(total=5000, payment=CHARGED))
    refund(store, request("key-1", **{"MUG-01": 2, "TEE-02": 1}))

    assert (refund(store, request("key-2"))[1].amount, refund(store, request("key-2"))[1].lines) == (500, ())


def test_a_key_belongs_to_its_order():
    assert request().refund_id != replace(request(), order_id="ord_" + "b" * 26).refund_id


def test_the_number_of_refunds_is_limited():
    store = MemoryStore(captured())
    for n in range(MAX_REFUNDS):
        refund(store, request(f"key-{n}", amount=1))

    with pytest.raises(errors.TooManyRefunds):
        refund(store, request("one-more", amount=1))


def test_products_of_an_order_that_never_left_are_not_restocked_again():
    ended = captured(status=Status.CANCELLED)

    with pytest.raises(errors.AlreadyRestocked):
        refund(MemoryStore(ended), request(restock=True))
    assert refund(MemoryStore(ended), request())[1].amount == 4500


def test_an_unknown_order_is_not_found():
    with pytest.raises(errors.NoSuchOrder):
        refund(MemoryStore(None), request())
