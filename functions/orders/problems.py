"""Problem documents (RFC 9457): the API's response to every request that does not succeed."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from handoff import aws
from handoff.errors import TransactionConflict
from handoff.telemetry import logger
from http_responses import Response
from shop import errors

TYPE_PREFIX = "urn:handoff:problem:"


class Problem(Exception):
    """A response with an error status. ``name`` completes the problem's type URI."""

    def __init__(
        self,
        status: int,
        name: str,
        title: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.document = {"type": TYPE_PREFIX + name, "title": title, "status": status, "detail": detail, **members}
        self.headers = dict(headers or {})

    @property
    def counted_as(self) -> str:
        """The metric that counts order requests with this problem."""
        if self.name == "out-of-stock":
            return "OrdersOutOfStock"
        return {402: "OrdersDeclined", 500: "OrdersFailed", 503: "OrdersUnavailable"}.get(self.status, "OrdersRefused")


def answer(problem: Problem) -> Response:
    """Return the HTTP response for a problem."""
    return {
        "statusCode": problem.status,
        "headers": {"content-type": "application/problem+json", **problem.headers},
        "body": json.dumps(problem.document),
    }


def from_exception(error: Exception) -> Problem:
    """Return the problem for any exception. Failures on our side are logged and not shown to the client."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, errors.RequestError):
        return of(error)
    if isinstance(error, (*aws.ERRORS, TransactionConflict)):
        logger.exception("aws request failed", reason=aws.failure_reason(error), exc_info=error)
        return unavailable()
    logger.exception("unexpected error", reason=aws.failure_reason(error), exc_info=error)
    return internal()


def of(error: errors.RequestError) -> Problem:
    """Return the problem for an error of the domain. `UnknownProducts` needs field names: see `unknown_products`."""
    match error:
        case errors.NoSuchOrder():
            return Problem(404, "no-such-order", "Order not found", "You have no order with this id.")
        case errors.OutOfStock():
            return _out_of_stock(error)
        case errors.TotalChanged():
            detail = (
                f"The total is {error.total} ({error.currency}, minor units). To accept it, send it as expectedTotal."
            )
            return Problem(409, "total-changed", "Total changed", detail, total=error.total)
        case errors.KeyReused():
            detail = "This Idempotency-Key was used with a different body. Use a new key for a new order."
            return Problem(422, "key-reused", "Idempotency-Key reused", detail)
        case errors.InProgress():
            return _in_progress(error)
        case errors.PaymentDeclined():
            return _payment_declined(error)
        case errors.OrderExpired():
            detail = "The order was not completed in time. Order again with a new Idempotency-Key."
            return Problem(409, "order-expired", "Order expired", detail, orderId=error.order_id)
        case errors.NotCancellable():
            detail = f"The order is {error.status} and can no longer be cancelled."
            return Problem(409, "not-cancellable", "Order cannot be cancelled", detail, orderId=error.order_id)
        case errors.ProfileBusy():
            detail = f"Earlier changes of your profile are still being processed. Retry in {error.retry_after} s."
            return Problem(503, "profile-busy", "Profile busy", detail, headers=_retry_after(error.retry_after))
        case errors.TooManyAddresses():
            detail = (
                "Your profile has changed too often today to change its e-mail address again. "
                f"Retry in {error.retry_after} s."
            )
            headers = _retry_after(error.retry_after)
            return Problem(429, "too-many-addresses", "Too many address changes", detail, headers=headers)
        case errors.TryLater():
            detail = f"{error} Retry the same request, with the same Idempotency-Key if it has one."
            headers = {**_retry_after(error.retry_after), "location": f"/orders/{error.order_id}"}
            return Problem(503, "try-later", "Request not completed", detail, headers=headers, orderId=error.order_id)
        case _:
            raise error


def invalid(fields: Mapping[str, str], detail: str = "") -> Problem:
    """400: the request is invalid; ``fields`` maps each invalid field to a message."""
    found = [{"field": field, "message": message} for field, message in fields.items()]
    summary = detail or "; ".join(f"{field}: {message}" for field, message in fields.items())
    return Problem(400, "invalid-request", "Invalid request", summary[:1000], errors=found)


def unknown_products(error: errors.UnknownProducts, fields: Mapping[str, str]) -> Problem:
    """400: some products are not on sale; ``fields`` as in `invalid`."""
    return invalid(fields, f"Not on sale: {', '.join(error.skus)}. GET /catalog lists the products on sale.")


def unauthenticated(detail: str) -> Problem:
    """401: the token does not identify a user."""
    return Problem(401, "unauthenticated", "Unauthorized", detail)


def forbidden(scope: str) -> Problem:
    """403: the token lacks this scope."""
    challenge = {"www-authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}
    return Problem(403, "forbidden", "Insufficient scope", f"Requires a token with scope {scope}.", headers=challenge)


def no_profile() -> Problem:
    """404: the caller has no profile yet."""
    return Problem(404, "no-profile", "Profile not found", "No profile exists yet. Create one with PUT /me.")


def no_route(path: str) -> Problem:
    """404: the API has no such path."""
    return Problem(404, "no-such-route", "Not found", f"No such path: {path[:200]}. GET /openapi.json lists all paths.")


def wrong_method(allowed: Sequence[str]) -> Problem:
    """405: the path exists for other methods only."""
    methods = ", ".join(allowed)
    headers = {"allow": methods}
    return Problem(405, "wrong-method", "Method not allowed", f"This path supports {methods}.", headers=headers)


def too_large(most: int) -> Problem:
    """413: the body has more than ``most`` bytes."""
    wrong = [{"field": "body", "message": "too large"}]
    return Problem(413, "too-large", "Request body too large", f"The maximum is {most} bytes.", errors=wrong)


def not_json(media_type: str) -> Problem:
    """415: the Content-Type is not JSON."""
    detail = f"Send Content-Type: application/json, not {media_type[:100] or 'a body without Content-Type'}."
    wrong = [{"field": "Content-Type", "message": "must be application/json"}]
    return Problem(415, "not-json", "Unsupported media type", detail, errors=wrong)


def internal() -> Problem:
    """500: the function failed unexpectedly."""
    detail = "The error was logged. The same request can be retried safely."
    return Problem(500, "internal", "Internal server error", detail)


def unavailable() -> Problem:
    """503: AWS does not respond as it should."""
    detail = "A service that the API depends on did not respond. Retry the same request."
    return Problem(503, "unavailable", "Service unavailable", detail, headers=_retry_after(5))


def _out_of_stock(error: errors.OutOfStock) -> Problem:
    left = ", ".join(f"{sku} ({count} left)" for sku, count in error.available.items())
    detail = f"Not enough in stock: {left}. Order fewer, or retry later."
    short = [{"sku": sku, "available": count} for sku, count in error.available.items()]
    return Problem(409, "out-of-stock", "Out of stock", detail, products=short)


def _in_progress(error: errors.InProgress) -> Problem:
    detail = (
        f"The order was not completed and expires within {error.retry_after} s. "
        "To complete it, repeat POST /orders with its Idempotency-Key."
        if error.abandoned
        else f"The order is still being placed. Retry the same request in {error.retry_after} s."
    )
    headers = _retry_after(error.retry_after)
    return Problem(409, "in-progress", "Order in progress", detail, headers=headers, orderId=error.order_id)


def _payment_declined(error: errors.PaymentDeclined) -> Problem:
    detail = "The payment was declined. Use another payment method and a new Idempotency-Key."
    if error.reason.startswith("amount_"):
        change = {"amount_too_small": "Order more", "amount_too_large": "Order less"}.get(
            error.reason, "Change the order"
        )
        detail = f"The payment provider does not accept this total. {change}, with a new Idempotency-Key."
    return Problem(402, "payment-declined", "Payment declined", detail, orderId=error.order_id)


def _retry_after(seconds: int) -> dict[str, str]:
    return {"retry-after": str(seconds)}
