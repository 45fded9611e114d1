"""Parse and validate requests before any other code sees them."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

import problems
from handoff import ids
from response_schemas import ORDER_ID
from shop.errors import NoSuchOrder
from shop.model import MAX_LINES, MAX_QUANTITY, SKU, Address
from shop.placing import PlaceOrder

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MAX_BODY_BYTES = 64 * 1024

_SUBJECT = re.compile(r"[\x21-\x7e]{1,128}")  # OpenID Connect allows ASCII; an event has room for 1 KB
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:=-]{1,64}")
_ASCII_128 = r"^[\x21-\x7e]{1,128}$"
_ASCII_255 = r"^[\x21-\x7e]{1,255}$"
_ENTITY_TAG = re.compile(r'"[\x21\x23-\x7e]*"')
_COUNTRY = r"^[A-Z]{2}$"
# Accepted by a mail service: one @, no spaces, a dot in the domain. Only a mail can show whether the address exists.
_EMAIL = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$"
# One line and not blank: these texts are printed in mails and on labels.
_BREAKS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_ONE_LINE = rf"^[^{_BREAKS}]*[^\s{_BREAKS}][^{_BREAKS}]*$"
# The patterns in words, for the description of a field and for the message about a value that does not match.
_IN_WORDS = {
    SKU: "1-64 letters, digits, periods, underscores or hyphens, starting with a letter or a digit.",
    _ASCII_128: "1-128 visible ASCII characters.",
    _ASCII_255: "1-255 visible ASCII characters.",
    _COUNTRY: "ISO 3166-1 alpha-2 code of the country, such as GB.",
    _EMAIL: "An e-mail address such as ada@mail.example.",
    _ONE_LINE: "One line, not blank, no control characters.",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a request, as openapi.json describes it; ``location`` is path, query or header."""

    name: str
    location: str
    schema: dict[str, Any]
    description: str
    required: bool = False


IDEMPOTENCY_KEY_PARAMETER = Parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "pattern": _ASCII_128},
    "Use a new key for each new order. Use the same key to retry a request: it gets the same response.",
    required=True,
)
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


LIMIT = limit_parameter(50, default=20)
PAGE_PARAMETERS = (LIMIT, CURSOR)


def _text(pattern: str, longest: int | None = None) -> Any:
    return Field(pattern=pattern, max_length=longest, description=_IN_WORDS[pattern])


def _line(longest: int) -> Any:
    return Field(pattern=_ONE_LINE, min_length=1, max_length=longest, description=_IN_WORDS[_ONE_LINE])


Sku = Annotated[str, _text(SKU)]
_STRIPPED = AfterValidator(str.strip)  # after the checks, so that the schema describes exactly the accepted values


def _deliverable(email: str) -> str:
    """Return the address if a mail service accepts it. Checked here, as a narrower pattern would break the contract.

    Sources: RFC 5322, 3.2.3 (dot-atom) and RFC 1123, 2.1 (host names).
    """
    local, _, domain = email.partition("@")
    if not all(local.split(".")):
        raise PydanticCustomError("email", "Before the @, each dot must be between two other characters")
    if any("-" in (label[0], label[-1]) for label in domain.split(".")):
        raise PydanticCustomError("email", "No part of the domain may start or end with a hyphen")
    return email


def _whole(number: Any) -> Any:
    return int(number) if isinstance(number, float) and number.is_integer() else number


_WHOLE = BeforeValidator(_whole)  # for JSON Schema, and so for a client, 2.0 is an integer too


class Body(BaseModel):
    """Part of a request's body: camelCase names, strict types, no unknown fields."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, frozen=True)


B = TypeVar("B", bound=Body)


class LineIn(Body):
    """A product and its quantity. Lines with the same product are merged; the limit applies to their sum."""

    sku: Sku
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY), _WHOLE]


class AddressIn(Body):
    """The address that the order is shipped to."""

    name: Annotated[str, _line(100), _STRIPPED]
    street: Annotated[str, _line(200), _STRIPPED]
    city: Annotated[str, _line(100), _STRIPPED]
    postal_code: Annotated[str, _line(20), _STRIPPED]
    country: Annotated[str, _text(_COUNTRY)]


class OrderIn(Body):
    """An order. If `expectedTotal` (in minor units) is sent, the order is placed at that total or not at all."""

    lines: list[LineIn] = Field(min_length=1, max_length=MAX_LINES)
    shipping_address: AddressIn
    payment_token: Annotated[str, _text(_ASCII_255)]
    expected_total: Annotated[int, Field(ge=0, le=10**12), _WHOLE] | None = None


class ProfileIn(Body):
    """A customer's profile."""

    name: Annotated[str, _line(100), _STRIPPED]
    email: Annotated[str, _text(_EMAIL, longest=254), AfterValidator(_deliverable)]


@dataclass(frozen=True, slots=True)
class Page:
    """The requested part of a list."""

    limit: int
    after: dict[str, str] | None


def placement(event: dict[str, Any]) -> PlaceOrder:
    """Return the validated request to place an order.

    Raises
    ------
    problems.Problem
        With the invalid fields.
    """
    user = user_id(event)
    key = event["headers"].get("idempotency-key", "")
    if not re.fullmatch(_ASCII_128, key):
        detail = "Send an Idempotency-Key header of 1-128 visible ASCII characters. Use a new key for each new order."
        raise problems.invalid({"Idempotency-Key": _IN_WORDS[_ASCII_128]}, detail)
    order = _parsed(OrderIn, event)
    return PlaceOrder(
        user_id=user,
        idempotency_key=key,
        quantities=_merged(order.lines),
        shipping_address=Address.model_validate(order.shipping_address.model_dump()),
        payment_token=order.payment_token,
        expected_total=order.expected_total,
        request_hash=hashlib.sha256(order.model_dump_json().encode()).hexdigest(),
        correlation_id=correlation_id(event),
    )


def fields_of(event: dict[str, Any], skus: list[str]) -> dict[str, str]:
    """Return a message for each line of the body that has one of these products."""
    lines = enumerate(_parsed(OrderIn, event).lines)
    return {f"lines.{n}.sku": f"{line.sku} is not on sale" for n, line in lines if line.sku in skus}


def profile(event: dict[str, Any]) -> ProfileIn:
    """Return the validated profile in the body.

    Raises
    ------
    problems.Problem
        With the invalid fields.
    """
    return _parsed(ProfileIn, event)


def user_id(event: dict[str, Any]) -> str:
    """Return the caller's user id: the claim ``sub`` of the token, which API Gateway has verified.

    Raises
    ------
    problems.Problem
        If the token does not identify a user.
    """
    subject = claims(event).get("sub")
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        raise problems.unauthenticated("The token's claim sub must identify the user: 1-128 visible ASCII characters.")
    return subject


def claims(event: dict[str, Any]) -> dict[str, Any]:
    """Return the claims of the token, which API Gateway has verified; empty without a token."""
    found: dict[str, Any] = event["requestContext"].get("authorizer", {}).get("jwt", {}).get("claims", {})
    return found


def check_scope(event: dict[str, Any], scope: str) -> None:
    """Check the token's scope. API Gateway does so as well, but not every local one.

    Raises
    ------
    problems.Problem
        If the token has the scope neither in its claim ``scope`` nor in ``scp``.
    """
    found = claims(event)
    # API Gateway passes a list as text in brackets: "[one two]".
    given = " ".join(str(found.get(name, "")) for name in ("scope", "scp"))
    if accepted_scopes(scope).isdisjoint(re.split(r"[\s,\[\]]+", given)):
        raise problems.forbidden(scope)


def accepted_scopes(scope: str) -> set[str]:
    """Return the names that a token may have a scope under: Cognito prefixes the resource server's name."""
    return {scope, f"handoff/{scope}"}


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


def page(event: dict[str, Any]) -> Page:
    """Return the requested part of the list of orders.

    Raises
    ------
    problems.Problem
        With the invalid parameters.
    """
    given = query(event, PAGE_PARAMETERS)
    wrong: dict[str, str] = {}
    limit = limit_of(given, LIMIT, wrong)
    if wrong:
        raise problems.invalid(wrong)
    bad_cursor = problems.invalid({"cursor": "not a cursor that this API has returned"})
    after = decode_cursor(given.get("cursor"), {"orderId", "placedAt"}, bad_cursor)
    if after and not all(after.values()):
        raise bad_cursor
    return Page(limit, after)


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
    if re.fullmatch(r"[1-9][0-9]{0,2}", text) and int(text) <= most:
        return int(text)
    wrong["limit"] = f"must be a whole number from 1 to {most}"
    return 0


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
    for candidate in (event["headers"].get("x-correlation-id"), event["requestContext"].get("requestId")):
        if candidate and _CORRELATION_ID.fullmatch(candidate):
            return str(candidate)
    return ids.unique()


def _parsed(model: type[B], event: dict[str, Any]) -> B:
    media_type = event["headers"].get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise problems.not_json(media_type)
    try:
        return model.model_validate_json(_body(event))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise problems.invalid({".".join(map(str, one["loc"])) or "body": _message(one) for one in found}) from error


def _message(error: "ErrorDetails") -> str:
    """Return the message for an invalid field, with a pattern in words."""
    return _IN_WORDS.get(error.get("ctx", {}).get("pattern", ""), error["msg"])


def _body(event: dict[str, Any]) -> bytes:
    text = event.get("body") or ""
    try:
        body = base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
    except ValueError as error:  # from decoding or encoding
        raise problems.invalid({"body": "not UTF-8 text"}) from error
    if len(body) > MAX_BODY_BYTES:
        raise problems.too_large(MAX_BODY_BYTES)
    return body


def _merged(lines: list[LineIn]) -> dict[str, int]:
    quantities: dict[str, int] = {}
    for n, line in enumerate(lines):
        quantities[line.sku] = quantities.get(line.sku, 0) + line.quantity
        if quantities[line.sku] > MAX_QUANTITY:
            raise problems.invalid({f"lines.{n}.quantity": f"more than {MAX_QUANTITY} of {line.sku} in all lines"})
    return quantities
