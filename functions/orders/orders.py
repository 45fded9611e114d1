"""The HTTP API: connect to AWS, dispatch each request to its handler in `routes`, and log the response."""

from handoff.startup import ready

import re
import time
from typing import TYPE_CHECKING, Any

import callers
import error_problems
import http_responses
import parameters
import problems
from handoff import aws, bus
from handoff.telemetry import flush_metrics, logger
from http_responses import Response
from routes import OPERATIONS, App
from shop import order_store, payments, settings, shipment_store
from shop.catalog import Catalog
from shop.customers import CustomerStore
from shop.placing import Dependencies
from shop.sales_report import SalesReport

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# A browser's question whether a page of another origin may send a request. The gateway adds the answer's headers.
_PREFLIGHT = "OPTIONS /{proxy+}"

_settings = settings.load()
_dynamodb = aws.client("dynamodb")
_app = App(
    shop=Dependencies(
        catalog=Catalog(_dynamodb, _settings.products_table),
        orders=order_store.connect(_dynamodb, _settings),
        payments=payments.connect(_settings.payment_provider, _settings.sandbox_table),
        bus=bus.connect(_settings.bus_name),
        currency=_settings.currency,
        action_expires_after=int(1000 * settings.seconds("ACTION_EXPIRES_AFTER")),
        ships_to=settings.country_codes("SHIPS_TO"),
    ),
    shipments=shipment_store.connect(_dynamodb, _settings),
    customers=CustomerStore(_dynamodb, _settings.customers_table, _settings.unfinished_shards),
    sales=SalesReport(_dynamodb, settings.text("SALES_TABLE"), shards=int(settings.number("SALES_SHARDS"))),
    payment_provider=_settings.payment_provider,
    pack_after=int(settings.seconds("PACK_AFTER")),
    return_days=int(settings.number("RETURN_DAYS")),
    lists_orders=settings.text("LISTS_ORDERS") == "true",
)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> Response:
    """Answer one request of the HTTP API (payload format 2.0)."""
    began = time.monotonic()
    correlation_id = parameters.correlation_id(event)
    logger.append_keys(correlation_id=correlation_id)
    try:
        response = _respond(event)
        response["headers"]["x-correlation-id"] = correlation_id
        duration = round(1000 * (time.monotonic() - began))
        logger.info("request answered", route=event["routeKey"], status=response["statusCode"], duration_ms=duration)
        return response
    finally:
        flush_metrics()


def _respond(event: dict[str, Any]) -> Response:
    """Dispatch by the route that API Gateway has matched; turn every exception into a problem document."""
    if event["routeKey"] == _PREFLIGHT:
        return http_responses.preflight()
    operation = OPERATIONS.get(event["routeKey"])
    if operation is None:
        return problems.answer(_no_route(event["rawPath"]))
    try:
        if operation.scope:
            callers.check_scope(event, operation.scope)
        return operation.handler(_app, event)
    except Exception as error:  # noqa: BLE001  # the client gets a problem document; the log has the details
        return problems.answer(error_problems.from_exception(error))


def _no_route(path: str) -> problems.Problem:
    routes = (route.split() for route in OPERATIONS)
    allowed = [method for method, known in routes if re.fullmatch(re.sub(r"{\w+}", "[^/]+", known), path)]
    return problems.wrong_method(allowed) if allowed else problems.no_route(path)


ready()
