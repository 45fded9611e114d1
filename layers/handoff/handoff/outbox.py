"""From an aggregate's outbox to the bus."""

from handoff.bus import Bus
from handoff.clock import Deadline
from handoff.model import Order
from handoff.order_store import OrderStore
from handoff.unfinished import Remains


def announce(orders: OrderStore, bus: Bus, order: Order, deadline: Deadline) -> None:
    """Publish an order's events, oldest first, and take out what the bus took; the sweeper does what is left."""
    sequences = sorted(order.outbox, key=int)
    taken = bus.publish([order.outbox[sequence] for sequence in sequences])
    published = [sequence for sequence, ok in zip(sequences, taken, strict=True) if ok]
    if published:
        seen = Remains(frozenset(order.outbox), payment_due=order.payment_due is not None)
        orders.unfinished.clear(order.order_id, seen, published, deadline)
