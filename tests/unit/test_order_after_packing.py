"""The steps of an order after it was packed: release, refunds, returns."""

import json

import pytest

from shop import transitions
from shop.model import Payment, PaymentDue, PaymentState, Refund, RefundState, ReturnRequest, Status, Units
from shop.settlement import refusal
from tests.support.orders import NOW, captured, order

CAPTURED = Payment(state=PaymentState.CAPTURED, reference="hold-1", captured=4500)


def a_refund(refund_id="ref_1", amount=1250, **values):
    defaults = {"lines": (Units(sku="MUG-01", quantity=1),), "reason": "Broken", "request_hash": "hash"}
    at = "2026-11-23T10:00:00.000Z"
    return Refund.model_validate({"refund_id": refund_id, "amount": amount, "requested_at": at, **defaults, **values})


def requested(before, refund):
    return transitions.refund_requested(before, refund, NOW).after


def answered(before, refund_id, state, **values):
    given = before.refunds[refund_id].model_copy(update={"state": state, **values})
    return transitions.refund_answered(before, given, NOW)


def events(transition):
    new = transition.after.outbox.keys() - transition.before.outbox.keys()
    return [json.loads(transition.after.outbox[key].detail)["metadata"]["sequence"] for key in new], [
        transition.after.outbox[key].detail_type for key in new
    ]


def test_a_capture_releases_the_shipment_with_its_event():
    packed = order(Status.PREPARED, payment_due=PaymentDue(action="capture", since=NOW))

    step = transitions.settled(packed, CAPTURED, NOW)

    assert (step.after.released_at, step.releases_shipment) == ("2026-11-23T10:00:00.000Z", True)
    assert events(step) == ([1], ["shipment_released"])


@pytest.mark.parametrize("state", [PaymentState.VOIDED, PaymentState.FAILED])
def test_an_uncaptured_payment_releases_nothing(state):
    packed = order(Status.PREPARED, payment_due=PaymentDue(action="capture", since=NOW))

    step = transitions.settled(packed, Payment(state=state), NOW)

    assert (step.after.released_at, step.releases_shipment, events(step)) == (None, False, ([], []))


def test_a_payment_that_was_captured_in_part_releases_nothing():
    packed = order(Status.PREPARED, payment_due=PaymentDue(action="capture", since=NOW))

    step = transitions.settled(packed, CAPTURED.model_copy(update={"captured": 500}), NOW)

    assert (step.releases_shipment, step.after.released, events(step)) == (False, None, ([], []))
    assert (step.after.payment_due, step.after.refundable) == (None, 500)
    assert refusal(packed, step.after) == "captured 500 of 4500"


@pytest.mark.parametrize("status", [Status.CANCELLED, Status.REJECTED])
def test_a_void_that_finds_the_money_captured_makes_its_refund_due(status):
    ended = order(status, payment_due=PaymentDue(action="void", since=NOW - 1), payment_token=None)
    payment = CAPTURED.model_copy(update={"captured": 4000})

    step = transitions.settled(ended, payment, NOW)

    (refund,) = step.after.refunds.values()
    assert (refund.amount, refund.state, refund.restock) == (4000, RefundState.DUE, False)
    assert (step.after.payment, step.after.payment_due.action) == (payment, "refund")
    assert (step.restock, step.releases_shipment) == ({}, False)
    assert events(step) == ([1], ["refund_requested"])


def test_a_refund_stays_due_while_it_is_pending():
    pending = answered(requested(captured(), a_refund()), "ref_1", RefundState.PENDING, reference="re_1")

    assert (pending.after.payment_due.action, pending.after.refunds["ref_1"].completed_at) == ("refund", None)
    assert events(pending) == ([], [])


@pytest.mark.parametrize(("restock", "returned"), [(True, {"MUG-01": 1}), (False, {})])
def test_a_paid_refund_restocks_what_came_back(restock, returned):
    due = requested(captured(), a_refund(restock=restock))

    step = answered(due, "ref_1", RefundState.REFUNDED, reference="re_1")

    assert (step.restock, step.after.payment_due, step.after.refunded) == (returned, None, 1250)
    refund = step.after.refunds["ref_1"]
    assert (refund.completed_at, refund.sequence) == ("2026-11-23T10:00:00.000Z", step.after.sequence)
    assert events(step) == ([2], ["order_refunded"])


def test_a_failed_refund_restocks_nothing_and_says_why():
    due = requested(captured(), a_refund(restock=True))

    step = answered(due, "ref_1", RefundState.FAILED, failure="charge_disputed")

    assert (step.restock, step.after.payment_due, step.after.refundable) == ({}, None, 4500)
    assert (step.after.history[-1].reason, step.after.history[-1].refund) == ("charge_disputed", RefundState.FAILED)
    assert events(step) == ([], [])


def test_the_payment_stays_due_until_the_last_open_refund_is_answered():
    both = requested(requested(captured(), a_refund()), a_refund("ref_2", 2000))

    first = answered(both, "ref_1", RefundState.REFUNDED).after
    second = answered(first, "ref_2", RefundState.FAILED).after

    assert (first.payment_due, second.payment_due) == (both.payment_due, None)


def test_a_refund_is_found_by_the_sequence_of_its_steps():
    due = requested(captured(), a_refund())
    done = answered(due, "ref_1", RefundState.REFUNDED).after

    assert done.refund_of(due.sequence) == done.refund_of(done.sequence) == done.refunds["ref_1"]
    assert done.refund_of(0) is None


def test_a_return_request_is_recorded_with_its_event():
    wanted = ReturnRequest(requested_at="2026-11-23T10:00:00.000Z", lines=(Units(sku="MUG-01", quantity=1),))

    step = transitions.return_requested(captured(), wanted, NOW)

    assert (step.after.return_request, step.after.history[-1].returns) == (wanted, True)
    assert events(step) == ([1], ["return_requested"])


def test_the_release_of_an_earlier_version_is_its_capture():
    old = transitions.settled(order(Status.PREPARED), CAPTURED, NOW).after.model_copy(update={"released_at": None})

    assert old.released == "2026-11-23T10:00:00.000Z"


def test_a_captured_payment_of_a_canceled_order_is_no_release():
    ended = transitions.settled(order(Status.CANCELLED), CAPTURED, NOW).after

    assert ended.released is None
