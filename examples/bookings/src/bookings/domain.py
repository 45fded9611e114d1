"""A booking of a hotel room for one night: its states, its transitions and its events.

NEW -> CONFIRMED -> CANCELLED
"""

from handoff.aggregate import Aggregate, Transition
from handoff.events import EventData, EventType, Id, Registry


class BookingData(EventData):
    """The booking that the event is about."""

    booking_id: Id

    @property
    def log_keys(self) -> dict[str, str]:
        """The keys that log lines about the event carry."""
        return {"booking_id": self.booking_id}


EVENTS = Registry()
BOOKING_CONFIRMED = EVENTS.register("booking_confirmed", source="hotel.bookings", data=BookingData)
BOOKING_CANCELLED = EVENTS.register("booking_cancelled", source="hotel.bookings", data=BookingData)


class NotPossible(Exception):
    """The booking's state does not allow this transition."""


class Booking(Aggregate):
    """A booking; ``night`` is the date of arrival (YYYY-MM-DD)."""

    KEY = "booking_id"

    booking_id: str
    guest: str
    room: str
    night: str
    status: str = "NEW"
    correlation_id: str


def confirmed(booking: Booking, now: int) -> Transition[Booking]:
    """Return the transition that confirms a new booking; ``now`` in epoch milliseconds."""
    return _step(booking, "NEW", "CONFIRMED", BOOKING_CONFIRMED, now)


def cancelled(booking: Booking, now: int) -> Transition[Booking]:
    """Return the transition that cancels a confirmed booking; ``now`` in epoch milliseconds."""
    return _step(booking, "CONFIRMED", "CANCELLED", BOOKING_CANCELLED, now)


def _step(booking: Booking, start: str, target: str, event: EventType, now: int) -> Transition[Booking]:
    if booking.status != start:
        raise NotPossible(f"booking {booking.booking_id} is {booking.status}")
    data = BookingData(booking_id=booking.booking_id)
    return booking.step(target, now, event=(event, data), correlation_id=booking.correlation_id)
