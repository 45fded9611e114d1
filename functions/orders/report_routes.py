"""Reports for programs."""

import http_responses
import report_requests
import response_schemas
from handoff.clock import Deadline
from http_responses import Response
from operations import App, Event, Operation
from shop.placing import DEADLINE


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

    Net of cancellations and refunds, sorted by day and sku, in pages. A cancellation counts on the day of the order, a
    refund on the day of the refund. A row is negative if more came back on its day than was sold.
    """
    deadline = Deadline(DEADLINE)
    query = report_requests.sales(event)
    page = app.sales.page(query.first, query.last, limit=query.limit, after=query.after, deadline=deadline)
    return http_responses.sales(page, app.shop.currency)
