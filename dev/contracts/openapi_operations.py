"""What each route of the API takes, and what it answers with when all is well or not."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

import order_requests
import report_requests
import response_schemas

_KEY = order_requests.KEY
_DAY = {"type": "string", "pattern": response_schemas.DAY, "format": "date"}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a request; ``place`` is path, query or header."""

    name: str
    place: str
    schema: dict[str, Any]
    description: str
    required: bool = False


@dataclass(frozen=True)
class Operation:
    """A route. ``problems`` are by name; those that any route can answer with are not among them."""

    route: str
    name: str
    summary: str
    description: str
    answer: Any
    status: int = 200
    body: type[BaseModel] | None = None
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[str, ...] = ()
    scope: str | None = None
    is_open: bool = False
    links: dict[str, dict[str, Any]] = field(default_factory=dict)


def _limit(most: int, default: int) -> Parameter:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return Parameter("limit", "query", schema, "How many at most.")


_CURSOR = Parameter("cursor", "query", {"type": "string"}, "The `next` of the page before; without it, the first page.")
_ORDER_ID = Parameter(
    "orderId", "path", {"type": "string", "pattern": response_schemas.ORDER_ID}, "The order.", required=True
)
_IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "pattern": _KEY},
    "A new one for each new order, the same one to send a request again: the same key gets the same answer.",
    required=True,
)
_ABOUT_THE_ORDER = {
    name: {"operationId": name, "parameters": {"orderId": "$response.body#/orderId"}}
    for name in ("getOrder", "cancelOrder")
}
_BODY = ("invalid-request", "too-large", "not-json")

OPERATIONS = [
    Operation(
        "POST /orders",
        "placeOrder",
        "Place an order",
        "Reserves the stock and authorises the payment. 201 means that the order is kept. Prices are the catalog's; "
        "with `expectedTotal`, in minor units, the order is placed at that total or not at all.",
        response_schemas.Placed,
        201,
        body=order_requests.OrderIn,
        parameters=(_IDEMPOTENCY_KEY,),
        problems=(
            *_BODY,
            *("unauthenticated", "payment-declined", "out-of-stock", "total-changed", "in-progress", "order-expired"),
            *("key-reused", "try-later"),
        ),
        links=_ABOUT_THE_ORDER,
    ),
    Operation(
        "GET /orders",
        "listOrders",
        "The caller's orders",
        "Newest first, in pages.",
        response_schemas.OrdersPage,
        parameters=(_limit(order_requests.MAX_PAGE, order_requests.DEFAULT_PAGE), _CURSOR),
        problems=("invalid-request", "unauthenticated"),
        links={"next": {"operationId": "listOrders", "parameters": {"cursor": "$response.body#/next"}}},
    ),
    Operation(
        "GET /orders/{orderId}",
        "getOrder",
        "One order of the caller's",
        "As it stands now, with its history.",
        response_schemas.Order,
        parameters=(_ORDER_ID,),
        problems=("unauthenticated", "no-such-order"),
    ),
    Operation(
        "POST /orders/{orderId}/cancel",
        "cancelOrder",
        "Cancel an order",
        "Possible until it is packed. The stock goes back at once, the payment is voided soon after. Cancelling twice "
        "is cancelling.",
        response_schemas.Order,
        parameters=(_ORDER_ID,),
        problems=("unauthenticated", "no-such-order", "in-progress", "not-cancellable", "try-later"),
        links={"getOrder": _ABOUT_THE_ORDER["getOrder"]},
    ),
    Operation(
        "GET /me",
        "getProfile",
        "The caller's profile",
        "Who the mails go to.",
        response_schemas.Profile,
        problems=("unauthenticated", "no-profile"),
    ),
    Operation(
        "PUT /me",
        "putProfile",
        "Make or change the caller's profile",
        "A changed address is told at the old one and the new one.",
        response_schemas.Profile,
        body=order_requests.ProfileIn,
        problems=(*_BODY, "unauthenticated", "too-many-addresses", "profile-busy"),
        links={"getProfile": {"operationId": "getProfile"}},
    ),
    Operation(
        "GET /reports/sales",
        "getSales",
        "Sales per day and product",
        f"Net of cancellations, by day and sku, in pages, for at most {report_requests.MAX_DAYS} days.",
        response_schemas.SalesPage,
        parameters=(
            Parameter("from", "query", _DAY, "The first day, in UTC.", required=True),
            Parameter("to", "query", _DAY, "The last day, included.", required=True),
            _limit(report_requests.MAX_ROWS, report_requests.DEFAULT_ROWS),
            _CURSOR,
        ),
        problems=("invalid-request", "forbidden"),
        scope=report_requests.SCOPE,
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
    ),
    Operation("GET /catalog", "getCatalog", "What is on sale", "Open to all.", response_schemas.Catalog, is_open=True),
    Operation("GET /openapi.json", "getOpenApi", "This document", "OpenAPI 3.1.", dict[str, Any]),
    Operation(
        "GET /health", "getHealth", "Whether the API answers", "Open to all.", response_schemas.Health, is_open=True
    ),
]
