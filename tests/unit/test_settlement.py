"""Settle due payments, with a scripted provider."""

from dataclasses import dataclass, field

import pytest

from handoff.clock import Deadline
from shop.model import Payment, PaymentDue, PaymentState, Status
from shop.payments import Authorized, Captured, Declined, Failed, Unavailable, Unknown, Voided
from shop.settlement import settle
from tests.support.orders import NOW, ORDER_ID, order


@dataclass
class Provider:
    """Returns or raises the scripted answers, and records the calls."""

    answers: list
    calls: list = field(default_factory=list)
    since: int = 0

    def authorize(self, key, *, order_id, amount, currency, token, since):
        self.since = since
        return self._answer("authorise", key, amount, currency, token)

    def capture(self, key, *, order_id, reference):
        return self._answer("capture", key, reference)

    def void(self, key, *, order_id, reference):
        return self._answer("void", key, reference)

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
    [("capture", Captured(), PaymentState.CAPTURED), ("void", Voided(), PaymentState.VOIDED)],
)
def test_a_known_hold_is_captured_or_voided(action, answer, state):
    recorded, calls = run(due(action), answer)

    assert recorded == Payment(state=state, reference="hold-1")
    assert calls == [(action, f"{ORDER_ID}:{action}", "hold-1")]


@pytest.mark.parametrize("action", ["capture", "void"])
def test_a_definite_refusal_is_recorded_with_its_reason(action):
    recorded, _ = run(due(action), Failed("expired"))

    assert recorded == Payment(state=PaymentState.FAILED, reference="hold-1", reason="expired")


def test_an_unknown_hold_is_looked_up_by_its_key_and_voided():
    recorded, calls = run(due("void", reference=None), Authorized("hold-2"), Voided())

    assert recorded == Payment(state=PaymentState.VOIDED, reference="hold-2")
    assert calls == [
        ("authorise", f"{ORDER_ID}:authorise", 4500, "EUR", "tok_approve"),
        ("void", f"{ORDER_ID}:void", "hold-2"),
    ]


def test_an_unknown_hold_is_looked_up_since_the_orders_start():
    provider = Provider([Authorized("hold-2"), Voided()])
    settle(Store(), provider, due("void", reference=None), Deadline(10))

    assert provider.since == NOW  # start of the order


def test_a_decline_means_that_nothing_was_held():
    recorded, calls = run(due("void", reference=None), Declined("card_declined"))

    assert recorded == Payment(state=PaymentState.VOIDED, reason="nothing was held")
    assert len(calls) == 1


@pytest.mark.parametrize("error", [Unknown("silence"), Unavailable("busy")])
@pytest.mark.parametrize("answers", [[], [Authorized("hold-2")]], ids=["authorise", "void"])
def test_without_a_definite_answer_nothing_is_recorded(error, answers):
    provider, store = Provider([*answers, error]), Store()

    with pytest.raises(type(error)):
        settle(store, provider, due("void", reference=None), Deadline(10))
    assert store.recorded is None
