"""The events of a payment provider, as they arrive on the bus."""

from dev.simulated.world import World
from handoff.clock import now_ms
from shop import events, ids
from shop.events import PaymentData

_SEQUENCE = 1  # of every provider's event: it is the only one of its aggregate


def publish(world: World, order_id: str, event_id: str = "evt_1") -> None:
    """Publish a provider's event about the payment of an order, which settlement looks up then."""
    publish_about(world, reference(world, order_id), event_id)


def publish_about(world: World, reference: str, event_id: str = "evt_1") -> None:
    """Publish a provider's event about any payment."""
    entry = events.PAYMENT_EVENT.entry(
        PaymentData(reference=reference),
        aggregate_id=event_id,
        sequence=_SEQUENCE,
        at=now_ms(),
        correlation_id="provider",
    )
    bus = world.stack.resource("Bus").ref
    sent = {"EventBusName": bus, "Source": entry.source, "DetailType": entry.detail_type, "Detail": entry.detail}
    failed = world.client("events").put_events(Entries=[sent])["FailedEntryCount"]
    assert failed == 0


def reference(world: World, order_id: str) -> str:
    """Return the provider's name for an order's payment, also while the order does not have it yet."""
    known = world.order(order_id).get("payment", {}).get("reference")
    if known is None and world.stripe:
        intents = world.stripe.intents.values()
        known = next(intent["id"] for intent in intents if intent["metadata"]["order_id"] == order_id)
    return str(known or ids.payment_key(order_id, "authorise"))
