"""Operations of the API, and the registry of them.

A handler parses the request, calls the shop and returns the response. The handlers stand in modules by subject:
`order_routes` and others. Beside each stands the description from which openapi.json is generated.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

import parameters
from handoff.telemetry import logger
from http_responses import Response
from parameters import Parameter
from shop.customers import CustomerStore
from shop.placing import Dependencies
from shop.sales_report import SalesReport
from shop.shipment_store import ShipmentStore

Event = dict[str, Any]

BODY_PROBLEMS = ("invalid-request", "too-large", "not-json", "not-utf8", "encoded-body")


@dataclass(frozen=True, slots=True)
class App:
    """The parts of the shop that the handlers call.

    ``pack_after`` is the cancel window in seconds. ``return_days`` counts from the release of a shipment.
    ``lists_orders``: whether the table has the index of all orders by time.
    """

    shop: Dependencies
    shipments: ShipmentStore
    customers: CustomerStore
    sales: SalesReport
    payment_provider: str
    pack_after: int
    return_days: int
    lists_orders: bool


Handler = Callable[[App, Event], Response]
OPERATIONS: dict[str, "Operation"] = {}  # by route


@dataclass(slots=True)
class Operation:
    """One operation of the API, used as the decorator of its handler.

    The handler's name and docstring become the operation's id, summary and description. ``problems`` are the names of
    the problem documents that it can answer with, except those that every operation can answer with. ``headers`` are
    those of the successful responses, besides those of every response. ``also`` are further successful responses, with
    ``also_headers``.
    """

    route: str
    response: Any
    status: int = 200
    also: Mapping[int, Any] = field(default_factory=dict)
    also_headers: tuple[str, ...] = ()
    body: type[BaseModel] | None = None
    is_body_required: bool = True
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
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


def order_id(event: Event) -> str:
    """Return the order id in the path, and add it to the log lines of this request."""
    found = parameters.order_id(event)
    logger.append_keys(order_id=found)
    return found
