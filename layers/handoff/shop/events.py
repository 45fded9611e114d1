"""The shop's events. See `handoff.events` for the contract that all events keep."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from handoff.events import EventData, Id, Registry


class DetailType(StrEnum):
    """The detail types of the shop's events."""

    ORDER_PLACED = "order_placed"
    ORDER_CANCELLED = "order_cancelled"
    SHIPMENT_PREPARED = "shipment_prepared"
    USER_PROFILE_UPDATED = "user_profile_updated"


class OrderData(EventData):
    """The order, and the user who placed it."""

    order_id: Id
    user_id: Id

    @property
    def log_keys(self) -> dict[str, str]:
        """The keys that log lines about the event carry."""
        return {"order_id": self.order_id}


class ProfileData(EventData):
    """The user, and the fields of the profile that have changed."""

    user_id: Id
    changed_fields: tuple[Literal["name", "email"], ...] = Field(min_length=1)


EVENTS = Registry()
ORDER_PLACED = EVENTS.register(DetailType.ORDER_PLACED, source="handoff.orders", data=OrderData)
ORDER_CANCELLED = EVENTS.register(DetailType.ORDER_CANCELLED, source="handoff.orders", data=OrderData)
SHIPMENT_PREPARED = EVENTS.register(DetailType.SHIPMENT_PREPARED, source="handoff.fulfillment", data=OrderData)
USER_PROFILE_UPDATED = EVENTS.register(DetailType.USER_PROFILE_UPDATED, source="handoff.customers", data=ProfileData)
