"""An example of every problem document that the API can answer with, made by the function's own code."""

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

import error_problems
import problems
from bodies import MAX_BODY_BYTES, Sku
from handoff.events import Timestamp
from problems import Problem
from response_schemas import Amount, OrderId
from shop import errors
from shop.model import MAX_REFUNDS, MAX_TOTAL

_ORDER = "ord_bcbyeu2ocgm26n4btjdflmpeie"


class FieldError(TypedDict):
    """An invalid field: its path in the body, or the name of the parameter or header."""

    field: str
    message: str


class Shortage(TypedDict):
    """A product of which too few items are available."""

    sku: Sku
    available: Annotated[int, Field(ge=0)]


class OpenOrder(TypedDict):
    """An order that is under way, and what it waits for."""

    orderId: OrderId
    reason: errors.OpenReason


class UnitsLeft(TypedDict):
    """The units of a product in an order that no refund is for."""

    sku: Sku
    left: Annotated[int, Field(ge=0)]


# The members that only some problems have, besides those of RFC 9457.
MEMBERS: dict[str, Any] = {
    "errors": list[FieldError],
    "products": list[Shortage],
    "orders": list[OpenOrder],
    "total": Amount,
    "orderId": OrderId,
    "refundable": Amount,
    "units": list[UnitsLeft],
    "requestedAt": Timestamp,
    "until": Timestamp,
}

EXAMPLES = [
    problems.invalid({"lines.0.quantity": "Input should be greater than or equal to 1"}),
    problems.unauthenticated("The token's claim sub must identify the user: 1-128 visible ASCII characters."),
    error_problems.of(errors.PaymentDeclined(_ORDER, "card_declined")),
    problems.forbidden("reports:read"),
    error_problems.of(errors.NoSuchOrder()),
    problems.no_profile(),
    problems.no_payment(),
    problems.no_order_list(),
    problems.no_route("/nowhere"),
    problems.wrong_method(["GET"]),
    error_problems.of(errors.OutOfStock({"ESPRESSO-LEVER": 2})),
    error_problems.of(errors.TotalChanged(7635, "EUR")),
    error_problems.of(errors.TotalTooLarge(MAX_TOTAL + 1, MAX_TOTAL)),
    error_problems.of(errors.NoAddress("missing")),
    error_problems.of(errors.InProgress(_ORDER, 7)),
    error_problems.of(errors.OrderExpired(_ORDER)),
    error_problems.of(errors.OrderAbandoned(_ORDER)),
    error_problems.of(errors.NotCancellable(_ORDER, "PREPARED")),
    error_problems.of(errors.NotPackable(_ORDER, "CANCELLED")),
    error_problems.of(errors.CancelWindowOpen(_ORDER, 90)),
    error_problems.of(errors.NotCaptured(_ORDER, "PLACED")),
    error_problems.of(errors.AlreadyRestocked(_ORDER, "CANCELLED")),
    error_problems.of(errors.RefundTooLarge(_ORDER, 1250, "EUR")),
    error_problems.of(errors.TooManyUnits(_ORDER, {"ESPRESSO-LEVER": 0})),
    error_problems.of(errors.TooManyRefunds(_ORDER, MAX_REFUNDS)),
    error_problems.of(errors.NotReleased(_ORDER, "PLACED")),
    error_problems.of(errors.AlreadyReturned(_ORDER, "2026-11-23T10:00:00.000Z")),
    error_problems.of(errors.ReturnTooLate(_ORDER, "2026-11-23T10:00:00.000Z")),
    problems.too_large(MAX_BODY_BYTES),
    problems.not_json("text/plain"),
    problems.not_utf8("Content-Type", "charset=iso-8859-1"),
    problems.encoded_body("gzip"),
    error_problems.of(errors.KeyReused()),
    problems.internal(),
    problems.unavailable(),
    error_problems.of(errors.TryLater(_ORDER, "The payment provider did not respond.")),
    error_problems.of(errors.TooManyAddresses(3600)),
    error_problems.of(errors.TooManyOrders(1800, declined=True)),
    error_problems.of(errors.ProfileBusy()),
    error_problems.of(errors.BeingErased("2026-11-23T10:00:00.000Z")),
    error_problems.of(errors.OpenOrders({_ORDER: "not shipped"})),
]
BY_NAME: dict[str, Problem] = {problem.name: problem for problem in EXAMPLES}


def component(problem: Problem) -> str:
    """Return the name of a problem's schema: OutOfStockProblem for out-of-stock."""
    return "".join(map(str.capitalize, problem.name.split("-"))) + "Problem"


def schema(problem: Problem, members: dict[str, Any]) -> dict[str, Any]:
    """Return a problem's JSON Schema; ``members`` are the schemas of `MEMBERS`."""
    properties = {
        "type": {"const": problem.document["type"]},
        "title": {"type": "string"},
        "status": {"const": problem.status},
        "detail": {"type": "string"},
        **{name: members[name] for name in problem.document if name in members},
    }
    return {"type": "object", "properties": properties, "required": list(properties), "examples": [problem.document]}
