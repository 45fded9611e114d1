"""An order and its shipment as they are stored. Personal data is not read from the tables."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from handoff import aws, ids
from handoff.aggregate import Aggregate
from handoff.clock import from_iso
from handoff.model import Model
from shop.events import DetailType
from shop.model import OrderStep, Payment, PaymentDue, Status, status_changes

if TYPE_CHECKING:
    from ops.stack.deployment import Deployment

_ORDER_ID = re.compile(r"ord_[a-z2-7]{26}")
_EVENT_TYPES = {
    Status.PLACED: DetailType.ORDER_PLACED,
    Status.CANCELLED: DetailType.ORDER_CANCELLED,
    Status.PREPARED: DetailType.SHIPMENT_PREPARED,
}


class NoSuchOrder(Exception):
    """The stack has no such order, or it cannot be read."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event of an order: when it happened, in epoch milliseconds, and whether it is published."""

    event_id: str
    type: DetailType
    at: int
    published: bool


class OrderItem(Aggregate):
    """The attributes of an order that are read: no address and no payment token."""

    history: tuple[OrderStep, ...] = ()
    order_id: str
    user_id: str
    status: Status
    total: int
    currency: str
    payment: Payment = Payment()
    payment_due: PaymentDue | None = None
    correlation_id: str
    expires_at: int

    @property
    def created_at(self) -> int:
        """When it was first requested, in epoch milliseconds."""
        return from_iso(self.history[0].at)

    @property
    def last_step_at(self) -> int:
        """When its history got its last entry, in epoch milliseconds."""
        return from_iso(self.history[-1].at)

    @property
    def is_unfinished(self) -> bool:
        """Whether the sweeper has something left to do."""
        return bool(self.outbox or self.payment_due or self.status is Status.PENDING)

    @property
    def events(self) -> dict[int, Event]:
        """Its events by the sequence of their history entry, oldest first."""
        return {
            entry.sequence: Event(
                event_id=ids.event_id(self.order_id, entry.sequence),
                type=_EVENT_TYPES[Status(entry.status)],
                at=from_iso(entry.at),
                published=str(entry.sequence) not in self.outbox,
            )
            for entry in status_changes(self.history)
            if entry.status in _EVENT_TYPES
        }


class ShipmentItem(Model):
    """The attributes of a shipment that are read: no address."""

    state: str
    prepared_at: str


M = TypeVar("M", bound=Model)


def read_order(deployment: "Deployment", order_id: str) -> OrderItem:
    """Return the order as it is stored now.

    Raises
    ------
    NoSuchOrder
        If it does not exist, cannot be read, or its id has the wrong form; the text says which.
    """
    if not _ORDER_ID.fullmatch(order_id):
        raise NoSuchOrder(f"{order_id!r} is not an order id. An order id is ord_ and 26 of the characters a-z and 2-7.")
    order = _read(deployment, "OrdersTable", OrderItem, order_id)
    if order is None:
        raise NoSuchOrder(f"The stack {deployment.stack} has no order {order_id}.")
    return order


def read_shipment(deployment: "Deployment", order_id: str) -> ShipmentItem | None:
    """Return the shipment as it is stored now; None if the order is not prepared."""
    return _read(deployment, "ShipmentsTable", ShipmentItem, order_id)


def _read(deployment: "Deployment", table: str, model: type[M], order_id: str) -> M | None:
    """Return the attributes that the model has, and read no others."""
    names = {f"#{name}": str(field.alias) for name, field in model.model_fields.items()}
    found = deployment.dynamodb.get_item(
        TableName=deployment.resource(table),
        Key=aws.to_item({"orderId": order_id}),
        ProjectionExpression=", ".join(names),
        ExpressionAttributeNames=names,
        ConsistentRead=True,
    )
    if "Item" not in found:
        return None
    try:
        return model.model_validate(aws.from_item(found["Item"]))
    except ValidationError as error:
        fields = sorted({".".join(map(str, problem["loc"])) for problem in error.errors()})
        raise NoSuchOrder(f"The item of {order_id} in {table} cannot be read. Invalid: {', '.join(fields)}") from None
