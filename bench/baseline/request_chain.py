"""The request-driven service that Handoff replaces: all steps run within the request, and the customer waits for them.

It calls Handoff's own code for the same work: reserve, authorize, commit, send the mail, count the sale. Only the
wiring differs: a step that fails here fails the customer's request.
"""

from typing import TYPE_CHECKING, Any

import error_problems
import http_responses
import languages
import order_requests
import parameters
import problems
from handoff import aws
from handoff.clock import Deadline
from handoff.errors import TransactionConflict
from handoff.telemetry import MetricUnit, flush_metrics, logger, metrics
from http_responses import Response
from mails import Seller, Writer
from shop import order_store, payments, settings
from shop.catalog import Catalog
from shop.customers import CustomerStore
from shop.errors import RequestError
from shop.model import Order
from shop.placing import (
    DEADLINE,
    Dependencies,
    DuplicateRequest,
    PlaceOrder,
    authorize,
    commit,
    replay_response,
    reserve,
)
from shop.sales import SalesStore, sales_of
from shop.sales_generations import FIRST

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from handoff.bus import Bus

_settings = settings.load()
_dynamodb = aws.client("dynamodb")
_customers = CustomerStore(_dynamodb, _settings.customers_table, _settings.unfinished_shards)
_sales = SalesStore(_dynamodb, settings.text("SALES_TABLE"), shards=int(settings.number("SALES_SHARDS")))
_ses = aws.client("sesv2", config=aws.config(read_timeout=10, tries=1))  # as in functions/emails
_sender = settings.text("MAIL_FROM")
_no_bus: "Bus" = None  # type: ignore[assignment]  # the chain publishes no events
_shop = Dependencies(
    catalog=Catalog(_dynamodb, _settings.products_table),
    orders=order_store.connect(_dynamodb, _settings),
    payments=payments.connect(_settings.payment_provider, _settings.sandbox_table),
    bus=_no_bus,
    currency=_settings.currency,
    ships_to=frozenset(),
    action_expires_after=0,  # its clients don't send customerAction
)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> Response:
    """Answer ``POST /orders``."""
    correlation_id = parameters.correlation_id(event)
    logger.append_keys(correlation_id=correlation_id)
    response = _answer(event)
    response["headers"]["x-correlation-id"] = correlation_id
    logger.info("Answered", route=event["routeKey"], status=response["statusCode"])
    flush_metrics()
    return response


def _answer(event: dict[str, Any]) -> Response:
    try:
        deadline = Deadline(DEADLINE)
        placement = order_requests.placement(event)
        logger.append_keys(order_id=placement.order_id)
        return http_responses.placed(place_order(placement, deadline))
    except problems.Problem as problem:
        return problems.answer(problem)
    except RequestError as error:
        return problems.answer(error_problems.of(error))
    except (*aws.ERRORS, TransactionConflict) as error:
        logger.exception("A call to AWS failed", exc_info=error)
        return problems.answer(problems.unavailable())


def place_order(placement: PlaceOrder, deadline: Deadline) -> Order:
    """Run all steps one after the other."""
    try:
        order = reserve(_shop, placement, deadline)
        hold = authorize(_shop, order, deadline)
        order = commit(_shop, order, hold, deadline)
    except DuplicateRequest as before:
        return replay_response(before.order)
    metrics.add_metric("OrdersPlaced", MetricUnit.Count, 1)
    confirm(order)
    _sales.record(sales_of(order), FIRST, Deadline(20.0))
    return order


def confirm(order: Order) -> None:
    """Send the confirmation mail."""
    customer = _customers.get(order.user_id)
    if customer is None or not customer.email:
        return
    mail = Writer(languages.choose(customer.language, "en"), Seller()).confirmation(order, customer)
    _ses.send_email(
        FromEmailAddress=_sender,
        Destination={"ToAddresses": [customer.email]},
        Content={
            "Simple": {
                "Subject": {"Data": mail["subject"], "Charset": "UTF-8"},
                "Body": {
                    "Text": {"Data": mail["text"], "Charset": "UTF-8"},
                    "Html": {"Data": mail["html"], "Charset": "UTF-8"},
                },
            }
        },
    )
