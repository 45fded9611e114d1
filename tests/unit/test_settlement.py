"""Settle due payments, with a scripted provider."""

from dataclasses import dataclass, field

import pytest

from handoff.clock import Deadline
from handoff.errors import ConcurrentUpdate
from shop import settlement
from shop.model import Payment, PaymentDue, PaymentState, RefundState, Status
from shop.payments import (
    Authorized,
    Captured,
    Declined,
    Failed,
    Refunded,
    RefundPending,
    Unavailable,
    Unknown,
    Voided,
)
from shop.settlement import settle
from shop.transitions import refund_answered
from tests.support.orders import NOW, ORDER_ID, MemoryStore, captured, order


@dataclass
class Provider:
    """Returns or raises the scripted answers, and records the calls."""

    answers: list
    calls: list = field(default_factory=list)
    since: int = 0

    def authorize(self, key, *, order_id, amount, currency, token, can_act, since):
        self.since = since
        return self._answer("authorise", key, amount, currency, token)

    def capture(self, key, *, order_id, reference):
        return self._answer("capture", key, reference)

    def void(self, key, *, order_id, reference):
        return self._answer("void", key, reference)

    def refund(self, key, *, order_id, reference, amount, currency):
        return self._answer("refund", key, reference, amount, currency)

    def _answer(self, *call):
        self.calls.append(call)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Store:
    """Records the settled payment."""

    recorded = None

    def transition(self, step, deadline):
        self.recorded = step.after.payment
        return step.after


def due(action, *, reference="hold-1"):
    state = PaymentState.AUTHORIZED if reference else PaymentState.NONE
    return order(
        Status.PREPARED if action == "capture" else Status.CANCELLED,
        payment=Payment(state=state, reference=reference),
        payment_due=PaymentDue(action=action, since=NOW),
    )


def run(order, *answers):
    """Settle; return the recorded payment and the provider's calls."""
    provider, store = Provider(list(answers)), Store()
    settle(store, provider, order, Deadline(10))
    return store.recorded, provider.calls


def test_without_a_due_payment_nothing_is_done():
    assert run(order(Status.PLACED)) == (None, [])


@pytest.mark.parametrize(
    ("action", "answer", "state"),
    [("capture", Captured(4500), PaymentState.CAPTURED), ("void", Voided(), PaymentState.VOIDED)],
)
def test_a_known_hold_is_captured_or_voided(action, answer, state):
    recorded, calls = run(due(action), answer)

    assert recorded == Payment(state=state, reference="hold-1", captured=4500 if action == "capture" else None)
    assert calls == [(action, f"{ORDER_ID}:{action}", "hold-1")]


@pytest.mark.parametrize("action", ["capture", "void"])
def test_a_definite_refusal_is_recorded_with_its_reason(action):
    recorded, _ = run(due(action), Failed("expired"))

    assert recorded == Payment(state=PaymentState.FAILED, reference="hold-1", reason="expired")


def test_an_unknown_hold_is_looked_up_by_its_key_and_voided():
    recorded, calls = run(due("void", reference=None), Authorized("hold-2", 4500), Voided())

    assert recorded == Payment(state=PaymentState.VOIDED, reference="hold-2")
    assert calls == [
        ("authorise", f"{ORDER_ID}:authorise", 4500, "EUR", "tok_approve"),
        ("void", f"{ORDER_ID}:void", "hold-2"),
    ]


def test_an_unknown_hold_is_looked_up_since_the_orders_start():
    provider = Provider([Authorized("hold-2", 4500), Voided()])
    settle(Store(), provider, due("void", reference=None), Deadline(10))

    assert provider.since == NOW  # start of the order


def test_a_decline_means_that_nothing_was_held():
    recorded, calls = run(due("void", reference=None), Declined("card_declined"))

    assert recorded == Payment(state=PaymentState.VOIDED, reason="nothing was held")
    assert len(calls) == 1


@pytest.mark.parametrize("error", [Unknown("silence"), Unavailable("busy")])
@pytest.mark.parametrize("answers", [[], [Authorized("hold-2", 4500)]], ids=["authorise", "void"])
def test_without_a_definite_answer_nothing_is_recorded(error, answers):
    provider, store = Provider([*answers, error]), Store()

    with pytest.raises(type(error)):
        settle(store, provider, due("void", reference=None), Deadline(10))
    assert store.recorded is None


def refunds_due(**states):
    """Return a paid order with one refund of 100 for each id, in its state."""
    at = "2026-11-23T10:00:00.000Z"
    made = {
        refund_id: {"refund_id": refund_id, "amount": 100, "reason": "Broken", "request_hash": "h", "requested_at": at}
        | {"state": state}
        for refund_id, state in states.items()
    }
    return captured(refunds=made, payment_due=PaymentDue(action="refund", since=NOW))


@pytest.mark.parametrize(
    ("answer", "state", "reference"),
    [
        (Refunded("re_1"), RefundState.REFUNDED, "re_1"),
        (RefundPending("re_1"), RefundState.PENDING, "re_1"),
        (Failed("charge_disputed"), RefundState.FAILED, None),
    ],
)
def test_the_answer_about_a_refund_is_recorded(answer, state, reference):
    provider, store = Provider([answer]), MemoryStore(refunds_due(ref_1="due"))

    settled = settle(store, provider, store.order, Deadline(10))

    assert provider.calls == [("refund", f"{ORDER_ID}:refund:ref_1", "hold-1", 100, "EUR")]
    assert (settled.refunds["ref_1"].state, settled.refunds["ref_1"].reference) == (state, reference)
    assert settlement.refusal(refunds_due(ref_1="due"), settled) == (
        "charge_disputed" if state is RefundState.FAILED else None
    )


def test_a_due_refund_goes_before_a_pending_one():
    provider, store = Provider([Refunded("re_2")]), MemoryStore(refunds_due(ref_1="pending", ref_2="due"))

    settled = settle(store, provider, store.order, Deadline(10))

    assert (settled.refunds["ref_1"].state, settled.refunds["ref_2"].state) == ("pending", "refunded")
    assert settled.payment_due


def test_a_refund_that_is_still_pending_is_asked_for_later():
    provider, store = Provider([RefundPending("re_1")]), MemoryStore(refunds_due(ref_1="pending"))

    with pytest.raises(Unavailable):
        settle(store, provider, store.order, Deadline(10))
    assert store.written == []


def test_every_pending_refund_has_its_turn():
    order = refunds_due(ref_1="pending", ref_2="pending")
    provider = Provider([RefundPending("re")] * 40)

    for _ in range(40):  # by chance: that one of them is never chosen has a probability of 2 in 10^12
        with pytest.raises(Unavailable):
            settle(MemoryStore(order), provider, order, Deadline(10))

    assert len({call[1] for call in provider.calls}) == 2


def test_a_refund_that_another_worker_has_settled_is_not_settled_again():
    due = refunds_due(ref_1="due")
    provider = Provider([Refunded("re_1"), Refunded("re_1")])
    store = MemoryStore(due, meanwhile=[lambda order: settle(MemoryStore(order), provider, order, Deadline(10))])

    settled = settle(store, provider, due, Deadline(10))

    assert (settled.refunded, store.written) == (100, [])


def test_a_refund_next_to_another_change_of_the_order_stays_due():
    due = refunds_due(ref_1="due", ref_2="due")
    provider = Provider([Refunded("re_1"), Refunded("re_2")])
    other = due.refunds["ref_2"].model_copy(update={"state": RefundState.FAILED})
    store = MemoryStore(due, meanwhile=[lambda order: refund_answered(order, other, NOW).after])

    with pytest.raises(ConcurrentUpdate):
        settle(store, provider, due, Deadline(10))


def test_a_void_that_finds_the_money_captured_makes_its_refund_due():
    recorded, _ = run(due("void"), Captured(4500))

    assert recorded == Payment(state=PaymentState.CAPTURED, reference="hold-1", captured=4500)
