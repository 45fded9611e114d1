"""Shipments, for the programs of a warehouse."""

import http_responses
import operations
import parameters
import response_schemas
import shipment_requests
from handoff.clock import Deadline
from http_responses import Response
from operations import App, Event, Operation
from shop import packing
from shop.placing import DEADLINE

_SCOPE = "shipments:write"


@Operation(
    "GET /shipments",
    response_schemas.ShipmentsPage,
    parameters=shipment_requests.PAGE_PARAMETERS,
    problems=("invalid-request", "forbidden"),
    scope=_SCOPE,
    links={"next": {"operationId": "listShipments", "parameters": {"cursor": "$response.body#/next"}}},
)
def list_shipments(app: App, event: Event) -> Response:
    """List the shipments to pack.

    Oldest first, in pages. An order is listed from the end of its cancel window until it is packed or cancelled. If the
    shop packs automatically, the list is empty.
    """
    page = shipment_requests.page(event)
    shipments, next_position = app.shipments.list_open(page.limit, page.after)
    return http_responses.shipments(shipments, next_position)


@Operation(
    "POST /shipments/{orderId}/packed",
    response_schemas.Packed,
    parameters=(parameters.ORDER_ID_PARAMETER,),
    problems=("forbidden", "no-such-order", "cancel-window-open", "not-packable", "try-later"),
    scope=_SCOPE,
)
def pack_shipment(app: App, event: Event) -> Response:
    """Record that an order is packed.

    From then on it cannot be cancelled, and its payment is captured. Hand the shipment over when it is paid: wait for
    the event `shipment_released`. Idempotent: packing a packed order succeeds.
    """
    deadline = Deadline(DEADLINE)
    return http_responses.packed(packing.pack_order(app.shop, operations.order_id(event), app.pack_after, deadline))
