"""An order and its shipment as they are stored, without what is personal: that is not even read."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from handoff import aws, ids
from handoff.aggregate import Aggregate, Model
from handoff.clock import from_iso
from shop.events import DetailType
from shop.model import Payment, PaymentDue, Status

if TYPE_CHECKING:
    from ops.stack.deployment import Deployment

_ORDER_ID = re.compile(r"ord_[a-z2-7]{26}")
_ANNOUNCED_BY = {
    Status.PLACED: DetailType.ORDER_PLACED,
    Status.CANCELLED: DetailType.ORDER_CANCELLED,
    Status.PREPARED: DetailType.SHIPMENT_PREPARED,
}


class NoSuchOrder(Exception):
    """The stack has no such order, or none that can be read."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event of an order's; when it happened, in epoch milliseconds, and whether the bus has taken it."""

    event_id: str
    type: DetailType
    at: int
    published: bool


class OrderItem(Aggregate):
    """What is told of an order. No address and no payment token is among its fields, and so none is read."""

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
        """When its first request began, in epoch milliseconds."""
        return from_iso(self.history[0].at)

    @property
    def last_step_at(self) -> int:
        """When it took its last step, in epoch milliseconds."""
        return from_iso(self.history[-1].at)

    @property
    def is_unfinished(self) -> bool:
        """Whether anything is left to the sweeper, if nobody else does it."""
        return bool(self.outbox or self.payment_due or self.status is Status.PENDING)

    @property
    def events(self) -> dict[int, Event]:
        """Its events by the sequence of the step that they tell of, oldest first."""
        return {
            entry.sequence: Event(
                event_id=ids.event_id(self.order_id, entry.sequence),
                type=_ANNOUNCED_BY[Status(entry.status)],
                at=from_iso(entry.at),
                published=str(entry.sequence) not in self.outbox,
            )
            for entry in self.history
            if entry.status in _ANNOUNCED_BY
        }


class ShipmentItem(Model):
    """What is told of a shipment."""

    state: str
    prepared_at: str


M = TypeVar("M", bound=Model)


def read_order(deployment: "Deployment", order_id: str) -> OrderItem:
    """The order as it stands now.

    Raises
    ------
    NoSuchOrder
        If there is none; the text says so if the id can't be one.
    """
    if not _ORDER_ID.fullmatch(order_id):
        raise NoSuchOrder(f"{order_id!r} is not an order's id: that is ord_ and 26 of the characters a-z and 2-7.")
    order = _read(deployment, "OrdersTable", OrderItem, order_id)
    if order is None:
        raise NoSuchOrder(f"The stack {deployment.stack} has no order {order_id}.")
    return order


def read_shipment(deployment: "Deployment", order_id: str) -> ShipmentItem | None:
    """The shipment as it stands now; None if the order is not prepared."""
    return _read(deployment, "ShipmentsTable", ShipmentItem, order_id)


def _read(deployment: "Deployment", table: str, model: type[M], order_id: str) -> M | None:
    """An item's attributes that the model has, and no others."""
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
        raise NoSuchOrder(f"What {table} holds of {order_id} is not readable: {', '.join(fields)}") from None
