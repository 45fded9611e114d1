"""Housekeeping: counts the rooms to prepare for each night, each event exactly once."""

from handoff.startup import ready

from typing import TYPE_CHECKING, Any

from bookings.domain import BOOKING_CONFIRMED, EVENTS, BookingData
from bookings.store import BookingStore
from handoff import aws, consumer, settings
from handoff.clock import Deadline
from handoff.errors import NotYet
from handoff.events import Envelope
from handoff.once import write_once
from handoff.telemetry import logger
from handoff.update import Update

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

_SECONDS = 10.0  # for one event

_dynamodb = aws.client("dynamodb")
_table = settings.text("NIGHTS_TABLE")
_bookings = BookingStore()
_consumer = consumer.connect("housekeeping", EVENTS.parse, longest=aws.LONGEST_CALL + _SECONDS)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Consume a batch of the housekeeping queue."""
    return _consumer.run(event, context, count)


def count(envelope: Envelope) -> consumer.Handled:
    """Add a confirmed booking to its night, or take a cancelled one off."""
    booking_id = envelope.expect(BookingData).booking_id
    booking = _bookings.get(booking_id)
    if booking is None or booking.sequence < envelope.sequence:
        raise NotYet(f"booking {booking_id} is missing or older than its event")
    rooms = 1 if envelope.detail_type == BOOKING_CONFIRMED.detail_type else -1
    night = Update(_table, {"id": f"night#{booking.night}"}).add("rooms", rooms)
    marker = {envelope.event_id: {"id": f"event#{envelope.event_id}"}}
    new = write_once(_dynamodb, _table, marker, lambda _: [night.write()], Deadline(_SECONDS))
    return consumer.DONE if new else consumer.REPEATED


ready()
