"""Behavior of the sandbox's tokens."""

import pytest

from dev.simulated.wire import meanwhile
from shop.payments import Unknown
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
