"""The HTTP API: each route parses the request, calls the shop, and answers."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3

import http_responses
import order_requests
import problems
import report_requests
from handoff import aws, bus
from handoff.aws import TransactionConflict
from handoff.clock import Deadline, now_ms
from handoff.outbox import announce
from handoff.telemetry import MetricUnit, flush_metrics, logger, metrics, timed
from http_responses import Response
from shop import order_store, payments, settings
from shop.cancelling import cancel_order, own_order
from shop.catalog import Catalog
from shop.customers import CustomerStore
from shop.errors import RequestError, UnknownProducts
from shop.model import Order
from shop.placing import DEADLINE, Dependencies, DuplicateRequest, place_order, replay_response
from shop.sales_report import SalesReport

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_settings = settings.load()
_dynamodb = boto3.client("dynamodb", config=aws.config())
_customers = CustomerStore(_dynamodb, _settings.customers_table, _settings.unfinished_shards)
shop = Dependencies(
    catalog=Catalog(_dynamodb, _settings.products_table),
    orders=order_store.connect(_dynamodb, _settings),
    payments=payments.connect(_settings.payment_provider, _settings.sandbox_table),
    bus=bus.connect(_settings.bus_name),
    currency=_settings.currency,
)

_sales = SalesReport(_dynamodb, settings.text("SALES_TABLE"), shards=int(settings.number("SALES_SHARDS")))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> Response:
    """Answer one request of the HTTP API (payload format 2.0)."""
    correlation_id = order_requests.correlation_id(event)
    logger.append_keys(correlation_id=correlation_id)
    try:
        response = _answer(event)
        response["headers"]["x-correlation-id"] = correlation_id
        logger.info("Answered", route=event["routeKey"], status=response["statusCode"])
        return response
    finally:
        flush_metrics()


def _answer(event: dict[str, Any]) -> Response:
    """The gateway has matched the route already: its key is all the routing that is left."""
    try:
        return ROUTES.get(event["routeKey"], _no_route)(event)
    except Exception as error:  # noqa: BLE001  # the client gets a problem document, the log the rest
        return problems.answer(_problem(error))


def _problem(error: Exception) -> problems.Problem:
    """What the client is told of an error; what is not the client's business is logged."""
    if isinstance(error, problems.Problem):
        return error
    if isinstance(error, RequestError):
        return problems.of(error)
    if isinstance(error, (*aws.ERRORS, TransactionConflict)):
        logger.exception("A call to AWS failed", reason=aws.failure_reason(error), exc_info=error)
        return problems.unavailable()
    logger.exception("Unexpected error", reason=aws.failure_reason(error), exc_info=error)
    return problems.internal()


def post_order(event: dict[str, Any]) -> Response:
    """Place an order: 201, and the same again for the same key. Each request is counted by what came of it."""
    result = "OrdersFailed"
    with timed("OrderTime"):
        try:
            order = _placed(event)
            result = "OrdersPlaced"
            metrics.add_metric("Revenue", MetricUnit.NoUnit, order.total)
            return http_responses.placed(order)
        except DuplicateRequest as before:
            result = "OrdersRepeated"
            return http_responses.placed(replay_response(before.order))
        except Exception as error:
            problem = _problem(error)
            result = problem.counted_as
            raise problem from error
        finally:
            metrics.add_metric(result, MetricUnit.Count, 1)


def _placed(event: dict[str, Any]) -> Order:
    deadline = Deadline(DEADLINE)
    placement = order_requests.placement(event)
    logger.append_keys(order_id=placement.order_id)
    try:
        return place_order(shop, placement, deadline)
    except UnknownProducts as error:
        raise problems.invalid(order_requests.fields_of(event, error.skus), str(error)) from error


def get_order(event: dict[str, Any]) -> Response:
    """One order of the caller's, as it stands now."""
    return http_responses.order(own_order(shop, _order_id(event), order_requests.user_id(event)))


def list_orders(event: dict[str, Any]) -> Response:
    """The caller's orders, newest first."""
    page = order_requests.page(event)
    orders, next_position = shop.orders.list_of(order_requests.user_id(event), page.limit, page.after)
    return http_responses.orders(orders, next_position)


def cancel(event: dict[str, Any]) -> Response:
    """Cancel an order of the caller's that has not been prepared yet."""
    deadline = Deadline(DEADLINE)
    return http_responses.order(cancel_order(shop, _order_id(event), order_requests.user_id(event), deadline))


def _order_id(event: dict[str, Any]) -> str:
    """The order's id in the path, from here on also in the log lines."""
    order_id = order_requests.order_id(event)
    logger.append_keys(order_id=order_id)
    return order_id


def get_me(event: dict[str, Any]) -> Response:
    """The caller's profile."""
    customer = _customers.get(order_requests.user_id(event))
    if customer is None:
        raise problems.no_profile()
    return http_responses.profile(customer)


def put_me(event: dict[str, Any]) -> Response:
    """Make or change the caller's profile."""
    deadline = Deadline(DEADLINE)
    user_id, profile = order_requests.user_id(event), order_requests.profile(event)
    customer = _customers.update(
        user_id,
        name=profile.name,
        email=profile.email,
        now=now_ms(),
        correlation_id=order_requests.correlation_id(event),
        deadline=deadline,
    )
    announce(_customers.unfinished, shop.bus, user_id, customer, deadline)
    return http_responses.profile(customer)


def get_sales(event: dict[str, Any]) -> Response:
    """Sales per day and product, net of cancellations, for tokens that may read reports."""
    deadline = Deadline(DEADLINE)
    report_requests.check_scope(event)
    wanted = report_requests.sales(event)
    page = _sales.page(wanted.first, wanted.last, limit=wanted.limit, after=wanted.after, deadline=deadline)
    return http_responses.sales(page, shop.currency)


def get_catalog(event: dict[str, Any]) -> Response:
    """What is on sale."""
    return http_responses.catalog(shop.catalog.listed(), shop.currency)


def get_openapi(event: dict[str, Any]) -> Response:
    """How to use this API."""
    return http_responses.description()


def get_health(event: dict[str, Any]) -> Response:
    """The function runs; nothing behind it is asked."""
    return http_responses.health(_settings.payment_provider)


def _no_route(event: dict[str, Any]) -> Response:
    path = event["rawPath"]
    routes = (route.split() for route in ROUTES)
    allowed = [method for method, known in routes if re.fullmatch(re.sub(r"{\w+}", "[^/]+", known), path)]
    raise problems.wrong_method(allowed) if allowed else problems.no_route(path)


ROUTES: dict[str, Callable[[dict[str, Any]], Response]] = {
    "POST /orders": post_order,
    "GET /orders": list_orders,
    "GET /orders/{orderId}": get_order,
    "POST /orders/{orderId}/cancel": cancel,
    "GET /me": get_me,
    "PUT /me": put_me,
    "GET /reports/sales": get_sales,
    "GET /catalog": get_catalog,
    "GET /openapi.json": get_openapi,
    "GET /health": get_health,
}
