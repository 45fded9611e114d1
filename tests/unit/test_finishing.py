"""What the sweeper reports about refunds."""

from contextlib import suppress

import pytest

from handoff.clock import now_ms
from shop.finishing import STUCK_AFTER, OrderFinisher
from shop.model import PaymentDue, Refund, RefundState
from shop.payments import Failed, Refunded, RefundPending, Unavailable
from tests.support.orders import MemoryStore, captured

pytestmark = pytest.mark.usefixtures("clock")


class Provider:
    """Gives one answer to all refunds."""

    def __init__(self, answer):
        self._answer = answer

    def refund(self, key, **values):
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def refund_due(*states):
    """A released order with a refund in each of these states, due for a day."""
    refunds = {
        f"ref_{n}": Refund(
            **{"refund_id": f"ref_{n}", "amount": 1, "reason": "damaged", "request_hash": "", "state": state},
            requested_at="2026-11-23T10:00:00.000Z",
        )
        for n, state in enumerate(states)
    }
    return captured(refunds=refunds, payment_due=PaymentDue(action="refund", since=now_ms() - STUCK_AFTER - 1))


def report(before, answer):
    """Finish an order; return the counts that are not zero."""
    finisher = OrderFinisher(MemoryStore(before), Provider(answer), bus=None)
    with suppress(Unavailable):
        finisher.finish(before)
    return {name: count for name, count in finisher.report().items() if count}


def test_a_refund_that_waits_for_the_provider_is_not_stuck():
    assert report(refund_due(RefundState.PENDING), RefundPending("re_1")) == {}


def test_a_refund_that_the_provider_never_got_is_stuck():
    assert report(refund_due(RefundState.PENDING, RefundState.DUE), Unavailable("down")) == {"PaymentsStuck": 1}


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        (Refunded("re_1"), {"PaymentsSettled": 1, "PaymentsStuck": 1}),
        (Failed("charge_disputed"), {"PaymentsSettled": 1, "PaymentsStuck": 1, "PaymentsFailed": 1}),
    ],
)
def test_a_refused_refund_is_counted(answer, counts):
    assert report(refund_due(RefundState.DUE), answer) == counts
