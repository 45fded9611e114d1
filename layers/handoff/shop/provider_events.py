"""The payment provider's own events as the bus gets them.

An event says that something has happened to a payment; settlement looks up what. The webhook and the poller publish the
same event with the same id, so consumers recognize duplicates, and each of them works without the other.
"""

import re

from handoff.model import OutboxEntry
from shop import events
from shop.events import PaymentData
from shop.payments import ProviderEvent

_ONLY = 1  # the sequence of an event that is the only one of its aggregate
_UNSUITABLE = re.compile(r"[^A-Za-z0-9._:=-]")


def entry(event: ProviderEvent) -> OutboxEntry:
    """Return the event as the bus gets it: its id is made of the provider's, its data is the payment's reference.

    Raises
    ------
    ValueError
        If the provider's ids are not ids in the sense of the contract.
    """
    return events.PAYMENT_EVENT.entry(
        PaymentData(reference=event.reference),
        aggregate_id=event.event_id,
        sequence=_ONLY,
        at=event.at,
        correlation_id=_UNSUITABLE.sub("-", event.event_id)[:64] or "-",
    )
