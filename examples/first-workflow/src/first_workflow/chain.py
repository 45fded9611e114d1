"""The steps that stay in the request, because the answer says that they are done: price, stock, payment, storing."""

from collections.abc import Callable

from first_workflow import payments
from first_workflow.api import Refused, Request
from first_workflow.domain import Line, Order
from first_workflow.store import OrderStore, OutOfStock
from handoff import ids
from handoff.aggregate import Transition
from handoff.clock import Deadline, now_ms
from handoff.errors import ConcurrentUpdate

orders = OrderStore()


def reserve(request: Request, deadline: Deadline) -> Order:
    """Price the order and take its stock. For a repeated request, return the order as it is."""
    order = _priced(request)
    try:
        return orders.reserve(order, deadline)
    except ConcurrentUpdate as repeated:
        current: Order = repeated.current
        return current
    except OutOfStock as error:
        raise Refused(str(error)) from error


def pay(order: Order, deadline: Deadline) -> Order:
    """Authorize the payment, or reject the order."""
    if order.status == "PENDING" and not payments.authorize(order, deadline):
        order = orders.reject(order, deadline)
    if order.status == "REJECTED":
        raise Refused("the payment was declined")
    return order


def store(order: Order, transition: Callable[[Order, int], Transition[Order]], deadline: Deadline) -> Order:
    """Write the transition of a paid order. For a repeated request, return the order as it is."""
    if order.status == "PLACED":
        return order
    try:
        return orders.write(transition(order, now_ms()), deadline)
    except ConcurrentUpdate as repeated:  # the same request, twice at once
        current: Order = repeated.current
        return current


def _priced(request: Request) -> Order:
    products = orders.products(request.quantities)
    if missing := sorted(request.quantities.keys() - products.keys()):
        raise Refused(f"there is no product {', '.join(missing)}")
    lines = tuple(
        Line(sku=sku, name=products[sku]["name"], quantity=quantity, unit_price=products[sku]["unitPrice"])
        for sku, quantity in request.quantities.items()
    )
    return Order(
        order_id=request.order_id,
        email=request.email,
        lines=lines,
        total=sum(line.quantity * line.unit_price for line in lines),
        correlation_id=ids.unique(),
    )
