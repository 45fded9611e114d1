"""What the sandbox does with its own tokens."""

import pytest

from dev.simulated.wire import meanwhile
from shop.payments import Unknown
from tests.support.payment_providers import PaymentsCaller, Sandbox


def test_a_late_repeat_does_not_hold_again_what_was_voided_meanwhile(world):
    # GIVEN an authorisation whose request was lost
    provider = Sandbox(world)
    shop = PaymentsCaller(provider)
    with pytest.raises(Unknown):
        shop.authorize("tok_timeout")
    # WHEN it is asked for twice at once, and voided before the slower one has its hold
    world.wire.on("dynamodb.UpdateItem", meanwhile(lambda: shop.end("void", shop.authorize("tok_timeout").reference)))
    shop.authorize("tok_timeout")
    # THEN nothing is held
    assert provider.books() == {"voided": 1}
