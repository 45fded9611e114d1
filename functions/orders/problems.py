"""Problem documents (RFC 9457): how the API says that something is wrong, and what to do about it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from http_responses import Response
from shop import errors

TYPE_PREFIX = "urn:handoff:problem:"


class Problem(Exception):
    """An answer other than the one hoped for. ``name`` completes the problem's type URI."""

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
        """The metric of orders that end like this."""
        if self.name == "out-of-stock":
            return "OrdersOutOfStock"
        return {402: "OrdersDeclined", 500: "OrdersFailed", 503: "OrdersUnavailable"}.get(self.status, "OrdersRefused")


def answer(problem: Problem) -> Response:
    """The problem as the answer to a request."""
    return {
        "statusCode": problem.status,
        "headers": {"content-type": "application/problem+json", **problem.headers},
        "body": json.dumps(problem.document),
    }


def invalid(fields: Mapping[str, str], detail: str = "") -> Problem:
    """400: what is wrong, field by field."""
    errors_found = [{"field": field, "message": message} for field, message in fields.items()]
    summary = detail or "; ".join(f"{field}: {message}" for field, message in fields.items())
    return Problem(400, "invalid-request", "The request is not valid", summary[:1000], errors=errors_found)


def unauthenticated(detail: str) -> Problem:
    """401: the token does not say who asks."""
    return Problem(401, "unauthenticated", "Who are you?", detail)


def forbidden(scope: str) -> Problem:
    """403: the token does not carry this scope."""
    challenge = {"www-authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}
    detail = f"This takes a token with the scope {scope}. How to get one: README, Reports."
    return Problem(403, "forbidden", "Not with this token", detail, headers=challenge)


def no_order() -> Problem:
    """404: no such order, or not the caller's."""
    return of(errors.NoSuchOrder())


def no_profile() -> Problem:
    """404: the caller has no profile yet."""
    return Problem(404, "no-profile", "No profile yet", "You have no profile. PUT /me makes one.")


def no_route(path: str) -> Problem:
    """404: no such path."""
    return Problem(404, "no-such-route", "Not found", f"There is nothing at {path[:200]}.")


def wrong_method(allowed: Sequence[str]) -> Problem:
    """405: the path takes other methods."""
    methods = ", ".join(allowed)
    detail = f"This takes {methods}."
    return Problem(405, "wrong-method", "Method not allowed", detail, headers={"allow": methods})


def too_large(most: int) -> Problem:
    """413: the body is too large."""
    return Problem(413, "too-large", "The body is too large", f"At most {most} bytes.", errors=[_body("too large")])


def not_json(media_type: str) -> Problem:
    """415: the body is not said to be JSON."""
    detail = f"Send application/json, not {media_type[:100] or 'a body without Content-Type'}."
    wrong = [{"field": "Content-Type", "message": "must be application/json"}]
    return Problem(415, "not-json", "The body must be JSON", detail, errors=wrong)


def internal() -> Problem:
    """500: a mistake of ours."""
    return Problem(500, "internal", "Something went wrong here", "It is logged. The same request may be sent again.")


def unavailable() -> Problem:
    """503: AWS does not answer as it should."""
    detail = "A service that this needs does not answer. Send the same request again."
    return Problem(503, "unavailable", "Not available right now", detail, headers={"retry-after": "5"})


def of(error: errors.RequestError) -> Problem:
    """The problem document of an outcome that the shop has named."""
    detail = str(error)
    match error:
        case errors.NoSuchOrder():
            return Problem(404, "no-such-order", "No such order", detail)
        case errors.OutOfStock():
            short = [{"sku": sku, "available": count} for sku, count in error.available.items()]
            return Problem(409, "out-of-stock", "Out of stock", detail, products=short)
        case errors.TotalChanged():
            return Problem(409, "total-changed", "The total has changed", detail, total=error.total)
        case errors.KeyReused():
            return Problem(422, "key-reused", "Idempotency-Key used before", detail)
        case errors.InProgress():
            retry = {"retry-after": str(error.retry_after)}
            return Problem(409, "in-progress", "In progress", detail, headers=retry, orderId=error.order_id)
        case errors.PaymentDeclined():
            return Problem(402, "payment-declined", "Payment declined", detail, orderId=error.order_id)
        case errors.OrderExpired():
            return Problem(409, "order-expired", "The order has expired", detail, orderId=error.order_id)
        case errors.NotCancellable():
            return Problem(409, "not-cancellable", "Too late to cancel", detail, orderId=error.order_id)
        case errors.ProfileBusy():
            later = {"retry-after": str(error.retry_after)}
            return Problem(503, "profile-busy", "Too many changes at once", detail, headers=later)
        case errors.TooManyAddresses():
            later = {"retry-after": str(error.retry_after)}
            return Problem(429, "too-many-addresses", "Too many new addresses", detail, headers=later)
        case errors.TryLater():
            later = {"retry-after": str(error.retry_after), "location": f"/orders/{error.order_id}"}
            return Problem(503, "try-later", "Not finished yet", detail, headers=later, orderId=error.order_id)
        case _:
            raise error


def _body(message: str) -> dict[str, str]:
    return {"field": "body", "message": message}
