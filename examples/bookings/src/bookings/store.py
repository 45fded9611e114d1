"""Bookings in DynamoDB, with the claim on the room's night that changes in the same transaction."""

from bookings.domain import Booking, cancelled, confirmed
from handoff import aws, settings
from handoff.attribute_values import to_item
from handoff.clock import Deadline, now_ms
from handoff.store import AggregateStore
from handoff.update import put_new


class RoomTaken(Exception):
    """Another booking has the room for that night."""


class BookingStore(AggregateStore[Booking]):
    """Reads and conditional writes of bookings. A claim exists while a booking is confirmed."""

    def __init__(self) -> None:
        client = aws.client("dynamodb")
        shards = int(settings.number("UNFINISHED_SHARDS"))
        super().__init__(client, settings.text("BOOKINGS_TABLE"), Booking, shards)
        self._claims = settings.text("CLAIMS_TABLE")

    def confirm(self, booking: Booking, deadline: Deadline) -> Booking:
        """Store a new booking and claim its room, all or nothing.

        Raises
        ------
        RoomTaken
            If another booking has the room for that night.
        ConcurrentUpdate
            If the booking exists.
        """
        claim = put_new(self._claims, {"roomNight": _room_night(booking), "bookingId": booking.key}, "roomNight")
        try:
            return self.write(confirmed(booking, now_ms()), deadline, [claim])
        except aws.ConditionFailed as failed:  # only the claim failed: the booking itself is new
            raise RoomTaken(f"room {booking.room} is taken on {booking.night}") from failed

    def cancel(self, booking: Booking, deadline: Deadline) -> Booking:
        """Cancel a booking and free its room, all or nothing.

        Raises
        ------
        NotPossible
            If it is not confirmed.
        ConcurrentUpdate
            If it has changed since it was read.
        """
        key = to_item({"roomNight": _room_night(booking)})
        return self.write(cancelled(booking, now_ms()), deadline, [{"Delete": {"TableName": self._claims, "Key": key}}])


def _room_night(booking: Booking) -> str:
    return f"{booking.room}#{booking.night}"
