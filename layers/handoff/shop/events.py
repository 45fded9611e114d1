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
    SHIPMENT_RELEASED = "shipment_released"
    REFUND_REQUESTED = "refund_requested"
    ORDER_REFUNDED = "order_refunded"
    RETURN_REQUESTED = "return_requested"
    PAYMENT_DISPUTED = "payment_disputed"
    PAYMENT_EVENT = "payment_event"
    USER_PROFILE_UPDATED = "user_profile_updated"
    USER_ERASED = "user_erased"


class OrderData(EventData):
    """The order, and the user who placed it."""

    order_id: Id
    user_id: Id

    @property
    def log_keys(self) -> dict[str, str]:
        """The keys that log lines about the event carry."""
        return {"order_id": self.order_id}


class PaymentData(EventData):
    """The provider's name for the payment that something has happened to. Look it up at the provider to see what."""

    reference: Id

    @property
    def log_keys(self) -> dict[str, str]:
        """The keys that log lines about the event carry."""
        return {"payment_reference": self.reference}


class ProfileData(EventData):
    """The user, and the fields of the profile that have changed."""

    user_id: Id
    changed_fields: tuple[Literal["name", "email"], ...] = Field(min_length=1)


class UserData(EventData):
    """The user whose personal data was erased. Consumers with data of their own about the user erase it too."""

    user_id: Id


EVENTS = Registry()
ORDER_PLACED = EVENTS.register(DetailType.ORDER_PLACED, source="handoff.orders", data=OrderData)
ORDER_CANCELLED = EVENTS.register(DetailType.ORDER_CANCELLED, source="handoff.orders", data=OrderData)
SHIPMENT_PREPARED = EVENTS.register(DetailType.SHIPMENT_PREPARED, source="handoff.fulfillment", data=OrderData)
SHIPMENT_RELEASED = EVENTS.register(DetailType.SHIPMENT_RELEASED, source="handoff.settlement", data=OrderData)
REFUND_REQUESTED = EVENTS.register(DetailType.REFUND_REQUESTED, source="handoff.orders", data=OrderData)
ORDER_REFUNDED = EVENTS.register(DetailType.ORDER_REFUNDED, source="handoff.settlement", data=OrderData)
RETURN_REQUESTED = EVENTS.register(DetailType.RETURN_REQUESTED, source="handoff.orders", data=OrderData)
PAYMENT_DISPUTED = EVENTS.register(DetailType.PAYMENT_DISPUTED, source="handoff.settlement", data=OrderData)
PAYMENT_EVENT = EVENTS.register(DetailType.PAYMENT_EVENT, source="handoff.payments", data=PaymentData)
USER_PROFILE_UPDATED = EVENTS.register(DetailType.USER_PROFILE_UPDATED, source="handoff.customers", data=ProfileData)
USER_ERASED = EVENTS.register(DetailType.USER_ERASED, source="handoff.customers", data=UserData)
