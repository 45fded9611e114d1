"""Parse and validate requests about orders."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

import bodies
import callers
import parameters
import problems
from bodies import (
    ASCII_255,
    COUNTRY,
    NORMALIZED,
    PHONE,
    STRIPPED,
    UNLINKED,
    VAT_ID,
    VISIBLE,
    WHOLE,
    Body,
    LineIn,
    matching,
    one_line,
    without_link,
)
from handoff.clock import from_iso, to_iso
from parameters import Page, Parameter
from shop import fingerprint, order_list, text
from shop.fingerprint import Fingerprint
from shop.model import MAX_LINES, MAX_TOTAL, Address, Status
from shop.order_store import position_key
from shop.placing import PlaceOrder

TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$"

KEY_PARAMETER = parameters.key_parameter("order")
STATUS_PARAMETER = Parameter(
    "status", "query", {"type": "string", "enum": [status.value for status in Status]}, "List orders with this status."
)
LIMIT = parameters.limit_parameter(50, default=20)
SINCE_PARAMETER = Parameter(
    "since",
    "query",
    {"type": "string", "pattern": TIME},
    "For programs: list the orders of all customers that were placed at this time or later, oldest first. A time in "
    "UTC, such as 2026-11-23T10:00:00Z. Send it with each page.",
)
PAGE_PARAMETERS = (LIMIT, parameters.CURSOR, STATUS_PARAMETER, SINCE_PARAMETER)


class AddressIn(Body):
    """The address that the order is shipped to.

    `postalCode` is required in countries where an address is not complete without. `street2` is the second line of the
    street, `region` the state or province.
    """

    # The texts are as sent, not in a normal form: the hash that earlier releases stored was taken of them.

    name: Annotated[str, without_link(100), VISIBLE, UNLINKED, STRIPPED]
    street: Annotated[str, without_link(200), VISIBLE, UNLINKED, STRIPPED]
    city: Annotated[str, without_link(100), VISIBLE, UNLINKED, STRIPPED]
    postal_code: Annotated[str, without_link(20), VISIBLE, UNLINKED, STRIPPED] | None = None
    country: Annotated[str, matching(COUNTRY)]
    company: Annotated[str, without_link(100), VISIBLE, UNLINKED, STRIPPED] | None = None
    street2: Annotated[str, without_link(200), VISIBLE, UNLINKED, STRIPPED] | None = None
    region: Annotated[str, without_link(100), VISIBLE, UNLINKED, STRIPPED] | None = None
    phone: Annotated[str, matching(PHONE)] | None = None
    vat_id: Annotated[str, matching(VAT_ID, longest=30)] | None = None


class OrderIn(Body):
    """An order. If `expectedTotal` (in minor units) is sent, the order is placed at that total or not at all.

    `customerAction` says that the client lets the customer confirm the payment, as 3-D Secure demands: it understands a
    202. Without it, a payment that needs this is declined.
    """

    lines: list[LineIn] = Field(min_length=1, max_length=MAX_LINES)
    shipping_address: AddressIn
    payment_token: Annotated[str, matching(ASCII_255)]
    expected_total: Annotated[int, Field(ge=0, le=MAX_TOTAL), WHOLE] | None = None
    customer_action: bool = False


class CancelIn(Body):
    """A cancellation by the shop. `reason` is shown to the customer."""

    reason: Annotated[str, one_line(200), VISIBLE, NORMALIZED]


class ReturnIn(Body):
    """A return of units of the order; without `lines`, of all that were not refunded."""

    lines: Annotated[list[LineIn], Field(min_length=1, max_length=MAX_LINES)] | None = None
    reason: Annotated[str, without_link(200), VISIBLE, UNLINKED, NORMALIZED] | None = None


@dataclass(frozen=True, slots=True)
class OrdersQuery:
    """The requested part of the orders with a status, or of all that were placed if ``status`` is None."""

    status: Status | None
    page: Page


@dataclass(frozen=True, slots=True)
class SinceQuery:
    """The requested part of the list of all orders; ``position`` as in `shop.order_list`."""

    limit: int
    position: str


def placement(event: dict[str, Any]) -> PlaceOrder:
    """Return the validated request to place an order.

    Raises
    ------
    problems.Problem
        With the invalid fields.
    """
    user = callers.user_id(event)
    key = parameters.idempotency_key(event, "order")
    order = bodies.parsed(OrderIn, event)
    return PlaceOrder(
        user_id=user,
        verified_email=callers.verified_email(event),
        idempotency_key=key,
        quantities=bodies.merged(order.lines),
        shipping_address=_address(order.shipping_address),
        payment_token=order.payment_token,
        can_act=order.customer_action,
        expected_total=order.expected_total,
        fingerprint=_fingerprint(order),
        correlation_id=parameters.correlation_id(event),
    )


def _address(sent: AddressIn) -> Address:
    given = sent.model_dump(exclude_none=True)
    return Address.model_validate({name: text.normalized(line) for name, line in given.items()})


def _fingerprint(order: OrderIn) -> Fingerprint:
    """Return the fingerprint of an order. ``customerAction`` does not change the order, so it does not count."""
    meaning = order.model_dump(exclude={"customer_action", "lines"}, exclude_defaults=True)
    value = fingerprint.of(meaning | {"lines": bodies.merged(order.lines)})
    return Fingerprint(value, hashlib.sha256(_legacy_document(order).encode()).hexdigest())


def _legacy_document(order: OrderIn) -> str:
    """Return the document that earlier releases hashed: exactly the members that they knew, in their order."""
    address = order.shipping_address
    known = {
        "lines": [{"sku": line.sku, "quantity": line.quantity} for line in order.lines],
        "shipping_address": {
            "name": address.name,
            "street": address.street,
            "city": address.city,
            "postal_code": address.postal_code,
            "country": address.country,
        },
        "payment_token": order.payment_token,
        "expected_total": order.expected_total,
    }
    return json.dumps(known, separators=(",", ":"), ensure_ascii=False)


def fields_of(event: dict[str, Any], skus: list[str]) -> dict[str, str]:
    """Return a message for each line of the body that has one of these products."""
    lines = enumerate(bodies.parsed(OrderIn, event).lines)
    return {f"lines.{n}.sku": f"{line.sku} is not on sale" for n, line in lines if line.sku in skus}


def cancel_reason(event: dict[str, Any]) -> str:
    """Return the reason with which the shop cancels an order.

    Raises
    ------
    problems.Problem
        With the invalid fields.
    """
    return bodies.parsed(CancelIn, event, may_be_missing=True).reason


def return_request(event: dict[str, Any]) -> tuple[dict[str, int], str | None]:
    """Return the quantities by sku that a customer wants to return, empty for all, and the reason.

    Raises
    ------
    problems.Problem
        With the invalid fields.
    """
    body = bodies.parsed(ReturnIn, event, may_be_missing=True)
    return bodies.merged(body.lines or []), body.reason


def orders_query(event: dict[str, Any]) -> OrdersQuery:
    """Return the requested part of the list of orders.

    Raises
    ------
    problems.Problem
        With the invalid parameters.
    """
    given = parameters.query(event, PAGE_PARAMETERS)
    wrong: dict[str, str] = {}
    limit = parameters.limit_of(given, LIMIT, wrong)
    named = parameters.choice_of(given, STATUS_PARAMETER, wrong)
    if wrong:
        raise problems.invalid(wrong)
    status = Status(named) if named else None
    return OrdersQuery(status, Page(limit, _position(given, status)))


def is_since(event: dict[str, Any]) -> bool:
    """Return whether a request is for the orders of all customers since a time."""
    return "since" in (event.get("queryStringParameters") or {})


def since_query(event: dict[str, Any]) -> SinceQuery:
    """Return the requested part of the orders of all customers.

    Raises
    ------
    problems.Problem
        With the invalid parameters.
    """
    given = parameters.query(event, PAGE_PARAMETERS)
    wrong: dict[str, str] = {}
    limit = parameters.limit_of(given, LIMIT, wrong)
    since = _time(given["since"])
    if since is None:
        wrong["since"] = "must be a time in UTC, such as 2026-11-23T10:00:00Z"
    if "status" in given:
        wrong["status"] = "not possible together with since"
    if wrong or since is None:
        raise problems.invalid(wrong)
    after = parameters.position(given, {"after"})
    if after is None:
        return SinceQuery(limit, since)
    if not order_list.is_position(after["after"]) or after["after"] < since:
        raise parameters.wrong_cursor()
    return SinceQuery(limit, after["after"])


def _time(text: str) -> str | None:
    """Return a time as it is stored, None if it is not one."""
    if not re.fullmatch(TIME, text):
        return None
    try:
        return to_iso(from_iso(text))
    except (ValueError, OverflowError):
        return None


def _position(given: dict[str, str], status: Status | None) -> dict[str, str] | None:
    """Return the position that the cursor stands for. It names the status, so that each list has its own cursors."""
    fields = {"orderId", position_key(status)}
    if status is None:
        return parameters.position(given, fields)
    position = parameters.position(given, {*fields, "status"})
    if position and position.pop("status") != status:
        raise parameters.wrong_cursor()
    return position
