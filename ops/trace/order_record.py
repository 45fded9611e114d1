"""An order and its shipment as they are stored. Personal data is not read from the tables."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from handoff import ids
from handoff.aggregate import Aggregate
from handoff.attribute_values import from_item, to_item
from handoff.clock import from_iso
from handoff.model import Model
from shop.events import DetailType
from shop.model import (
    Cancellation,
    Dispute,
    EmailProblem,
    Order,
    OrderStep,
    Payment,
    PaymentDue,
    PaymentState,
    Refund,
    RefundState,
    Status,
    Units,
    status_changes,
)

if TYPE_CHECKING:
    from ops.stack.deployment import Deployment

_ORDER_ID = re.compile(r"ord_[a-z2-7]{26}")
_EVENT_TYPES = {
    Status.PLACED: DetailType.ORDER_PLACED,
    Status.CANCELLED: DetailType.ORDER_CANCELLED,
    Status.PREPARED: DetailType.SHIPMENT_PREPARED,
}
_REFUND_EVENTS = {
    RefundState.DUE: DetailType.REFUND_REQUESTED,
    RefundState.REFUNDED: DetailType.ORDER_REFUNDED,
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


class ReturnRequest(Model):
    """The attributes of a return request that are read: not the customer's own words."""

    requested_at: str
    lines: tuple[Units, ...] = ()


class OrderItem(Aggregate):
    """The attributes of an order that are read: no address, no payment token, and no text by the customer."""

    history: tuple[OrderStep, ...] = ()
    order_id: str
    user_id: str
    status: Status
    total: int
    currency: str
    payment: Payment = Payment()
    payment_due: PaymentDue | None = None
    cancellation: Cancellation | None = None
    released_at: str | None = None
    return_request: ReturnRequest | None = None
    dispute: Dispute | None = None
    refunds: Mapping[str, Refund] = {}
    mail_problem: EmailProblem | None = None
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
    def order(self) -> Order:
        """The order as far as it was read, for the shop's own rules on money."""
        return Order.model_construct(**dict(self))

    @property
    def events(self) -> dict[int, Event]:
        """Its events by the sequence of their history entry, oldest first."""
        changes = status_changes(self.history)
        types = {entry: self._event_type(entry, changed=entry in changes) for entry in self.history}
        return {
            entry.sequence: Event(
                event_id=ids.event_id(self.order_id, entry.sequence),
                type=kind,
                at=from_iso(entry.at),
                published=str(entry.sequence) not in self.outbox,
            )
            for entry, kind in types.items()
            if kind
        }

    def refund_of(self, event: Event) -> Refund | None:
        """Return the refund that an event is about."""
        entry = next(entry for entry in self.history if event.event_id == ids.event_id(self.order_id, entry.sequence))
        return self.refunds.get(entry.refund_id or "")

    def _event_type(self, entry: OrderStep, *, changed: bool) -> DetailType | None:
        """Return the type of a step's event; None if it has none."""
        if changed:
            return _EVENT_TYPES.get(Status(entry.status))
        if entry.returns:
            return DetailType.RETURN_REQUESTED
        if entry.refund:
            return _REFUND_EVENTS.get(entry.refund)
        if entry.dispute:
            return DetailType.PAYMENT_DISPUTED
        # Earlier releases published no event about a capture, and stored no time of the release. A reason says why a
        # captured payment has released nothing.
        released = self.released_at is not None and entry.payment is PaymentState.CAPTURED and not entry.reason
        return DetailType.SHIPMENT_RELEASED if released else None


class ShipmentItem(Model):
    """The attributes of a shipment that are read: no address. ``pack_by`` in epoch milliseconds."""

    state: str
    prepared_at: str | None = None
    open_since: str | None = None
    pack_by: int | None = None


M = TypeVar("M", bound=Model)
OrderView = TypeVar("OrderView", bound=OrderItem)


def read_order(deployment: "Deployment", order_id: str, model: type[OrderView]) -> OrderView:
    """Return the attributes of the order that the model has, as they are stored now.

    Raises
    ------
    NoSuchOrder
        If it does not exist, cannot be read, or its id has the wrong form; the text says which.
    """
    if not _ORDER_ID.fullmatch(order_id):
        raise NoSuchOrder(f"{order_id!r} is not an order id. An order id is ord_ and 26 of the characters a-z and 2-7.")
    order = _read(deployment, "OrdersTable", model, order_id)
    if order is None:
        raise NoSuchOrder(f"The stack {deployment.stack} has no order {order_id}.")
    return order


def read_shipment(deployment: "Deployment", order_id: str) -> ShipmentItem | None:
    """Return the shipment as it is stored now; None if the order is not prepared."""
    return _read(deployment, "ShipmentsTable", ShipmentItem, order_id)


def _paths(model: type[Model]) -> Iterator[str]:
    """Yield the paths of the attributes that a model has: of a return request, those of its own model only."""
    for name, field in model.model_fields.items():
        if name == "return_request":
            yield from (f"#{field.alias}.{part}" for part in _paths(ReturnRequest))
        else:
            yield f"#{field.alias}"


def _read(deployment: "Deployment", table: str, model: type[M], order_id: str) -> M | None:
    """Return the attributes that the model has, and read no others."""
    paths = list(_paths(model))
    names = {name: name.removeprefix("#") for path in paths for name in path.split(".")}
    found = deployment.dynamodb.get_item(
        TableName=deployment.resource(table),
        Key=to_item({"orderId": order_id}),
        ProjectionExpression=", ".join(paths),
        ExpressionAttributeNames=names,
        ConsistentRead=True,
    )
    if "Item" not in found:
        return None
    try:
        return model.model_validate(from_item(found["Item"]))
    except ValidationError as error:
        fields = sorted({".".join(map(str, problem["loc"])) for problem in error.errors()})
        raise NoSuchOrder(f"The item of {order_id} in {table} cannot be read. Invalid: {', '.join(fields)}") from None
