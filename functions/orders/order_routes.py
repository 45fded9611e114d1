"""Operations on the caller's orders: place, list, get, cancel, return."""

import callers
import error_problems
import http_responses
import operations
import order_requests
import parameters
import problems
import response_schemas
from handoff.clock import Deadline, now_ms
from handoff.telemetry import MetricUnit, logger, metrics, timed
from http_responses import Response
from operations import BODY_PROBLEMS, App, Event, Operation
from shop import cancelling, changing, confirming, placing, returning
from shop.errors import NoSuchOrder, RequestError, UnknownProducts
from shop.model import Order
from shop.placing import DEADLINE, ActionNeeded, DuplicateRequest, PlaceOrder

_ORDER_LINKS = {
    name: {"operationId": name, "parameters": {"orderId": "$response.body#/orderId"}}
    for name in ("getOrder", "cancelOrder", "requestReturn", "confirmOrder")
}
_READ_ANY = "orders:read"  # the scope of programs that look orders up
_CANCEL_ANY = "orders:write"  # the scope of programs that cancel orders for the shop


@Operation(
    "POST /orders",
    response_schemas.Placed,
    status=201,
    also={202: response_schemas.ActionRequired},
    also_headers=("location", "cache-control"),  # it has a secret
    body=order_requests.OrderIn,
    parameters=(order_requests.KEY_PARAMETER,),
    problems=(
        *BODY_PROBLEMS,
        *(
            "unauthenticated",
            "payment-declined",
            "out-of-stock",
            "total-changed",
            "total-too-large",
            "no-address",
            "in-progress",
        ),
        *("order-expired", "order-abandoned", "key-reused", "too-many-orders", "try-later"),
    ),
    headers=("location",),
    links=_ORDER_LINKS,
)
def place_order(app: App, event: Event) -> Response:
    """Place an order.

    Reserves the stock and authorizes the payment. A 201 response means that the order is stored and will not be lost.
    Prices come from the catalog. If `expectedTotal` (in minor units) is sent, the order is placed at exactly that total
    or not at all. A request repeated with the same `Idempotency-Key` gets the original response.

    The customer needs an e-mail address: in the profile, or verified in the token.

    With `customerAction`, a payment may need the customer's confirmation: the response is 202. Let the customer confirm
    with the payment provider's library, then call `POST /orders/{orderId}/confirm`.
    """
    result = "OrdersFailed"
    with timed("OrderTime"):
        try:
            order, is_new = _place(app, event)
            result = "OrdersPlaced" if is_new else "OrdersRepeated"
            if is_new:
                metrics.add_metric("Revenue", MetricUnit.NoUnit, order.total)
            return http_responses.placed(order)
        except ActionNeeded as needed:
            result = "OrdersActionRequired"
            return http_responses.action_required(needed.order, needed.client_secret)
        except Exception as error:
            problem = error_problems.from_exception(error)
            result = problem.counted_as
            raise problem from error
        finally:
            metrics.add_metric(result, MetricUnit.Count, 1)  # every request is counted, by its result


def _place(app: App, event: Event) -> tuple[Order, bool]:
    """Return the placed order, and whether this request is the first with its key."""
    deadline = Deadline(DEADLINE)
    placement = order_requests.placement(event)
    logger.append_keys(order_id=placement.order_id)
    try:
        return placing.place_order(app.shop, placement, deadline), True
    except DuplicateRequest as duplicate:
        return _confirmed(app, placement, duplicate.order, deadline), False
    except UnknownProducts as error:
        raise problems.unknown_products(error, order_requests.fields_of(event, error.skus)) from error


def _confirmed(app: App, placement: PlaceOrder, order: Order, deadline: Deadline) -> Order:
    """Return the order that the key has. Only a client that lets the customer act learns that the customer has to."""
    try:
        return confirming.confirm(app.shop, order, deadline)
    except ActionNeeded as needed:
        if placement.can_act:
            raise
        raise placing.in_progress(needed.order) from needed
    except RequestError as error:
        problem = error_problems.of(error)
        problem.is_repeated = not order.waits_for_customer
        raise problem from error


@Operation(
    "GET /orders",
    response_schemas.OrdersPage,
    parameters=order_requests.PAGE_PARAMETERS,
    problems=("invalid-request", "unauthenticated", "forbidden", "no-order-list"),
    links={
        "next": {
            "operationId": "listOrders",
            "parameters": {"since": "$request.query.since", "cursor": "$response.body#/next"},
        }
    },
)
def list_orders(app: App, event: Event) -> Response:
    """List the caller's orders, or those of all customers.

    Newest first, in pages. Orders that were never placed are listed only with their status: `PENDING` or `REJECTED`. A
    page of a status may have fewer orders than `limit`; the last page has no `next`.

    A program with the scope `orders:read` lists the orders of all customers with `since`, oldest first. The last page
    has `until`, a minute ago: send it as the next `since`, and no order is missed or listed twice. Orders that were
    placed by a release without this list are not on it.
    """
    if order_requests.is_since(event):
        callers.check_scope(event, _READ_ANY)
        if not app.lists_orders:
            raise problems.no_order_list()
        since = order_requests.since_query(event)
        deadline = Deadline(DEADLINE)
        return http_responses.orders_since(
            app.shop.orders.by_time.since(since.position, limit=since.limit, now=now_ms(), deadline=deadline)
        )
    query = order_requests.orders_query(event)
    page, user_id = query.page, callers.user_id(event)
    orders, next_position = app.shop.orders.list_of(user_id, page.limit, page.after, query.status)
    return http_responses.orders(orders, next_position, query.status)


@Operation(
    "GET /orders/{orderId}",
    response_schemas.Order,
    parameters=(parameters.ORDER_ID_PARAMETER,),
    problems=("unauthenticated", "forbidden", "no-such-order"),
)
def get_order(app: App, event: Event) -> Response:
    """Get an order.

    Returns its current state and its history. Customers get their own orders only. A program with the scope
    `orders:read` gets any order, with the id of its customer.
    """
    order_id = operations.order_id(event)
    if callers.has_scope(event, _READ_ANY):
        return http_responses.order_of_customer(changing.any_order(app.shop, order_id))
    try:
        return http_responses.order(changing.own_order(app.shop, order_id, callers.user_id(event)))
    except NoSuchOrder as error:
        raise (problems.forbidden(_READ_ANY) if callers.is_program(event) else error) from error


@Operation(
    "POST /orders/{orderId}/confirm",
    response_schemas.Order,
    also={202: response_schemas.ActionRequired},
    also_headers=("location", "cache-control"),  # it has a secret
    parameters=(parameters.ORDER_ID_PARAMETER,),
    problems=(
        *("unauthenticated", "payment-declined", "no-such-order", "in-progress", "order-expired", "order-abandoned"),
        "try-later",
    ),
    links={name: _ORDER_LINKS[name] for name in ("getOrder", "cancelOrder")},
)
def confirm_order(app: App, event: Event) -> Response:
    """Finish an order after the customer has confirmed the payment.

    Asks the payment provider how the confirmation went. The order is placed, declined, or still waits for the customer
    (202). Idempotent. Without this call, the order is finished some minutes later.
    """
    deadline = Deadline(DEADLINE)
    order_id, user_id = operations.order_id(event), callers.user_id(event)
    try:
        return http_responses.order(confirming.confirm_own_order(app.shop, order_id, user_id, deadline))
    except ActionNeeded as needed:
        return http_responses.action_required(needed.order, needed.client_secret)


@Operation(
    "POST /orders/{orderId}/cancel",
    response_schemas.Order,
    body=order_requests.CancelIn,
    is_body_required=False,
    parameters=(parameters.ORDER_ID_PARAMETER,),
    problems=(
        *BODY_PROBLEMS,
        *("unauthenticated", "forbidden", "no-such-order", "in-progress", "not-cancellable", "try-later"),
    ),
    links={"getOrder": _ORDER_LINKS["getOrder"]},
)
def cancel_order(app: App, event: Event) -> Response:
    """Cancel an order.

    Possible until the order is packed. The stock is returned at once and the payment is voided shortly afterwards. An
    order that was never completed becomes `REJECTED`, as soon as no request works on it. A program with the scope
    `orders:write` can cancel any order, with a body that has the reason; a customer sends no body. Idempotent:
    cancelling a cancelled order succeeds.
    """
    deadline = Deadline(DEADLINE)
    order_id = operations.order_id(event)
    if callers.has_scope(event, _CANCEL_ANY):
        reason = order_requests.cancel_reason(event)
        return http_responses.order(cancelling.cancel_any_order(app.shop, order_id, reason, deadline))
    try:
        order = cancelling.cancel_own_order(app.shop, order_id, callers.user_id(event), deadline)
    except NoSuchOrder as error:
        raise (problems.forbidden(_CANCEL_ANY) if callers.is_program(event) else error) from error
    return http_responses.order(order)


@Operation(
    "POST /orders/{orderId}/return",
    response_schemas.Order,
    body=order_requests.ReturnIn,
    is_body_required=False,
    parameters=(parameters.ORDER_ID_PARAMETER,),
    problems=(
        *BODY_PROBLEMS,
        *("unauthenticated", "no-such-order", "not-released", "return-too-late", "already-returned", "too-many-units"),
        "try-later",
    ),
    links={"getOrder": _ORDER_LINKS["getOrder"]},
)
def request_return(app: App, event: Event) -> Response:
    """Request to return products of an order.

    Possible once, within the return period after the shipment was released. The time is recorded and confirmed by
    e-mail. The shop refunds the order when the products are back. If the response is lost, a repeated request gets a
    409 with the time of the first.
    """
    deadline = Deadline(DEADLINE)
    order_id, user_id = operations.order_id(event), callers.user_id(event)
    quantities, reason = order_requests.return_request(event)
    order = returning.request_return(
        app.shop,
        order_id,
        user_id,
        quantities=quantities,
        reason=reason,
        return_days=app.return_days,
        deadline=deadline,
    )
    return http_responses.order(order)
