"""What clients send: parsed and checked before anything else sees it."""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

import problems
from handoff import ids
from response_schemas import ORDER_ID
from shop.model import MAX_LINES, MAX_QUANTITY, SKU, Address
from shop.placing import PlaceOrder

MAX_BODY_BYTES = 64 * 1024
DEFAULT_PAGE, MAX_PAGE = 20, 50
KEY = r"^[\x21-\x7e]{1,128}$"

_KEY = re.compile(KEY)
_ORDER_ID = re.compile(ORDER_ID)
_SUBJECT = re.compile(r"[\x21-\x7e]{1,128}")  # OpenID Connect has ASCII, and an event has 1 KB
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:=-]{1,64}")
# What a mail service can take: one @, no spaces, a dot in the domain. Whether it exists, only a mail can tell.
_EMAIL = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$"
# One line, and not blank: these texts end up in mails and on labels.
_BREAKS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_ONE_LINE = rf"^[^{_BREAKS}]*[^\s{_BREAKS}][^{_BREAKS}]*$"

Sku = Annotated[str, StringConstraints(pattern=SKU)]


def _text(longest: int) -> Any:
    return StringConstraints(min_length=1, max_length=longest, pattern=_ONE_LINE)


_STRIPPED = AfterValidator(str.strip)  # after the checks: so the schema says exactly what is taken


def _deliverable(email: str) -> str:
    """The address, if it is one that a mail service takes; a narrower pattern would break the contract.

    Sources: RFC 5322, 3.2.3 (dot-atom) and RFC 1123, 2.1 (host names).
    """
    local, _, domain = email.partition("@")
    if not all(local.split(".")):
        raise PydanticCustomError("email", "a dot before the @ has to be between other characters; check the spelling")
    if any("-" in (label[0], label[-1]) for label in domain.split(".")):
        raise PydanticCustomError("email", "no part after the @ may begin or end with a hyphen; check the spelling")
    return email


def _whole(number: Any) -> Any:
    return int(number) if isinstance(number, float) and number.is_integer() else number


_WHOLE = BeforeValidator(_whole)  # to JSON Schema, and so to a client, 2.0 is an integer as well


class Body(BaseModel):
    """Part of a request's body: camelCase, of the exact types, and nothing unknown in it."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, frozen=True)


B = TypeVar("B", bound=Body)


class LineIn(Body):
    """A product and how many of it. Lines with the same product are merged."""

    sku: Sku
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY), _WHOLE]


class AddressIn(Body):
    """Where the order goes; ``country`` as ISO 3166-1 alpha-2."""

    name: Annotated[str, _text(100), _STRIPPED]
    street: Annotated[str, _text(200), _STRIPPED]
    city: Annotated[str, _text(100), _STRIPPED]
    postal_code: Annotated[str, _text(20), _STRIPPED]
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class OrderIn(Body):
    """The body of ``POST /orders``. ``expectedTotal`` in minor units: if given, the order is placed at it or not."""

    lines: list[LineIn] = Field(min_length=1, max_length=MAX_LINES)
    shipping_address: AddressIn
    payment_token: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")]
    expected_total: Annotated[int, Field(ge=0, le=10**12), _WHOLE] | None = None


class ProfileIn(Body):
    """The body of ``PUT /me``."""

    name: Annotated[str, _text(100), _STRIPPED]
    email: Annotated[str, StringConstraints(max_length=254, pattern=_EMAIL), AfterValidator(_deliverable)]


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted."""

    limit: int
    after: dict[str, str] | None


def placement(event: dict[str, Any]) -> PlaceOrder:
    """The order that a client wants to place.

    Raises
    ------
    problems.Problem
        Naming the fields that are wrong.
    """
    user = user_id(event)
    key = event["headers"].get("idempotency-key", "")
    if not _KEY.fullmatch(key):
        detail = "Send an Idempotency-Key header of 1 to 128 visible ASCII characters, a new one for each new order."
        raise problems.invalid({"Idempotency-Key": "missing, empty, too long, or not visible ASCII"}, detail)
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
    """Where in the body these products stand."""
    lines = enumerate(_parsed(OrderIn, event).lines)
    return {f"lines.{n}.sku": f"{line.sku} is not on sale" for n, line in lines if line.sku in skus}


def profile(event: dict[str, Any]) -> ProfileIn:
    """The profile that a client wants to have.

    Raises
    ------
    problems.Problem
        Naming the fields that are wrong.
    """
    return _parsed(ProfileIn, event)


def user_id(event: dict[str, Any]) -> str:
    """Who asks: the token's ``sub``, which the gateway has verified.

    Raises
    ------
    problems.Problem
        If the token names nobody.
    """
    subject = claims(event).get("sub")
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        raise problems.unauthenticated("The token's claim sub must name the user: 1 to 128 visible ASCII characters.")
    return subject


def claims(event: dict[str, Any]) -> dict[str, Any]:
    """What the token claims, which the gateway has verified; nothing without one."""
    found: dict[str, Any] = event["requestContext"].get("authorizer", {}).get("jwt", {}).get("claims", {})
    return found


def order_id(event: dict[str, Any]) -> str:
    """The order's id in the path.

    Raises
    ------
    problems.Problem
        If it can't be one: there is no such order.
    """
    given = str(event["pathParameters"]["orderId"])
    if not _ORDER_ID.fullmatch(given):
        raise problems.no_order()
    return given


def page(event: dict[str, Any]) -> Page:
    """The part of the list that is asked for.

    Raises
    ------
    problems.Problem
        Naming the parameter that is wrong.
    """
    query = parameters(event, {"limit", "cursor"})
    limit = query.get("limit", str(DEFAULT_PAGE))
    if not re.fullmatch(r"[1-9][0-9]?", limit) or int(limit) > MAX_PAGE:
        raise problems.invalid({"limit": f"must be a whole number from 1 to {MAX_PAGE}"})
    wrong = problems.invalid({"cursor": "not one that this API gave out"})
    after = decode_cursor(query.get("cursor"), {"orderId", "placedAt"}, wrong)
    if after and not all(after.values()):
        raise wrong
    return Page(int(limit), after)


def parameters(event: dict[str, Any], known: set[str]) -> dict[str, str]:
    """The query's parameters.

    Raises
    ------
    problems.Problem
        Naming those that are not known: a misspelt one is not passed over.
    """
    query: dict[str, str] = event.get("queryStringParameters") or {}
    unknown = sorted(query.keys() - known)
    if unknown:
        raise problems.invalid({name[:100]: "not a parameter of this route" for name in unknown[:20]})
    return query


def decode_cursor(cursor: str | None, fields: set[str], wrong: problems.Problem) -> dict[str, str] | None:
    """The place in a list that a cursor stands for, with exactly these fields; None without a cursor.

    Raises
    ------
    problems.Problem
        ``wrong``, if it is no such cursor.
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


def correlation_id(event: dict[str, Any]) -> str:
    """The client's X-Correlation-Id if it is a usable one, otherwise the gateway's request id, otherwise a new one."""
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
        fields = {
            ".".join(map(str, problem["loc"])) or "body": problem["msg"]
            for problem in error.errors(include_url=False, include_input=False, include_context=False)
        }
        raise problems.invalid(fields) from error


def _body(event: dict[str, Any]) -> bytes:
    text = event.get("body") or ""
    try:
        body = base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
    except ValueError as error:  # of either
        raise problems.invalid({"body": "not UTF-8 text"}) from error
    if len(body) > MAX_BODY_BYTES:
        raise problems.too_large(MAX_BODY_BYTES)
    return body


def _merged(lines: list[LineIn]) -> dict[str, int]:
    quantities: dict[str, int] = {}
    for n, line in enumerate(lines):
        quantities[line.sku] = quantities.get(line.sku, 0) + line.quantity
        if quantities[line.sku] > MAX_QUANTITY:
            raise problems.invalid({f"lines.{n}.quantity": f"more than {MAX_QUANTITY} of {line.sku} in all"})
    return quantities
