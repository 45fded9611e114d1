"""An order follows its payment: the next step for each state of both."""

import pytest

from handoff.clock import Deadline
from shop import ids, reconciling, transitions
from shop.model import Dispute, Payment, PaymentState, Refund, RefundState, Status
from shop.payments import DisputeFound, PaymentFound, RefundFound, Stage, Unavailable
from shop.reconciling import next_step
from tests.support.orders import NOW, ORDER_ID, MemoryStore, captured, order

TOTAL = 4500
HOLD = "hold-1"
REFUND = Refund(
    refund_id="ref_1",
    amount=500,
    reason="damaged",
    request_hash="",
    requested_at="2026-11-23T10:00:00.000Z",
    state=RefundState.REFUNDED,
)


def found(stage, **values):
    amounts = {Stage.HELD: {"held": TOTAL}, Stage.CAPTURED: {"captured": TOTAL}}.get(stage, {})
    return PaymentFound(reference=HOLD, order_id=ORDER_ID, stage=stage, **(amounts | values))


def waiting(**values):
    return order(payment=Payment(state=PaymentState.ACTION_REQUIRED, reference=HOLD), lease_until=0, **values)


def authorized(status=Status.PLACED, **values):
    return order(status, payment=Payment(state=PaymentState.AUTHORIZED, reference=HOLD), **values)


def after(before, payment):
    """The order after one step; None if no step is missing."""
    step = next_step(before, payment, NOW)
    return step.after if step else None


# --- the customer's action --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", Stage)
def test_an_order_that_waits_ends_as_its_payment_does(stage):
    ends = {
        Stage.HELD: Status.PLACED,
        Stage.CAPTURED: Status.PLACED,
        Stage.FAILED: Status.REJECTED,
        Stage.VOIDED: Status.REJECTED,
    }
    changed = after(waiting(), found(stage))

    assert (changed.status if changed else None) == ends.get(stage)


@pytest.mark.parametrize("stage", [Stage.HELD, Stage.CAPTURED])
@pytest.mark.parametrize("amount", [1, TOTAL - 1, TOTAL + 1])
def test_an_order_that_waits_is_not_placed_for_another_amount(stage, amount):
    changed = after(waiting(), found(stage, **{"held" if stage is Stage.HELD else "captured": amount}))

    assert (changed.status, changed.payment.reason) == (Status.REJECTED, "held_another_amount")
    assert changed.payment_due.action == "void"


def test_the_reason_of_a_failed_action_is_kept_and_its_payment_voided():
    changed = after(waiting(), found(Stage.FAILED, reason="card_declined"))

    assert (changed.payment.state, changed.payment.reason) == (PaymentState.FAILED, "card_declined")
    assert changed.payment_due.action == "void"
    assert next_step(waiting(), found(Stage.FAILED), NOW).counts == {"declines": 1}


# --- all stages and statuses ------------------------------------------------------------------------------------------

LATER = {
    (Status.PLACED, Stage.VOIDED): (Status.CANCELLED, PaymentState.VOIDED),
    (Status.PLACED, Stage.CAPTURED): (Status.PLACED, PaymentState.CAPTURED),
}


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("stage", Stage)
def test_an_authorized_order_changes_only_if_its_hold_is_gone_before_packing(status, stage):
    changed = after(authorized(status), found(stage))

    assert (changed and (changed.status, changed.payment.state)) == LATER.get((status, stage))


@pytest.mark.parametrize("state", [PaymentState.NONE, PaymentState.VOIDED, PaymentState.FAILED])
@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("stage", Stage)
def test_a_payment_that_is_not_open_stays_as_it_is(state, status, stage):
    ended = order(status, payment=Payment(state=state, reference=HOLD))

    refunds = (RefundFound("re_1", 500, "refunded"),)
    assert after(ended, found(stage, refunds=refunds, dispute=DisputeFound("dp_1", TOTAL, "open"))) is None


@pytest.mark.parametrize("stage", Stage)
def test_a_captured_order_without_news_stays_as_it_is(stage):
    assert after(captured(), found(stage)) is None


def test_a_capture_of_a_part_is_recorded_with_its_amount():
    changed = after(authorized(), found(Stage.CAPTURED, captured=500))

    assert (changed.payment.captured, changed.payment.reason) == (500, "captured 500 of 4500")
    assert changed.history[-1].reason == "captured 500 of 4500"


# --- refunds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["refunded", "pending", "failed"])
def test_a_merchants_refund_is_recorded_once_and_follows_the_provider(state):
    payment = found(Stage.CAPTURED, refunds=(RefundFound("re_1", 500, state, failure="expired_card"),))
    changed = after(captured(), payment)

    (refund,) = changed.refunds.values()
    assert refund.refund_id == ids.refund_elsewhere(ORDER_ID, "re_1")
    assert (refund.state, refund.amount, refund.elsewhere) == (state, 500, True)
    assert changed.payment_due is None
    assert changed.refunded == (500 if state == "refunded" else 0)
    assert [entry.detail_type for entry in changed.outbox.values()] == ["order_refunded"] * (state == "refunded")
    assert after(changed, payment) is None


def test_a_merchants_pending_refund_is_completed_later():
    pending = after(captured(), found(Stage.CAPTURED, refunds=(RefundFound("re_1", 500, "pending"),)))
    done = after(pending, found(Stage.CAPTURED, refunds=(RefundFound("re_1", 500, "refunded"),)))

    assert (pending.refunded, done.refunded, len(done.refunds)) == (0, 500, 1)


@pytest.mark.parametrize("state", ["refunded", "pending"])
def test_a_failed_refund_is_not_revived_by_an_older_answer(state):
    failed = after(captured(), found(Stage.CAPTURED, refunds=(RefundFound("re_1", 500, "failed"),)))

    assert after(failed, found(Stage.CAPTURED, refunds=(RefundFound("re_1", 500, state),))) is None


@pytest.mark.parametrize("known", RefundState)
@pytest.mark.parametrize("state", ["refunded", "pending", "failed"])
def test_our_own_refund_changes_only_if_the_bank_returns_it(known, state):
    before = captured(refunds={"ref_1": REFUND.model_copy(update={"state": known})})
    one = RefundFound("re_1", 500, state, key=ids.refund_key(ORDER_ID, "ref_1"), failure="lost_card")
    changed = after(before, found(Stage.CAPTURED, refunds=(one,)))

    returned = (known, state) == (RefundState.REFUNDED, "failed")
    assert (changed is not None) == returned
    if returned:
        assert (changed.refunds["ref_1"].failure, changed.refunded) == ("lost_card", 0)


# --- disputes ---------------------------------------------------------------------------------------------------------


def disputed(state, **values):
    return Dispute(reference="dp_1", amount=TOTAL, state=state, opened_at="2026-11-23T09:00:00.000Z", **values)


@pytest.mark.parametrize("known", [None, "open", "won", "lost"])
@pytest.mark.parametrize("state", ["open", "won", "lost"])
def test_a_dispute_is_recorded_and_never_goes_back(known, state):
    before = captured(dispute=disputed(known) if known else None)
    changed = after(before, found(Stage.CAPTURED, dispute=DisputeFound("dp_1", TOTAL, state)))

    is_new = known is None or (known == "open" and state != "open")
    assert (changed.dispute.state if changed else known) == (state if is_new else known)
    assert (changed is not None) == is_new
    if changed:
        assert [entry.detail_type for entry in changed.outbox.values()] == ["payment_disputed"]
        assert changed.dispute.opened_at == ("2026-11-23T09" if known else "2026-11-23T10") + ":00:00.000Z"


def test_another_dispute_of_the_same_payment_is_recorded():
    before = captured(dispute=disputed("won"))

    assert after(before, found(Stage.CAPTURED, dispute=DisputeFound("dp_2", 100, "open"))).dispute.reference == "dp_2"


@pytest.mark.parametrize(("reason", "releases"), [(transitions.DISPUTED, True), ("captured 500 of 4500", False)])
def test_a_won_dispute_releases_only_what_waited_for_it(reason, releases):
    payment = Payment(state=PaymentState.CAPTURED, reference=HOLD, captured=TOTAL, reason=reason)
    before = captured(payment=payment, released_at=None, dispute=disputed("won"))
    step = next_step(before, found(Stage.CAPTURED, dispute=DisputeFound("dp_1", TOTAL, "won")), NOW)

    assert bool(step and step.releases_shipment) == releases


# --- writing the steps ------------------------------------------------------------------------------------------------


@pytest.fixture
def reconcile(monkeypatch):
    """Reconcile an order in memory; its events are not published."""
    monkeypatch.setattr(reconciling, "announce", lambda _store, _bus, changed, _deadline: changed)

    def run(store, payment):
        return reconciling.reconcile(store, None, store.order, payment, Deadline(10))

    return run


def test_all_missing_steps_are_written(reconcile):
    store = MemoryStore(waiting())
    payment = found(Stage.CAPTURED, refunds=(RefundFound("re_1", 500, "refunded"),))
    changed = reconcile(store, payment)

    assert [step.after.payment.state for step in store.written] == ["authorised", "captured", "captured"]
    assert (changed.status, changed.refunded) == (Status.PLACED, 500)


def test_another_writer_that_was_faster_is_respected(reconcile):
    store = MemoryStore(waiting(), meanwhile=[lambda before: transitions.placed(before, HOLD, NOW).after])
    changed = reconcile(store, found(Stage.HELD))

    assert (changed.status, store.written) == (Status.PLACED, [])


def test_more_steps_than_one_look_makes_are_left_for_the_next(reconcile):
    refunds = tuple(RefundFound(f"re_{n}", 1, "refunded") for n in range(25))
    store = MemoryStore(captured())

    with pytest.raises(Unavailable):
        reconcile(store, found(Stage.CAPTURED, refunds=refunds))
    assert len(store.order.refunds) == 20
    assert len(reconcile(store, found(Stage.CAPTURED, refunds=refunds)).refunds) == 25
