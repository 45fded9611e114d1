"""The steps of an order: each writes the order and its event in the caller's transaction."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from handoff import ids
from handoff.clock import now_ms
from relational_orders.tables import ORDER_CANCELLED, ORDER_PLACED, Order, OutboxRow


def place(session: Session, email: str, key: str, total: int) -> Order:
    """Store an order with its event; a repeated request returns the same order."""
    order_id = ids.derived("rel_", email, key)
    if existing := session.get(Order, order_id):
        return existing
    order = Order(order_id=order_id, email=email, total=total, status="PLACED", sequence=1)
    session.add_all([order, OutboxRow.of(order, ORDER_PLACED, now_ms(), ids.unique())])
    return order


def cancel(session: Session, order_id: str) -> Order:
    """Cancel an order, with its event. The row's lock puts the steps of one order in sequence. Idempotent."""
    order = session.scalars(select(Order).where(Order.order_id == order_id).with_for_update()).one()
    if order.status == "PLACED":
        order.status, order.sequence = "CANCELLED", order.sequence + 1
        session.add(OutboxRow.of(order, ORDER_CANCELLED, now_ms(), ids.unique()))
    return order
