"""Books and cancels rooms. It is invoked directly, with a `Request` as its event.

``key`` is the guest's idempotency key: the same request again returns the same booking.
"""

from handoff.startup import ready

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from bookings.domain import Booking, NotPossible
from bookings.store import BookingStore, RoomTaken
from handoff import bus, ids, settings
from handoff.clock import Deadline
from handoff.errors import ConcurrentUpdate
from handoff.outbox import announce
from handoff.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_SECONDS = 20.0  # for a whole request; the function's timeout is 25 s
Text = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]

_bookings = BookingStore()
_bus = bus.connect(settings.text("BUS_NAME"))


class Request(BaseModel):
    """A request to book or to cancel."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["book", "cancel"]
    guest: Text
    key: Text
    room: Text
    night: date


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Return the booking as it is now, or an error with its reason."""
    try:
        request = Request.model_validate(event)
        booking = book(request) if request.action == "book" else cancel(request)
    except ValidationError as error:
        return {"error": "invalid", "fields": sorted({".".join(map(str, part["loc"])) for part in error.errors()})}
    except (RoomTaken, NotPossible) as error:
        return {"error": type(error).__name__, "reason": str(error)}
    return {"bookingId": booking.key, "room": booking.room, "night": booking.night, "status": booking.status}


def book(request: Request) -> Booking:
    """Confirm a booking and publish its event; a repeated request returns the same booking."""
    deadline = Deadline(_SECONDS)
    booking = Booking(
        booking_id=_booking_id(request),
        guest=request.guest,
        room=request.room,
        night=request.night.isoformat(),
        correlation_id=ids.unique(),
    )
    try:
        confirmed = _bookings.confirm(booking, deadline)
    except ConcurrentUpdate as repeated:
        existing: Booking = repeated.current
        return existing
    return announce(_bookings, _bus, confirmed, deadline)


def cancel(request: Request) -> Booking:
    """Cancel a booking and publish its event. Idempotent."""
    deadline = Deadline(_SECONDS)
    booking = _bookings.get(_booking_id(request))
    if booking is None:
        raise NotPossible("there is no such booking")
    if booking.status == "CANCELLED":
        return booking
    return announce(_bookings, _bus, _bookings.cancel(booking, deadline), deadline)


def _booking_id(request: Request) -> str:
    return ids.derived("bkg_", request.guest, request.key)


ready()
