"""The states of an order: every state and every step."""

import json

import pytest

from shop import transitions
from shop.model import Cancellation, Payment, PaymentState, Status
from shop.transitions import NotPossible
from tests.support.orders import NOW, ORDER_ID, order

CUSTOMER = Cancellation(by="customer")
STEPS = {
    "placed": lambda before: transitions.placed(before, "hold-1", NOW),
    "declined": lambda before: transitions.declined(before, "card_declined", NOW),
    "expired": lambda before: transitions.expired(before, NOW),
    "abandoned": lambda before: transitions.abandoned(before, CUSTOMER, NOW),
    "cancelled": lambda before: transitions.cancelled(before, CUSTOMER, NOW),
    "prepared": lambda before: transitions.prepared(before, NOW),
}
LEADS = {
    (Status.PENDING, "placed"): Status.PLACED,
    (Status.PENDING, "declined"): Status.REJECTED,
    (Status.PENDING, "expired"): Status.REJECTED,
    (Status.PENDING, "abandoned"): Status.REJECTED,
    (Status.PLACED, "cancelled"): Status.CANCELLED,
    (Status.PLACED, "prepared"): Status.PREPARED,
}
possible = pytest.mark.parametrize(("state", "step"), LEADS)
impossible = pytest.mark.parametrize(
    ("state", "step"), [(state, step) for state in Status for step in STEPS if (state, step) not in LEADS]
)


@possible
def test_a_step_leads_to_the_next_state(state, step):
    assert STEPS[step](order(state)).after.status is LEADS[state, step]


@impossible
def test_a_step_not_allowed_in_the_state_is_rejected(state, step):
    with pytest.raises(NotPossible) as refused:
        STEPS[step](order(state))
    assert refused.value.order.status is state


@possible
def test_a_step_adds_one_to_the_sequence_and_an_entry_to_the_history(state, step):
    before = order(state, sequence=4)
    made = STEPS[step](before)

    assert made.after.sequence == 5
    assert made.after.history[:-1] == before.history
    entry = made.after.history[-1]
    assert (entry.sequence, entry.status, entry.at) == (5, made.after.status, "2026-11-23T10:00:00.000Z")


@possible
def test_a_step_is_recognized_by_its_id(state, step):
    made, again = STEPS[step](order(state)), STEPS[step](order(state))

    assert made.after.took(made.id)
    assert not made.before.took(made.id)
    assert not again.after.took(made.id)


@possible
def test_a_step_does_not_change_its_input(state, step):
    before = order(state)

    assert STEPS[step](before).before == before == order(state)


EVENTS = {"placed": "order_placed", "cancelled": "order_cancelled", "prepared": "shipment_prepared"}


@possible
def test_a_step_puts_its_event_into_the_outbox(state, step):
    made = STEPS[step](order(state))

    expected = [EVENTS[step]] if step in EVENTS else []
    assert [entry.detail_type for entry in made.after.outbox.values()] == expected


@pytest.mark.parametrize("step", ["cancelled", "prepared"])
def test_an_event_is_added_to_the_unpublished_ones(step):
    placed = transitions.placed(order(), "hold-1", NOW).after

    assert STEPS[step](placed).after.outbox.keys() == {"1", "2"}


def test_an_events_id_and_sequence_are_the_steps():
    entry = transitions.placed(order(), "hold-1", NOW).after.outbox["1"]

    metadata = json.loads(entry.detail)["metadata"]
    assert (metadata["eventId"], metadata["sequence"]) == (f"{ORDER_ID}-1", 1)


@pytest.mark.parametrize(
    ("state", "step", "due"),
    [
        (Status.PENDING, "placed", None),
        (Status.PENDING, "declined", None),
        (Status.PENDING, "expired", "void"),
        (Status.PENDING, "abandoned", "void"),
        (Status.PLACED, "cancelled", "void"),
        (Status.PLACED, "prepared", "capture"),
    ],
)
def test_a_step_sets_the_due_payment_action(state, step, due):
    made = STEPS[step](order(state))

    assert (made.after.payment_due.action if made.after.payment_due else None) == due
    assert due is None or made.after.payment_due.since == NOW


@possible
def test_each_step_that_ends_an_order_returns_its_stock(state, step):
    made = STEPS[step](order(state))

    ended = made.after.status in (Status.REJECTED, Status.CANCELLED)
    assert made.restock == ({"MUG-01": 2, "TEE-02": 1} if ended else {})


@possible
def test_only_preparing_writes_a_shipment(state, step):
    made = STEPS[step](order(state))

    assert (made.shipment is not None) == (step == "prepared")


def test_a_shipment_has_the_orders_lines_and_address_and_is_not_released():
    before = order(Status.PLACED)
    shipment = transitions.prepared(before, NOW).shipment

    assert (shipment.order_id, shipment.lines, shipment.address) == (ORDER_ID, before.lines, before.shipping_address)
    assert shipment.state == "prepared"


def test_a_placed_order_has_its_hold_and_its_time():
    placed = transitions.placed(order(), "hold-1", NOW).after

    assert (placed.payment.state, placed.payment.reference) == (PaymentState.AUTHORIZED, "hold-1")
    assert placed.placed_at == "2026-11-23T10:00:00.000Z"


def test_a_placed_order_has_the_expiry_of_its_hold_if_known():
    assert transitions.placed(order(), "hold-1", NOW).after.payment.expires_at is None
    assert transitions.placed(order(), "hold-1", NOW, NOW + 1).after.payment.expires_at == NOW + 1


@pytest.mark.parametrize("step", ["cancelled", "prepared"])
def test_later_steps_keep_the_hold_and_the_time_of_placing(step):
    placed = transitions.placed(order(), "hold-1", NOW - 5000).after
    after = STEPS[step](placed).after

    assert (after.payment, after.placed_at) == (placed.payment, placed.placed_at)


@pytest.mark.parametrize(
    ("step", "state"),
    [("placed", PaymentState.AUTHORIZED), ("declined", PaymentState.FAILED), ("expired", None), ("cancelled", None)],
)
def test_a_step_that_changes_the_payment_says_so_in_the_history(step, state):
    before = order(Status.PLACED if step == "cancelled" else Status.PENDING)

    assert STEPS[step](before).after.history[-1].payment == state


@pytest.mark.parametrize("state", [PaymentState.CAPTURED, PaymentState.VOIDED, PaymentState.FAILED])
def test_settling_a_payment_is_a_step_with_its_own_time(state):
    before = transitions.prepared(order(Status.PLACED), NOW - 1000).after
    payment = Payment(state=state, reference="hold-1", reason="expired" if state is PaymentState.FAILED else None)
    made = transitions.settled(before, payment, NOW)

    assert (made.after.status, made.after.sequence) == (Status.PREPARED, before.sequence + 1)
    assert (made.after.payment, made.after.payment_due, made.after.payment_token) == (payment, None, None)
    entry = made.after.history[-1]
    assert (entry.payment, entry.at, entry.reason) == (state, "2026-11-23T10:00:00.000Z", payment.reason)
    assert made.releases_shipment == (state is PaymentState.CAPTURED)


def test_settling_a_payment_does_not_change_the_status_again():
    cancelled = transitions.cancelled(order(Status.PLACED), CUSTOMER, NOW).after
    voided = transitions.settled(cancelled, Payment(state=PaymentState.VOIDED), NOW).after

    assert [entry.status for entry in voided.status_changes][-1:] == [Status.CANCELLED]
    assert voided.status_changes == cancelled.status_changes


@pytest.mark.parametrize(
    ("step", "reason"), [("declined", "declined"), ("expired", "expired"), ("abandoned", "abandoned")]
)
def test_a_rejected_order_has_a_reason(step, reason):
    assert STEPS[step](order()).after.history[-1].reason == reason
