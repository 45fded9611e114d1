"""The first-workflow example: a process dies after each call in turn, while the switch is thrown. No mail is lost.

A crash before a call is the same as one after the call before it.
"""

import pytest

from dev.simulated import wire


@pytest.mark.parametrize("per_cent", [0, 100])
def test_a_crash_after_any_call_leaves_one_mail_per_order(shop, per_cent):
    shop.deploy(3)
    for place in range(len(undisturbed(shop, per_cent))):
        key = f"crash-{place}"
        shop.turn(per_cent)
        with shop.wire.watched() as calls:
            shop.wire.on("*", wire.crash_after, nth=place + 1)
            order_id = place_and_throw(shop, key, per_cent)
            shop.consume()
        shop.wire.heal()
        shop.settle()
        struck = f"{calls[place].name} of {sorted(calls[place].tables)}"

        mails = len(shop.mails_of(order_id))
        differences = [found.kind for found in shop.compare().differences if found.subject == order_id]

        # THEN there is one mail; a second one only if the process died after the first was accepted, before its record
        assert mails == (2 if is_unrecorded(calls, place) else 1), struck
        # and no difference, unless the second mail was recorded as such
        assert differences in ([], ["doubled"] if mails == 2 else []), struck
        assert shop.sweep() == {"EventsSwept": 0, "SweepFailures": 0}, struck
    assert shop.stock() == 1000 - 2 * len(shop.items("orders"))


def undisturbed(shop, per_cent):
    """Return the calls of an order and its event without a crash."""
    shop.turn(per_cent)
    with shop.wire.watched() as calls:
        shop.place_patiently("warm")
        shop.consume()
    return calls


def place_and_throw(shop, key, per_cent):
    """Place an order as a patient customer does, with the switch thrown before the request is repeated."""
    try:
        answer = shop.place(key)
        assert "orderId" in answer, answer
    except wire.Crash:
        shop.turn(100 - per_cent)
        shop.clock.forward(60)
        answer = shop.place_patiently(key)
    return answer["orderId"]


def is_unrecorded(calls, place):
    """Return whether a crash came between the acceptance of the mail and the record that it was sent."""
    sent = next((n for n, call in enumerate(calls) if call.name == "sesv2.SendEmail"), len(calls))
    recorded = next((n for n, call in enumerate(calls) if n > sent and call.tables == {"idempotency"}), len(calls))
    return sent <= place < recorded
