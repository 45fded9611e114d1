"""The API's operations: each handler parses the request, calls the shop and returns the response.

Beside each handler stands the description from which openapi.json is generated.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

import http_responses
import order_requests
import problems
import report_requests
import response_schemas
from handoff.clock import Deadline, now_ms
from handoff.outbox import announce
from handoff.telemetry import MetricUnit, logger, metrics, timed
from http_responses import Response
from order_requests import Parameter
from shop import cancelling, placing
from shop.customers import CustomerStore
from shop.errors import UnknownProducts
from shop.model import Order
from shop.placing import DEADLINE, Dependencies, DuplicateRequest, replay_response
from shop.sales_report import SalesReport

Event = dict[str, Any]

_BODY_PROBLEMS = ("invalid-request", "too-large", "not-json")
_ORDER_LINKS = {
    name: {"operationId": name, "parameters": {"orderId": "$response.body#/orderId"}}
    for name in ("getOrder", "cancelOrder")
}


@dataclass(frozen=True, slots=True)
class App:
    """The parts of the shop that the handlers call."""

    shop: Dependencies
    customers: CustomerStore
    sales: SalesReport
    payment_provider: str


Handler = Callable[[App, Event], Response]
OPERATIONS: dict[str, "Operation"] = {}  # by route


@dataclass(slots=True)
class Operation:
    """One operation of the API, used as the decorator of its handler.

    The handler's name and docstring become the operation's id, summary and description. ``problems`` are the names of
    the problem documents that it can answer with, except those that every operation can answer with.
    """

    route: str
    response: Any
    status: int = 200
    body: type[BaseModel] | None = None
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[str, ...] = ()
    links: dict[str, dict[str, Any]] = field(default_factory=dict)
    scope: str | None = None
    is_public: bool = False
    is_cacheable: bool = False  # caches may keep the response, and clients can ask whether it has changed
    handler: Handler = field(init=False)

    def __call__(self, handler: Handler) -> Handler:
        """Register the operation with its handler."""
        self.handler = handler
        OPERATIONS[self.route] = self
        return handler


@Operation(
    "POST /orders",
    response_schemas.Placed,
    status=201,
    body=order_requests.OrderIn,
    parameters=(order_requests.IDEMPOTENCY_KEY_PARAMETER,),
    problems=(
        *_BODY_PROBLEMS,
        *("unauthenticated", "payment-declined", "out-of-stock", "total-changed", "in-progress", "order-expired"),
        *("key-reused", "try-later"),
    ),
    links=_ORDER_LINKS,
)
def place_order(app: App, event: Event) -> Response:
    """Place an order.

    Reserves the stock and authorizes the payment. A 201 response means that the order is stored and will not be lost.
    Prices come from the catalog. If `expectedTotal` (in minor units) is sent, the order is placed at exactly that total
    or not at all. A request repeated with the same `Idempotency-Key` gets the original response.
    """
    result = "OrdersFailed"
    with timed("OrderTime"):
        try:
            order = _place(app, event)
            result = "OrdersPlaced"
            metrics.add_metric("Revenue", MetricUnit.NoUnit, order.total)
            return http_responses.placed(order)
        except DuplicateRequest as duplicate:
            result = "OrdersRepeated"
            return http_responses.placed(replay_response(duplicate.order))
        except Exception as error:
            problem = problems.from_exception(error)
            result = problem.counted_as
            raise problem from error
        finally:
            metrics.add_metric(result, MetricUnit.Count, 1)  # every request is counted, by its result


def _place(app: App, event: Event) -> Order:
    deadline = Deadline(DEADLINE)
    placement = order_requests.placement(event)
    logger.append_keys(order_id=placement.order_id)
    try:
        return placing.place_order(app.shop, placement, deadline)
    except UnknownProducts as error:
        raise problems.unknown_products(error, order_requests.fields_of(event, error.skus)) from error


@Operation(
    "GET /orders",
    response_schemas.OrdersPage,
    parameters=order_requests.PAGE_PARAMETERS,
    problems=("invalid-request", "unauthenticated"),
    links={"next": {"operationId": "listOrders", "parameters": {"cursor": "$response.body#/next"}}},
)
def list_orders(app: App, event: Event) -> Response:
    """List the caller's orders.

    Newest first, in pages.
    """
    page = order_requests.page(event)
    orders, next_position = app.shop.orders.list_of(order_requests.user_id(event), page.limit, page.after)
    return http_responses.orders(orders, next_position)


@Operation(
    "GET /orders/{orderId}",
    response_schemas.Order,
    parameters=(order_requests.ORDER_ID_PARAMETER,),
    problems=("unauthenticated", "no-such-order"),
)
def get_order(app: App, event: Event) -> Response:
    """Get one of the caller's orders.

    Returns its current state and its history.
    """
    return http_responses.order(cancelling.own_order(app.shop, _order_id(event), order_requests.user_id(event)))


@Operation(
    "POST /orders/{orderId}/cancel",
    response_schemas.Order,
    parameters=(order_requests.ORDER_ID_PARAMETER,),
    problems=("unauthenticated", "no-such-order", "in-progress", "not-cancellable", "try-later"),
    links={"getOrder": _ORDER_LINKS["getOrder"]},
)
def cancel_order(app: App, event: Event) -> Response:
    """Cancel an order.

    Possible until the order is packed. The stock is returned at once and the payment is voided shortly afterwards.
    Idempotent: cancelling a cancelled order succeeds.
    """
    deadline = Deadline(DEADLINE)
    order_id, user_id = _order_id(event), order_requests.user_id(event)
    return http_responses.order(cancelling.cancel_order(app.shop, order_id, user_id, deadline))


def _order_id(event: Event) -> str:
    """Return the order id in the path, and add it to the log lines of this request."""
    order_id = order_requests.order_id(event)
    logger.append_keys(order_id=order_id)
    return order_id


@Operation("GET /me", response_schemas.Profile, problems=("unauthenticated", "no-profile"))
def get_profile(app: App, event: Event) -> Response:
    """Get the caller's profile.

    E-mails about orders go to the address in the profile.
    """
    customer = app.customers.get(order_requests.user_id(event))
    if customer is None:
        raise problems.no_profile()
    return http_responses.profile(customer)


@Operation(
    "PUT /me",
    response_schemas.Profile,
    body=order_requests.ProfileIn,
    problems=(*_BODY_PROBLEMS, "unauthenticated", "too-many-addresses", "profile-busy"),
    links={"getProfile": {"operationId": "getProfile"}},
)
def put_profile(app: App, event: Event) -> Response:
    """Create or change the caller's profile.

    If the e-mail address changes, a notice is sent to both the old and the new address.
    """
    deadline = Deadline(DEADLINE)
    user_id, profile = order_requests.user_id(event), order_requests.profile(event)
    customer = app.customers.update(
        user_id,
        name=profile.name,
        email=profile.email,
        now=now_ms(),
        correlation_id=order_requests.correlation_id(event),
        deadline=deadline,
    )
    announce(app.customers, app.shop.bus, customer, deadline)
    return http_responses.profile(customer)


@Operation(
    "GET /reports/sales",
    response_schemas.SalesPage,
    parameters=report_requests.SALES_PARAMETERS,
    problems=("invalid-request", "forbidden"),
    scope="reports:read",
    links={
        "next": {
            "operationId": "getSales",
            "parameters": {
                "from": "$request.query.from",
                "to": "$request.query.to",
                "cursor": "$response.body#/next",
            },
        }
    },
)
def get_sales(app: App, event: Event) -> Response:
    """Get sales per day and product.

    Net of cancellations, sorted by day and sku, in pages.
    """
    deadline = Deadline(DEADLINE)
    query = report_requests.sales(event)
    page = app.sales.page(query.first, query.last, limit=query.limit, after=query.after, deadline=deadline)
    return http_responses.sales(page, app.shop.currency)


@Operation(
    "GET /catalog",
    response_schemas.Catalog,
    parameters=(order_requests.IF_NONE_MATCH_PARAMETER,),
    is_public=True,
    is_cacheable=True,
)
def get_catalog(app: App, event: Event) -> Response:
    """List the products on sale.

    Needs no token. Caches may keep the response as `cache-control` says, which is a minute at most.
    """
    catalog, known = app.shop.catalog, order_requests.known_versions(event)
    listed = catalog.listed()
    return http_responses.catalog(listed, app.shop.currency, max_age=catalog.usable_for(), known=known)


@Operation("GET /openapi.json", dict[str, Any])
def get_open_api(app: App, event: Event) -> Response:
    """Get this document.

    The API's description in OpenAPI 3.1.
    """
    return http_responses.description()


@Operation("GET /health", response_schemas.Health, is_public=True)
def get_health(app: App, event: Event) -> Response:
    """Check that the API responds.

    Needs no token. Calls no other service.
    """
    return http_responses.health(app.payment_provider)
