"""The HTTP API in front of the orders function, with its routes from template.yaml."""

import base64
import json
import re
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from dev.simulated import contract
from dev.simulated.functions import Functions
from dev.template import template_with

# An HTTP API passes these as text, and encodes all others. Source:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
_TEXT = re.compile(r"text/.*|application/(json|javascript|xml)|.*\+(json|xml)")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; ``json`` is its parsed body."""

    status: int
    headers: dict[str, str]
    json: dict[str, Any]

    @property
    def problem(self) -> str:
        """The last part of the problem document's type."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.json["status"] == self.status
        return str(self.json["type"]).rpartition(":")[2]

    @property
    def fields(self) -> list[str]:
        """The fields that the problem document names."""
        return [error["field"] for error in self.json.get("errors", [])]


class Api:
    """The API as seen by one user; ``claims`` are those of the user's token."""

    def __init__(self, functions: Functions, claims: dict[str, str] | None) -> None:
        self._functions = functions
        self._claims = claims

    def served_by(self, functions: Functions) -> "Api":
        """Return the API with the same token, served by other processes."""
        return Api(functions, self._claims)

    def place(self, body: dict[str, Any], key: str = "key-1", **headers: str) -> Answer:
        """Send ``POST /orders`` with an Idempotency-Key."""
        return self.call("POST", "/orders", json.dumps(body), **{"Idempotency-Key": key, **headers})

    def get(self, path: str, **headers: str) -> Answer:
        """Send ``GET`` to a path."""
        return self.call("GET", path, **headers)

    def act(self, client_secret: str) -> Answer:
        """Send ``POST /sandbox/actions``: do what the customer does on the provider's page."""
        return self.call("POST", "/sandbox/actions", json.dumps({"clientSecret": client_secret}))

    def confirm(self, order_id: str) -> Answer:
        """Send ``POST /orders/{orderId}/confirm``."""
        return self.call("POST", f"/orders/{order_id}/confirm")

    def cancel(self, order_id: str, reason: str | None = None) -> Answer:
        """Send ``POST /orders/{orderId}/cancel``; a program's token needs a ``reason``."""
        body = None if reason is None else json.dumps({"reason": reason})
        return self.call("POST", f"/orders/{order_id}/cancel", body)

    def refund(self, order_id: str, key: str = "refund-1", **body: Any) -> Answer:
        """Send ``POST /orders/{orderId}/refunds`` with an Idempotency-Key: by default of all that is left."""
        document = json.dumps({"reason": "damaged", **body})
        return self.call("POST", f"/orders/{order_id}/refunds", document, **{"Idempotency-Key": key})

    def return_order(self, order_id: str, **body: Any) -> Answer:
        """Send ``POST /orders/{orderId}/return``, without a body unless it has members."""
        return self.call("POST", f"/orders/{order_id}/return", json.dumps(body) if body else None)

    def shipments(self, **query: Any) -> Answer:
        """Send ``GET /shipments`` for the open ones."""
        return self.get(f"/shipments?{urlencode({'state': 'open', **query})}")

    def pack(self, order_id: str) -> Answer:
        """Send ``POST /shipments/{orderId}/packed``."""
        return self.call("POST", f"/shipments/{order_id}/packed")

    def call(self, method: str, url: str, body: str | bytes | None = None, **headers: str) -> Answer:
        """Send any request. A body is JSON unless the headers say otherwise."""
        if body is not None:
            headers = {"Content-Type": "application/json", **headers}
        request = event(method, url, body, headers, self._claims)
        response = self._functions.invoke("OrdersFunction", request)
        answer = Answer(response["statusCode"], response["headers"], json.loads(response["body"] or "{}"))
        contract.check(request["routeKey"], answer.status, answer.headers, answer.json)
        return answer


def event(
    method: str, url: str, body: str | bytes | None, headers: dict[str, str], claims: dict[str, str] | None
) -> dict[str, Any]:
    """Return a request as an HTTP API passes it to a function (payload format 2.0), without absent members."""
    parts = urlsplit(url)
    route, parameters, secured = _route(method, parts.path)
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route,
        "rawPath": parts.path,
        "rawQueryString": parts.query,
        "headers": {name.lower(): value for name, value in headers.items()},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4",
            "domainName": "a1b2c3d4.execute-api.eu-central-1.amazonaws.com",
            "http": {
                "method": method,
                "path": parts.path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "tests",
            },
            "requestId": f"{uuid.uuid4().hex[:15]}=",
            "routeKey": route,
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }
    if secured:
        made["requestContext"]["authorizer"] = {"jwt": {"claims": claims, "scopes": None}}
    if parameters:
        made["pathParameters"] = parameters
    if parts.query:
        made["queryStringParameters"] = dict(parse_qsl(parts.query, keep_blank_values=True))
    if body is not None:
        raw = body.encode() if isinstance(body, str) else body
        is_text = _TEXT.fullmatch(made["headers"].get("content-type", "").partition(";")[0]) and _is_utf8(raw)
        made["body"] = raw.decode() if is_text else base64.b64encode(raw).decode()
        made["isBase64Encoded"] = not is_text
    return made


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _route(method: str, path: str) -> tuple[str, dict[str, str], bool]:
    for route in template_with().of_type("AWS::ApiGatewayV2::Route").values():
        key, secured = route["RouteKey"], route["AuthorizationType"] == "JWT"
        wanted, _, pattern = key.partition(" ")
        found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern), path)
        if wanted == method and found:
            return key, found.groupdict(), secured
    return "$default", {}, False
