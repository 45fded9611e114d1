"""Operations on the caller's profile."""

import callers
import http_responses
import parameters
import problems
import profile_requests
import response_schemas
from handoff.clock import Deadline, now_ms
from handoff.outbox import announce
from handoff.telemetry import logger
from http_responses import Response
from operations import BODY_PROBLEMS, App, Event, Operation
from shop import cancelling, erasing, exporting
from shop.errors import RequestError
from shop.model import Order
from shop.placing import DEADLINE


@Operation("GET /me", response_schemas.Profile, problems=("unauthenticated", "no-profile"))
def get_profile(app: App, event: Event) -> Response:
    """Get the caller's profile.

    E-mails about orders go to the address in the profile.
    """
    customer = app.customers.get(callers.user_id(event))
    if customer is None or customer.is_erased:
        raise problems.no_profile()
    return http_responses.profile(customer)


@Operation(
    "PUT /me",
    response_schemas.Profile,
    body=profile_requests.ProfileIn,
    problems=(*BODY_PROBLEMS, "unauthenticated", "being-erased", "too-many-addresses", "profile-busy"),
    links={"getProfile": {"operationId": "getProfile"}},
)
def put_profile(app: App, event: Event) -> Response:
    """Create or change the caller's profile.

    If the e-mail address changes, a notice is sent to both the old and the new address. If e-mail to the address
    bounced or was reported as spam, saving it again makes e-mail go there again.
    """
    deadline = Deadline(DEADLINE)
    user_id, profile = callers.user_id(event), profile_requests.profile(event)
    customer = app.customers.update(
        user_id,
        name=profile.name,
        email=profile.email,
        language=profile.language,
        now=now_ms(),
        correlation_id=parameters.correlation_id(event),
        deadline=deadline,
    )
    announce(app.customers, app.shop.bus, customer, deadline)
    return http_responses.profile(customer)


@Operation(
    "GET /me/export",
    response_schemas.Export,
    parameters=profile_requests.EXPORT_PARAMETERS,
    problems=("invalid-request", "unauthenticated"),
    headers=("cache-control",),
    links={"next": {"operationId": "exportProfile", "parameters": {"cursor": "$response.body#/next"}}},
)
def export_profile(app: App, event: Event) -> Response:
    """Export all data that is kept about the caller.

    In pages: each has the profile and some orders, the last one has no `next`.
    """
    page, user_id = profile_requests.export_page(event), callers.user_id(event)
    found = exporting.export(app.customers, app.shop.orders, app.shipments, user_id, limit=page.limit, after=page.after)
    return http_responses.exported(found, now_ms())


@Operation(
    "DELETE /me",
    response_schemas.Erasure,
    also={202: response_schemas.Erasure},
    problems=("unauthenticated", "open-orders", "profile-busy"),
)
def erase_profile(app: App, event: Event) -> Response:
    """Erase the caller's personal data.

    The profile is erased at once, and orders that are not packed yet are cancelled. The other data follows within about
    an hour (202; 200 once it is done), and until then no order is accepted. Amounts, products and times of orders stay,
    under an id that leads to no customer. Refused while an order is under way: packed and not shipped, being refunded,
    or disputed. Idempotent.
    """
    deadline = Deadline(DEADLINE)
    user_id, correlation_id = callers.user_id(event), parameters.correlation_id(event)
    customer, cancellable = erasing.begin(app.customers, app.shop.orders, user_id, correlation_id, deadline)
    for order in cancellable:
        _cancel(app, order, deadline)
    return http_responses.erasure(customer)


def _cancel(app: App, order: Order, deadline: Deadline) -> None:
    """Cancel an order. One that cannot be cancelled now is left to the sweeper, which continues the erasure."""
    try:
        cancelling.cancel_own_order(app.shop, order.order_id, order.user_id, deadline)
    except RequestError as error:
        logger.info("order not cancelled yet", order_id=order.order_id, reason=type(error).__name__)
