"""Pending deliveries in an order's timeline: when a consumer tries again."""

import pytest

from handoff.clock import from_iso
from ops.trace import pending
from ops.trace.log_lines import LogLine
from ops.trace.order_record import Event
from ops.trace.pending import Delivery
from shop.events import DetailType

AT = from_iso("2026-11-23T10:00:00.000Z")
DELIVERY = Delivery("partners", Event("ord_1-1", DetailType.ORDER_PLACED, AT, True))


@pytest.mark.parametrize(
    ("keys", "retry_by"),
    [
        ({}, "10:00:10"),  # a line of an older release
        ({"retry_in": 8}, "10:00:10"),  # the backoff, shortened at random
        ({"retry_in": 900}, "10:15:00"),  # as the partner asked
    ],
)
def test_a_failed_delivery_says_by_when_it_is_retried(keys, retry_by):
    failed = {"level": "WARNING", "event_id": "ord_1-1", "outcome": "retried", "receives": 1, "reason": "no", **keys}
    item = pending.of_delivery(DELIVERY, [LogLine(AT, "partners", "event failed", failed)])
    assert item.what == f"order_placed failed at receive 1: no; retry by 2026-11-23T{retry_by}.000Z"
