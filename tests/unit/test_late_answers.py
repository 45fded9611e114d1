"""Look-ups that are older than the order, or that find it busy with something else."""

from shop import ids, transitions
from shop.model import Dispute, Payment, PaymentDue, PaymentState, Refund, RefundState
from shop.payments import DisputeFound, PaymentFound, RefundFound, Stage
from shop.reconciling import next_step
from tests.support.orders import NOW, ORDER_ID, captured


def found(**values):
    return PaymentFound("hold-1", ORDER_ID, Stage.CAPTURED, captured=4500, **values)


def test_a_merchants_refund_that_is_known_as_made_is_not_pending_again():
    refund_id = ids.refund_elsewhere(ORDER_ID, "re_1")
    known = Refund(
        refund_id=refund_id,
        amount=100,
        reason="",
        request_hash="",
        requested_at="2026-11-23T10:00:00.000Z",
        state=RefundState.REFUNDED,
        elsewhere=True,
    )

    late = found(refunds=(RefundFound("re_1", 100, "pending"),))

    assert next_step(captured(refunds={refund_id: known}), late, NOW) is None


def test_a_won_dispute_releases_the_shipment_although_a_refund_is_due():
    order = captured(
        released_at=None,
        payment=Payment(state=PaymentState.CAPTURED, captured=4500, reason=transitions.DISPUTED),
        payment_due=PaymentDue(action="refund", since=NOW),
        dispute=Dispute(reference="dp_1", amount=4500, state="won", opened_at="2026-11-23T10:00:00.000Z"),
    )

    step = next_step(order, found(dispute=DisputeFound("dp_1", 4500, "won")), NOW)

    assert step is not None
    assert step.releases_shipment
    assert step.after.payment_due == order.payment_due
