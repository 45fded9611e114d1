"""Behavior of the sandbox's tokens."""

import pytest

from dev.simulated.wire import meanwhile
from shop.payments import Captured, Failed, Unknown, Voided
from shop.payments.sandbox import CALLS
from tests.support.payment_providers import PaymentsCaller, Sandbox


def test_a_late_repeat_does_not_renew_a_voided_hold(world):
    # GIVEN an authorization whose request was lost
    provider = Sandbox(world)
    shop = PaymentsCaller(provider)
    with pytest.raises(Unknown):
        shop.authorize("tok_timeout")
    # WHEN it is requested twice concurrently, and voided before the slower request ends
    world.wire.on("dynamodb.UpdateItem", meanwhile(lambda: shop.end("void", shop.authorize("tok_timeout").reference)))
    shop.authorize("tok_timeout")
    # THEN nothing is held
    assert provider.books() == {"voided": 1}


@pytest.mark.parametrize(
    ("step", "other", "answer"),
    [
        ("capture", "capture", Captured(4500)),
        ("capture", "void", Failed("nothing is held under this reference")),
        ("void", "void", Voided()),
        ("void", "capture", Captured(4500)),
    ],
)
def test_a_hold_that_is_ended_meanwhile_is_judged_by_its_state(world, step, other, answer):
    provider = Sandbox(world)
    shop = PaymentsCaller(provider)
    reference = shop.hold()
    world.wire.on("dynamodb.TransactWriteItems", meanwhile(lambda: shop.end(other, reference)))

    assert shop.end(step, reference) == answer
    assert sum(provider.books().values()) == 1


def test_refunds_of_a_failing_token_fail_and_leave_the_amount(world):
    provider = Sandbox(world)
    shop = PaymentsCaller(provider)
    reference = shop.captured(token="tok_refund_fails")

    failed = [shop.refund(reference, 4500, key) for key in ("a", "a", "b")]

    assert failed == [Failed("expired_or_canceled_card")] * 3
    assert provider.refunds() == []
    assert world.item("SandboxTable", key=reference)["refunded"] == 0


def test_a_call_asks_the_ledger_at_most_twice(world):
    provider = Sandbox(world)
    shop = PaymentsCaller(provider)

    def calls(ask):
        before = len(world.wire.calls)
        ask()
        return len(world.wire.calls) - before

    reference = shop.hold(token="tok_refund_pending")
    for ask in (
        lambda: shop.end("capture", reference),
        lambda: shop.end("void", reference),
        lambda: shop.refund(reference, 1000),  # pending
        lambda: shop.refund(reference, 1000),  # then refunded
        lambda: shop.refund(reference, 1000),
        lambda: shop.refund(reference, 4000, "too much"),
    ):
        assert calls(ask) <= CALLS
