"""An order: its states, its transitions and its event. NEW -> PENDING -> PLACED or REJECTED."""

from typing import Literal

from handoff.aggregate import Aggregate, Transition
from handoff.events import EventData, Id, Registry
from handoff.model import Model

MailBy = Literal["request", "event"]


class OrderData(EventData):
    """The order that the event is about."""

    order_id: Id

    @property
    def log_keys(self) -> dict[str, str]:
        """The keys that log lines about the event carry."""
        return {"order_id": self.order_id}


EVENTS = Registry()
ORDER_PLACED = EVENTS.register("order_placed", source="first-workflow.orders", data=OrderData)


class Line(Model):
    """A product, how many of it, and the price of one in cents."""

    sku: str
    name: str
    quantity: int
    unit_price: int


class Order(Aggregate):
    """An order; ``total`` in cents. ``mail_by`` says who sends its mail: the request, unless it says ``event``."""

    KEY = "order_id"

    order_id: str
    email: str
    lines: tuple[Line, ...]
    total: int
    status: str = "NEW"
    mail_by: MailBy | None = None
    correlation_id: str


def reserved(order: Order, now: int) -> Transition[Order]:
    """Return the transition of a new order that takes its stock; ``now`` in epoch milliseconds."""
    return order.step("PENDING", now)


def rejected(order: Order, now: int) -> Transition[Order]:
    """Return the transition of an order whose payment is declined."""
    return order.step("REJECTED", now)


def stored(order: Order, now: int) -> Transition[Order]:
    """Return the transition of a paid order, without an event."""
    return order.step("PLACED", now)


def placed(order: Order, now: int, mail_by: MailBy | None = None) -> Transition[Order]:
    """Return the transition of a paid order, with its event and the decision who sends its mail."""
    event = ORDER_PLACED, OrderData(order_id=order.key)
    return order.step("PLACED", now, event=event, correlation_id=order.correlation_id, changes={"mail_by": mail_by})
