"""Refunds, for programs."""

import http_responses
import operations
import parameters
import refund_requests
import response_schemas
from handoff.clock import Deadline
from http_responses import Response
from operations import BODY_PROBLEMS, App, Event, Operation
from shop import refunding
from shop.placing import DEADLINE


@Operation(
    "POST /orders/{orderId}/refunds",
    response_schemas.RefundRequested,
    status=201,
    body=refund_requests.RefundIn,
    parameters=(parameters.ORDER_ID_PARAMETER, refund_requests.KEY_PARAMETER),
    problems=(
        *BODY_PROBLEMS,
        *("forbidden", "no-such-order", "not-captured", "already-restocked", "refund-too-large", "too-many-units"),
        *("too-many-refunds", "key-reused", "try-later"),
    ),
    scope="refunds:write",
)
def refund_order(app: App, event: Event) -> Response:
    """Refund an order.

    Possible once its payment is captured, in any number of parts, up to the captured amount. A 201 response means that
    the refund is recorded. The money is moved shortly afterwards; then the event `order_refunded` is published. A
    request repeated with the same `Idempotency-Key` gets the original response.
    """
    deadline = Deadline(DEADLINE)
    request = refund_requests.refund(event, operations.order_id(event))
    order, refund = refunding.request_refund(app.shop, request, deadline)
    return http_responses.refund_requested(order, refund)
