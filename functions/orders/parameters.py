"""Parameters of requests: those in the path, the query string and the headers."""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import problems
from handoff import ids
from response_schemas import ORDER_ID
from shop.errors import NoSuchOrder

_ASCII_128 = r"^[\x21-\x7e]{1,128}$"
_KEY_IN_WORDS = "1-128 visible ASCII characters."
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:=-]{1,64}")
_REPEATED = re.compile(r"([\x20-\x7e]{1,128}?)(?:, ?\1)+")
_ENTITY_TAG = re.compile(r'"[\x21\x23-\x7e]*"')


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a request, as openapi.json describes it; ``location`` is path, query or header."""

    name: str
    location: str
    schema: dict[str, Any]
    description: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """The requested part of a list: ``limit`` entries after a position."""

    limit: int
    after: dict[str, str] | None


def key_parameter(what: str) -> Parameter:
    """Return the description of the header ``Idempotency-Key``; `idempotency_key` parses it."""
    text = f"Use a new key for each new {what}. Use the same key to retry a request: it gets the same response."
    return Parameter("Idempotency-Key", "header", {"type": "string", "pattern": _ASCII_128}, text, required=True)


ORDER_ID_PARAMETER = Parameter(
    "orderId", "path", {"type": "string", "pattern": ORDER_ID}, "The id of the order.", required=True
)
CURSOR = Parameter(
    "cursor", "query", {"type": "string"}, "The value `next` of the previous page. Omit it for the first page."
)
IF_NONE_MATCH_PARAMETER = Parameter(
    "If-None-Match",
    "header",
    {"type": "string"},
    "The `etag` of the response that the client has. If it is still current, the response is 304, without a body.",
)


def limit_parameter(most: int, default: int) -> Parameter:
    """Return the description of the parameter ``limit``; `limit_of` parses it."""
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return Parameter("limit", "query", schema, "The maximum number of entries in a page.")


def header(event: dict[str, Any], name: str) -> str:
    """Return a header's value, empty if it is absent.

    API Gateway joins the values of a header that was sent twice, as some proxies and libraries do, with a comma. If
    all are the same, it is sent once.
    """
    value = str(event["headers"].get(name, ""))
    repeated = _REPEATED.fullmatch(value)
    return repeated[1] if repeated else value


def idempotency_key(event: dict[str, Any], what: str) -> str:
    """Return the idempotency key of a request for a new ``what``.

    Raises
    ------
    problems.Problem
        If it is missing or malformed.
    """
    key = header(event, "idempotency-key")
    if not re.fullmatch(_ASCII_128, key):
        detail = f"Send an Idempotency-Key header of 1-128 visible ASCII characters. Use a new key for each new {what}."
        raise problems.invalid({"Idempotency-Key": _KEY_IN_WORDS}, detail)
    return key


def order_id(event: dict[str, Any]) -> str:
    """Return the order id in the path.

    Raises
    ------
    NoSuchOrder
        If the text in the path is not an order id.
    """
    given = str(event["pathParameters"]["orderId"])
    if not re.fullmatch(ORDER_ID, given):
        raise NoSuchOrder()
    return given


def query(event: dict[str, Any], known: Sequence[Parameter]) -> dict[str, str]:
    """Return the parameters in the query string.

    Raises
    ------
    problems.Problem
        With the parameters that are not known, so that a misspelled one is not ignored.
    """
    given: dict[str, str] = event.get("queryStringParameters") or {}
    unknown = sorted(given.keys() - {parameter.name for parameter in known})
    if unknown:
        raise problems.invalid({name[:100]: "unknown parameter" for name in unknown[:20]})
    return given


def limit_of(given: dict[str, str], parameter: Parameter, wrong: dict[str, str]) -> int:
    """Return the value of the parameter ``limit``. If it is invalid, a message is added to ``wrong``."""
    most, text = parameter.schema["maximum"], given.get("limit", str(parameter.schema["default"]))
    if re.fullmatch(r"[1-9][0-9]{0,3}", text) and int(text) <= most:
        return int(text)
    wrong["limit"] = f"must be a whole number from 1 to {most}"
    return 0


def choice_of(given: dict[str, str], parameter: Parameter, wrong: dict[str, str]) -> str | None:
    """Return the value of a parameter with an enum. If it is invalid, a message is added to ``wrong``."""
    text = given.get(parameter.name, parameter.schema.get("default"))
    allowed: list[str] = parameter.schema["enum"]
    if text is not None and text not in allowed:
        wrong[parameter.name] = f"must be {' or '.join(allowed)}"
    return text


def position(given: dict[str, str], fields: set[str]) -> dict[str, str] | None:
    """Return the position in a list that the cursor stands for, as `decode_cursor` does; no field of it is empty.

    Raises
    ------
    problems.Problem
        If the cursor is not one of this list.
    """
    found = decode_cursor(given.get("cursor"), fields, wrong_cursor())
    if found and not all(found.values()):
        raise wrong_cursor()
    return found


def wrong_cursor() -> problems.Problem:
    """400: the cursor is not one of this list."""
    return problems.invalid({"cursor": "not a cursor that this API has returned for this list"})


def decode_cursor(cursor: str | None, fields: set[str], wrong: problems.Problem) -> dict[str, str] | None:
    """Return the position in a list that a cursor stands for, with exactly these fields; None without a cursor.

    Raises
    ------
    problems.Problem
        ``wrong``, if the cursor is not valid.
    """
    if not cursor:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(cursor))
    except (ValueError, RecursionError) as error:
        raise wrong from error
    if not isinstance(found, dict) or set(found) != fields:
        raise wrong
    if not all(isinstance(value, str) and len(value) <= 64 for value in found.values()):
        raise wrong
    return found


def known_versions(event: dict[str, Any]) -> set[str]:
    """Return the entity tags in If-None-Match, in their quotes, or ``*``.

    It compares weak tags like strong ones (RFC 9110, 13.1.2), so the sign of a weak one, W/, is left out.
    """
    given = event["headers"].get("if-none-match", "")
    return {given} if given == "*" else set(_ENTITY_TAG.findall(given))


def correlation_id(event: dict[str, Any]) -> str:
    """Return the client's X-Correlation-Id if it is valid, else API Gateway's request id, else a new id."""
    for candidate in (header(event, "x-correlation-id"), event["requestContext"].get("requestId")):
        if candidate and _CORRELATION_ID.fullmatch(candidate):
            return str(candidate)
    return ids.unique()
