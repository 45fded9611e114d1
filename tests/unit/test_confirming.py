"""Confirming an order whose customer had to act: every answer of the provider, and every other writer."""

from types import SimpleNamespace

import pytest

from handoff.clock import Deadline
from handoff.errors import TransactionConflict
from shop import confirming, errors, payments, transitions
from shop.model import Cancellation, Payment, PaymentState, Status
from shop.payments import PaymentFound, Stage, Unavailable, Unknown
from shop.placing import ActionNeeded
from tests.support.orders import NOW, ORDER_ID, MemoryStore, order

HOLD = "hold-1"
SECRET = "hold-1_secret_x"  # of no real payment
WAITING = order(payment=Payment(state=PaymentState.ACTION_REQUIRED, reference=HOLD), lease_until=0)


class Provider:
    """Answers the look-up of a payment, and counts how often it was asked."""

    def __init__(self, answer):
        self._answer = answer
        self.asked = 0

    def look_up(self, reference):
        assert reference == HOLD
        self.asked += 1
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def found(stage, **values):
    held = {"held": 4500} if stage is Stage.HELD else {}
    return PaymentFound(reference=HOLD, order_id=ORDER_ID, stage=stage, client_secret=SECRET, **(held | values))


@pytest.fixture
def shop(monkeypatch):
    """A shop whose store and provider are as given; its events are not published."""
    monkeypatch.setattr(confirming, "publish", lambda *_: None)
    return lambda store, answer: SimpleNamespace(orders=store, payments=Provider(answer))


def confirm(shop, seconds=20):
    return confirming.confirm_own_order(shop, ORDER_ID, "ada", Deadline(seconds))


def test_a_held_payment_places_the_order(shop):
    store = MemoryStore(WAITING)

    assert confirm(shop(store, found(Stage.HELD))).status is Status.PLACED
    assert [step.after.status for step in store.written] == [Status.PLACED]


def test_an_order_that_still_waits_gets_its_secret_again(shop):
    with pytest.raises(ActionNeeded) as needed:
        confirm(shop(MemoryStore(WAITING), found(Stage.ACTION_REQUIRED)))

    assert (needed.value.client_secret, needed.value.order) == (SECRET, WAITING)
    assert SECRET not in str(needed.value)


@pytest.mark.parametrize("stage", [Stage.FAILED, Stage.VOIDED])
def test_a_failed_payment_rejects_the_order(shop, stage):
    store = MemoryStore(WAITING)

    with pytest.raises(errors.PaymentDeclined) as declined:
        confirm(shop(store, found(stage, reason="card_declined")))
    assert declined.value.reason == "card_declined"
    assert store.order.status is Status.REJECTED


@pytest.mark.parametrize("answer", [Unavailable("down"), Unknown("lost"), None, found(Stage.PROCESSING)])
def test_without_a_result_the_order_keeps_waiting(shop, answer):
    store = MemoryStore(WAITING)

    with pytest.raises(errors.TryLater):
        confirm(shop(store, answer))
    assert (store.order, store.written) == (WAITING, [])


def test_the_provider_is_not_asked_without_time_for_the_write(shop):
    asked = shop(MemoryStore(WAITING), found(Stage.HELD))

    with pytest.raises(errors.TryLater):
        confirm(asked, seconds=payments.LONGEST_CALL)
    assert asked.payments.asked == 0


@pytest.mark.parametrize(
    ("faster", "outcome"),
    [
        (lambda before: transitions.placed(before, HOLD, NOW).after, None),
        (lambda before: transitions.declined(before, "card_declined", NOW).after, errors.PaymentDeclined),
        (lambda before: transitions.expired(before, NOW).after, errors.OrderExpired),
        (
            lambda before: transitions.abandoned(before, Cancellation(by="customer"), NOW).after,
            errors.OrderAbandoned,
        ),
    ],
    ids=["placed", "declined", "expired", "cancelled"],
)
def test_a_faster_writer_decides(shop, faster, outcome):
    store = MemoryStore(WAITING, meanwhile=[faster])

    if outcome:
        with pytest.raises(outcome):
            confirm(shop(store, found(Stage.HELD)))
    else:
        assert confirm(shop(store, found(Stage.HELD))).status is Status.PLACED
    assert store.written == []


def test_a_busy_order_is_tried_later(shop):
    class Busy(MemoryStore):
        def transition(self, step, deadline):
            raise TransactionConflict("busy")

    with pytest.raises(errors.TryLater):
        confirm(shop(Busy(WAITING), found(Stage.HELD)))


@pytest.mark.parametrize(
    ("before", "outcome"),
    [
        (None, errors.NoSuchOrder),
        (order(Status.PLACED, user_id="eve"), errors.NoSuchOrder),
        (order(Status.PENDING), errors.InProgress),
        (transitions.declined(order(), "card_declined", NOW).after, errors.PaymentDeclined),
        (transitions.expired(order(), NOW).after, errors.OrderExpired),
    ],
    ids=["unknown", "foreign", "being placed", "declined", "expired"],
)
def test_other_orders_are_answered_without_the_provider(shop, before, outcome):
    asked = shop(MemoryStore(before), found(Stage.HELD))

    with pytest.raises(outcome):
        confirm(asked)
    assert asked.payments.asked == 0


@pytest.mark.parametrize("status", [Status.PLACED, Status.PREPARED, Status.CANCELLED])
def test_an_order_that_was_placed_is_returned_as_it_is(shop, status):
    before = order(status)
    asked = shop(MemoryStore(before), found(Stage.HELD))

    assert confirm(asked) == before
    assert asked.payments.asked == 0
