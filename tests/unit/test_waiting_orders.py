"""Orders that wait for their customer: the step into the wait, out of it, and the index keys of both."""

import pytest

from handoff.clock import Deadline
from handoff.store import AggregateStore
from handoff.unfinished import SWEEP_AFTER
from shop import transitions
from shop.model import Cancellation, Dispute, Order, Payment, PaymentState, Refund, RefundState, Status
from tests.support.orders import NOW, ORDER_ID, captured, order

MINUTE = 60_000
UNTIL = NOW + 15 * MINUTE
HOLD = "hold-1"
CUSTOMER = Cancellation(by="customer")
# As stored by the reservation, a second ago.
NEW = order(due_at=NOW - 1000 + SWEEP_AFTER, unfinished_since=NOW - 1000)
ENDS = {
    "placed": lambda before: transitions.placed(before, HOLD, NOW),
    "declined": lambda before: transitions.declined(before, "authentication_failed", NOW),
    "expired": lambda before: transitions.expired(before, NOW),
    "abandoned": lambda before: transitions.abandoned(before, CUSTOMER, NOW),
}


def begins(look_at=NOW + 2 * MINUTE, before=NEW):
    return transitions.action_required(before, HOLD, NOW, until=UNTIL, look_at=look_at)


class Client:
    """Keeps the update that a store sends."""

    def update_item(self, **request):
        self.request = request


def written(step):
    """The values that a step writes, by attribute."""
    client = Client()
    AggregateStore(client, "orders", Order, 4).write(step, Deadline(10))
    request = client.request
    sets = request["UpdateExpression"].split("SET ", 1)[1].split(" REMOVE ")[0].split(" ADD ")[0]
    names = request["ExpressionAttributeNames"]
    found = {}
    for part in sets.split(", "):
        name, _, value = part.partition(" = ")
        found[names.get(name.strip(), name.strip())] = value.strip()
    values = request["ExpressionAttributeValues"]
    return {name: next(iter(values[value].values())) for name, value in found.items() if value in values}


def test_the_wait_keeps_the_order_pending_and_frees_it_for_others():
    waits = begins().after

    assert (waits.status, waits.waits_for_customer, waits.lease_until) == (Status.PENDING, True, 0)
    assert (waits.payment, waits.payment_token) == (
        Payment(state=PaymentState.ACTION_REQUIRED, reference=HOLD),
        None,
    )
    assert waits.outbox == {}
    assert (waits.expires_at, waits.unfinished_since) == (UNTIL, UNTIL)


@pytest.mark.parametrize("look_at", [NOW + 2 * MINUTE, UNTIL + MINUTE])
def test_the_sweeper_looks_at_the_latest_when_the_time_is_over(look_at):
    assert begins(look_at).after.due_at == min(look_at, UNTIL)


def test_the_wait_writes_its_index_keys():
    keys = written(begins())

    assert (keys["dueAt"], keys["unfinishedSince"]) == (str(NOW + 2 * MINUTE), str(UNTIL))


def test_a_step_of_an_order_that_never_waited_keeps_its_index_keys():
    assert not {"dueAt", "unfinishedSince"} & written(transitions.placed(NEW, HOLD, NOW)).keys()


@pytest.mark.parametrize("end", ENDS)
def test_the_age_counts_from_the_end_of_the_wait(end):
    step = ENDS[end](begins().after)

    assert step.after.unfinished_since == NOW
    keys = written(step)
    assert (keys["dueAt"], keys["unfinishedSince"]) == (str(NOW + SWEEP_AFTER), str(NOW))


@pytest.mark.parametrize(
    ("end", "due"), [("placed", None), ("declined", "void"), ("expired", "void"), ("abandoned", "void")]
)
def test_a_wait_that_ends_without_an_order_voids_the_payment(end, due):
    after = ENDS[end](begins().after).after

    assert (after.payment_due.action if after.payment_due else None) == due
    assert after.payment.reference == HOLD


def test_a_decline_without_a_wait_has_nothing_to_void():
    assert transitions.declined(NEW, "card_declined", NOW).after.payment_due is None


def test_what_counts_for_the_limits():
    assert ENDS["declined"](NEW).counts == {"declines": 1}
    assert transitions.cancelled(order(Status.PLACED), CUSTOMER, NOW).counts == {"orders": 1}
    for step in (ENDS["placed"](NEW), ENDS["expired"](NEW), ENDS["abandoned"](NEW), begins()):
        assert step.counts == {}


# --- at the provider, without us --------------------------------------------------------------------------------------


def test_a_lost_hold_cancels_the_order_for_the_shop():
    step = transitions.hold_lost(
        order(Status.PLACED, payment=Payment(state=PaymentState.AUTHORIZED, reference=HOLD)), NOW
    )

    assert (step.after.status, step.after.payment.state) == (Status.CANCELLED, PaymentState.VOIDED)
    assert step.after.cancellation == Cancellation(by="shop", reason=transitions.HOLD_LOST)
    assert (step.restock, step.closes_shipment, step.counts) == ({"MUG-01": 2, "TEE-02": 1}, True, {})
    assert (step.after.payment_due, step.after.payment_token) == (None, None)


@pytest.mark.parametrize(
    ("payment", "values", "reason"),
    [
        ({"captured": 4500}, {}, None),
        ({"captured": None}, {}, None),
        ({"captured": 4499}, {}, "captured 4499 of 4500"),
        ({"captured": 4501}, {}, "captured 4501 of 4500"),
        ({"captured": 4500}, {"dispute": "open"}, transitions.DISPUTED),
        ({"captured": 4500}, {"dispute": "lost"}, transitions.DISPUTED),
        ({"captured": 4500}, {"dispute": "won"}, None),
        ({"captured": 4500}, {"refunded": 4499}, None),
        ({"captured": 4500}, {"refunded": 4500}, transitions.REFUNDED_BEFORE),
    ],
)
def test_a_captured_payment_releases_the_goods_unless_it_differs(payment, values, reason):
    at = "2026-11-23T10:00:00.000Z"
    more = {}
    if "dispute" in values:
        more["dispute"] = Dispute(reference="dp_1", amount=4500, state=values["dispute"], opened_at=at)
    if "refunded" in values:
        made = {"refund_id": "ref_1", "reason": "", "request_hash": "", "requested_at": at}
        more["refunds"] = {
            "ref_1": Refund(amount=values["refunded"], state=RefundState.REFUNDED, elsewhere=True, **made)
        }
    before = transitions.prepared(order(Status.PLACED, **more), NOW).after
    step = transitions.settled(before, Payment(state=PaymentState.CAPTURED, reference=HOLD, **payment), NOW)

    assert (step.after.payment.reason, step.releases_shipment) == (reason, reason is None)
    assert [entry.detail_type for entry in step.after.outbox.values()][1:] == ["shipment_released"] * (reason is None)


def test_a_won_dispute_releases_the_goods():
    payment = Payment(state=PaymentState.CAPTURED, reference=HOLD, captured=4500, reason=transitions.DISPUTED)
    step = transitions.released_after_dispute(captured(payment=payment, released_at=None), NOW)

    assert (step.releases_shipment, step.after.payment.reason) == (True, None)
    assert step.after.released == "2026-11-23T10:00:00.000Z"
    assert step.after.order_id == ORDER_ID
