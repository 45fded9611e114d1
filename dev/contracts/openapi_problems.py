"""An example of every problem document that the API can answer with, made by the function's own code."""

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

import problems
from order_requests import MAX_BODY_BYTES, Sku
from problems import Problem
from response_schemas import Amount, OrderId
from shop import errors

_ORDER = "ord_bcbyeu2ocgm26n4btjdflmpeie"


class FieldError(TypedDict):
    """An invalid field: its path in the body, or the name of the parameter or header."""

    field: str
    message: str


class Shortage(TypedDict):
    """A product of which too few items are available."""

    sku: Sku
    available: Annotated[int, Field(ge=0)]


# The members that only some problems have, besides those of RFC 9457.
MEMBERS: dict[str, Any] = {"errors": list[FieldError], "products": list[Shortage], "total": Amount, "orderId": OrderId}

EXAMPLES = [
    problems.invalid({"lines.0.quantity": "Input should be greater than or equal to 1"}),
    problems.unauthenticated("The token's claim sub must identify the user: 1-128 visible ASCII characters."),
    problems.of(errors.PaymentDeclined(_ORDER, "card_declined")),
    problems.forbidden("reports:read"),
    problems.of(errors.NoSuchOrder()),
    problems.no_profile(),
    problems.no_route("/nowhere"),
    problems.wrong_method(["GET"]),
    problems.of(errors.OutOfStock({"ESPRESSO-LEVER": 2})),
    problems.of(errors.TotalChanged(7635, "EUR")),
    problems.of(errors.InProgress(_ORDER, 7)),
    problems.of(errors.OrderExpired(_ORDER)),
    problems.of(errors.NotCancellable(_ORDER, "PREPARED")),
    problems.too_large(MAX_BODY_BYTES),
    problems.not_json("text/plain"),
    problems.of(errors.KeyReused()),
    problems.internal(),
    problems.unavailable(),
    problems.of(errors.TryLater(_ORDER, "The payment provider did not respond.")),
    problems.of(errors.TooManyAddresses(3600)),
    problems.of(errors.ProfileBusy()),
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
