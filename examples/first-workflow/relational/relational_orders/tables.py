"""The tables: orders, and the outbox that is written in the same transaction."""

from sqlalchemy import BigInteger, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from handoff.events import EventData, EventType, Id, Registry


class OrderData(EventData):
    """The order that the event is about."""

    order_id: Id


EVENTS = Registry()
ORDER_PLACED = EVENTS.register("order_placed", source="relational.orders", data=OrderData)
ORDER_CANCELLED = EVENTS.register("order_cancelled", source="relational.orders", data=OrderData)


class Base(DeclarativeBase):
    """The tables of the service."""


class Order(Base):
    """An order; ``total`` in cents, ``sequence`` is the number of its last step."""

    __tablename__ = "orders"

    order_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    total: Mapped[int]
    status: Mapped[str] = mapped_column(String(16))
    sequence: Mapped[int]


class OutboxRow(Base):
    """An event that is not published yet; ``written_at`` in epoch milliseconds."""

    __tablename__ = "outbox"

    aggregate_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(String(64))
    detail_type: Mapped[str] = mapped_column(String(64))
    detail: Mapped[str] = mapped_column(Text)
    trace: Mapped[str | None] = mapped_column(Text)
    written_at: Mapped[int] = mapped_column(BigInteger, index=True)

    @classmethod
    def of(cls, order: Order, event: EventType, at: int, correlation_id: str) -> "OutboxRow":
        """Return the event about an order's last step; ``at`` in epoch milliseconds."""
        entry = event.entry(
            OrderData(order_id=order.order_id),
            aggregate_id=order.order_id,
            sequence=order.sequence,
            at=at,
            correlation_id=correlation_id,
        )
        return cls(aggregate_id=order.order_id, sequence=order.sequence, written_at=at, **entry.model_dump())


class Lease(Base):
    """The right to relay, for databases that lock no rows; ``until`` in epoch milliseconds."""

    __tablename__ = "relay_lease"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    until: Mapped[int] = mapped_column(BigInteger)
