"""Effects of consumers, in words.

A consumer that has no entry here is shown all the same: its events are "handled".
"""

# What a consumer does to the events that it has done, in one word.
ENDS = {
    "emails": "mailed",
    "analytics": "counted",
    "fulfillment": "packed",
    "settlement": "paid, shipped",
    "partners": "delivered",
}
EFFECTS = {
    ("emails", "order_placed"): "confirmation mailed",
    ("emails", "order_cancelled"): "cancellation mailed",
    ("emails", "shipment_released"): "shipping notice mailed",
    ("emails", "order_refunded"): "refund mailed",
    ("emails", "return_requested"): "receipt of the return request mailed",
    ("analytics", "order_placed"): "sale counted",
    ("analytics", "order_cancelled"): "cancellation counted",
    ("analytics", "order_refunded"): "refund counted",
    ("fulfillment", "order_placed"): "handed to packing",
    ("settlement", "shipment_prepared"): "payment captured, shipment released",
    ("settlement", "order_cancelled"): "payment settled",
    ("settlement", "refund_requested"): "refund settled",
}


def end(consumer: str) -> str:
    """Return what a consumer does to its events, in one or two words."""
    return ENDS.get(consumer, "handled")


def of(consumer: str, event_type: str) -> str:
    """Return what a consumer has done about an event, in words."""
    return EFFECTS.get((consumer, event_type)) or f"{event_type.replace('_', ' ')} {end(consumer)}".strip()
