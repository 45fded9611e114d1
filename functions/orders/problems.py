"""Problem documents (RFC 9457): the API's response to every request that does not succeed.

Those of requests that are not valid are here, those of exceptions in `error_problems`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from http_responses import Response
from shop import errors

TYPE_PREFIX = "urn:handoff:problem:"

_COUNTED_AS = {402: "OrdersDeclined", 429: "OrdersLimited", 500: "OrdersFailed", 503: "OrdersUnavailable"}


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
        self.is_repeated = False  # whether an earlier request with the same key has got it

    @property
    def counted_as(self) -> str:
        """The metric that counts order requests with this problem."""
        if self.is_repeated:
            return "OrdersRepeated"
        if self.name == "out-of-stock":
            return "OrdersOutOfStock"
        return _COUNTED_AS.get(self.status, "OrdersRefused")


def answer(problem: Problem) -> Response:
    """Return the HTTP response for a problem."""
    return {
        "statusCode": problem.status,
        "headers": {"content-type": "application/problem+json", **problem.headers},
        "body": json.dumps(problem.document),
    }


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


def no_payment() -> Problem:
    """404: the sandbox has no payment with this client secret."""
    detail = "The sandbox has no payment with this client secret. Use the one of a 202 response."
    return Problem(404, "no-such-payment", "Payment not found", detail)


def no_route(path: str) -> Problem:
    """404: the API has no such path."""
    return Problem(404, "no-such-route", "Not found", f"No such path: {path[:200]}. GET /openapi.json lists all paths.")


def no_order_list() -> Problem:
    """404: the deployment has no list of all orders."""
    detail = "This deployment keeps no list of all customers' orders. Deploy it with OrdersReadAccess=true."
    return Problem(404, "no-order-list", "No list of orders", detail)


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


def not_utf8(field: str, found: str) -> Problem:
    """415: the body is in another charset; ``field`` says where that was ``found``."""
    wrong = [{"field": field, "message": "must be UTF-8"}]
    detail = f"Send the body in UTF-8, not {found}, with Content-Type: application/json."
    return Problem(415, "not-utf8", "Unsupported charset", detail, errors=wrong)


def encoded_body(coding: str) -> Problem:
    """415: the body is compressed or otherwise encoded."""
    wrong = [{"field": "Content-Encoding", "message": "must be absent"}]
    detail = f"Send the body as it is, without Content-Encoding: {coding[:100]}."
    headers = {"accept-encoding": "identity"}
    return Problem(415, "encoded-body", "Unsupported content encoding", detail, headers=headers, errors=wrong)


def internal() -> Problem:
    """500: the function failed unexpectedly."""
    detail = "The error was logged. The same request can be retried safely."
    return Problem(500, "internal", "Internal server error", detail)


def unavailable() -> Problem:
    """503: AWS does not respond as it should."""
    detail = "A service that the API depends on did not respond. Retry the same request."
    return Problem(503, "unavailable", "Service unavailable", detail, headers=retry_after(5))


def retry_after(seconds: int) -> dict[str, str]:
    """Return the header that says in how many seconds a retry is worthwhile."""
    return {"retry-after": str(seconds)}
